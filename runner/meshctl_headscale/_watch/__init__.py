# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watch a mesh: rounds of ordinary runs, their metrics, history and notifications."""

from __future__ import annotations

import importlib.util

from meshctl_headscale._exit import MeshctlError


def require(module: str, what: str) -> None:
    """Refuse to go on without a package of the extra `watch`."""
    if importlib.util.find_spec(module) is None:
        raise MeshctlError(
            f"{what} requires the Python package {module}. Install meshctl with its extra: "
            "pip install 'meshctl-headscale[watch]'."
        )
