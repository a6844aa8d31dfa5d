# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every directory that meshctl keeps things in."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _private

_OWN = "Set {} to a directory that you own."


def _base(override: str, xdg: str, fallback: str) -> Path:
    """Return the directory that the environment names, else the XDG one; refuse one that others can write to."""
    if named := os.environ.get(override):
        path = expanded(named, variable=override)
    elif named := os.environ.get(xdg):
        path = expanded(named, variable=xdg) / "meshctl"
    else:
        path = expanded(f"~/{fallback}", variable=override) / "meshctl"
    path = path.absolute()
    _private.check_open(path, remedy=_OWN.format(override))
    if _is_directory(path, override):
        _check(path, override)
    return path


def _is_directory(path: Path, override: str) -> bool:
    """Whether a directory is there; refuse a path that is something else, or is below something else."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return True
        reason = "it is not a directory"
    except (FileNotFoundError, PermissionError):
        return False
    except OSError as error:
        reason = str(error.strerror)
    raise BadInput(f"The directory {path} cannot be used: {reason}. {_OWN.format(override)}")


@cache
def _check(path: Path, override: str) -> None:
    """Refuse a directory from which another user could make this one run programs, as root at times."""
    _private.check(path, remedy=_OWN.format(override))


def make(path: Path) -> Path:
    """Make a directory with its parents, for this user alone, and return it; raise `BadInput` where others can write."""
    return _private.directory(path, remedy="Set MESHCTL_STATE_DIR and MESHCTL_CACHE_DIR to directories that you own.")


def state_dir() -> Path:
    """Return where labs are recorded (`MESHCTL_STATE_DIR`, else XDG state)."""
    return _base("MESHCTL_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """Return where binaries are cached (`MESHCTL_CACHE_DIR`, else XDG cache)."""
    return _base("MESHCTL_CACHE_DIR", "XDG_CACHE_HOME", ".cache")


def lab_dir(name: str) -> Path:
    """Return the state directory of the lab called `name`."""
    path = state_dir() / "labs" / name
    for place in (path.parent, path):
        _private.check_open(place, remedy=_OWN.format("MESHCTL_STATE_DIR"))
    return path


def runs_dir() -> Path:
    """Return the parent of run directories (`MESHCTL_RUNS_DIR`, else `runs` below the working directory)."""
    path = expanded(os.environ.get("MESHCTL_RUNS_DIR") or "runs", variable="MESHCTL_RUNS_DIR").absolute()
    _is_directory(path, "MESHCTL_RUNS_DIR")
    return path
