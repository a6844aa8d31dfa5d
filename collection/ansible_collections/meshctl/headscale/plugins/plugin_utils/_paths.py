# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every directory that meshctl keeps things in."""

from __future__ import annotations

import os
from pathlib import Path


def _base(override: str, xdg: str, fallback: str) -> Path:
    """Return the directory that the environment names, else the XDG one."""
    if named := os.environ.get(override):
        return Path(named).expanduser().absolute()
    base = os.environ.get(xdg) or "~/" + fallback
    return Path(base).expanduser().absolute() / "meshctl"


def state_dir() -> Path:
    """Return where labs are recorded (`MESHCTL_STATE_DIR`, else XDG state)."""
    return _base("MESHCTL_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """Return where binaries are cached (`MESHCTL_CACHE_DIR`, else XDG cache)."""
    return _base("MESHCTL_CACHE_DIR", "XDG_CACHE_HOME", ".cache")


def lab_dir(name: str) -> Path:
    """Return the state directory of the lab called `name`."""
    return state_dir() / "labs" / name


def runs_dir() -> Path:
    """Return the parent of run directories (`MESHCTL_RUNS_DIR`, else `runs` below the working directory)."""
    return Path(os.environ.get("MESHCTL_RUNS_DIR") or "runs").expanduser().absolute()
