# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the configuration that a host sent, which may be hostile: as plain data, within limits. Pure."""

from __future__ import annotations

from typing import Any

from .files.document import read_yaml
from .files.source import Source


def read(said: str, path: str) -> dict[str, Any]:
    """Return the settings of a configuration in YAML.

    Raise `ValueError` if Headscale cannot read it, and `BadInput` if it is not examined: for its size, or what it contains.
    """
    document = read_yaml(Source(path, said), "config", fold=True)
    if broken := next((one for one in document.findings if one.stops), None):
        raise ValueError(f"{broken.place}: {broken.problem}")
    if not isinstance(document.data, dict):
        raise ValueError(f"{path} has no settings")
    return dict(document.data)
