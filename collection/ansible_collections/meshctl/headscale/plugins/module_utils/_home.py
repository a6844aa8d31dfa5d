# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expand `~` at the beginning of a path."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput


def expanded(path: str | Path, *, variable: str = "") -> Path:
    """Return a path with its home directory filled in; `variable` of the environment is what names the path.

    :raises BadInput: when the home directory is unknown.
    """
    given = Path(path)
    try:
        return given.expanduser()
    except (KeyError, RuntimeError):  # KeyError up to Python 3.9
        if given.parts[0] == "~":
            other = f", or {variable} to an absolute path" if variable else ""
            message = f"HOME is not set and this user has no home directory: set HOME{other}"
        else:
            place = f" in {variable}" if variable else ""
            message = f"{path}{place} names the home of a user that this machine does not know: write the whole path"
        raise BadInput(message) from None
