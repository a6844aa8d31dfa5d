# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summarize what determines the tasks of a playbook: its inventory, variables, environment and code."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from meshctl_headscale import _inventory
from meshctl_headscale._project import Project, project

if TYPE_CHECKING:
    from meshctl_headscale._play import Request

# A template may have another value each time, and a vault another password.
_DYNAMIC = re.compile(r"\{\{|\{%|!vault|!unsafe")
# These differ between terminals, and have no effect on tasks.
_OF_A_TERMINAL = re.compile(
    r"_|PWD|OLDPWD|SHLVL|TERM|COLORTERM|COLUMNS|LINES|WINDOWID|DISPLAY|TMUX.*|STY|SSH_(CLIENT|CONNECTION|TTY|AUTH_SOCK)|XDG_SESSION_.*"
    r"|GPG_TTY|DBUS_.*|MESHCTL_(RUNS_DIR|COMMAND|JSON|GRACE_S)"
)
_SYSTEM_PLUGINS = Path("/usr/share/ansible/plugins")


def of(request: Request) -> str:
    """Return the fingerprint of a run; empty if something that cannot be seen from here determines its tasks."""
    if request.check or request.verbosity or request.limit or request.tags or request.skip_tags or request.extra_files:
        return ""
    text = _inventory.plain_text(request.inventory)
    variables = json.dumps(request.extra_vars, sort_keys=True)
    if text is None or _DYNAMIC.search(text) or _DYNAMIC.search(variables):
        return ""
    parts = {
        "inventory": [os.path.realpath(request.inventory), text],
        "playbooks": list(map(str, request.playbooks)),
        "variables": variables,
        "environment": sorted(_lasting(os.environ)),
        "code": [list(entry) for entry in _code(project())],
        "python": sys.version,
    }
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _lasting(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in environment.items() if not _OF_A_TERMINAL.fullmatch(name))


def _code(files: Project) -> Iterator[tuple[str, int, int, int]]:
    """Yield path, size and times of everything that Ansible may load for our playbooks."""
    # Ansible, too, takes an unknown home literally.
    home = Path(os.path.expanduser(os.environ.get("ANSIBLE_HOME") or "~/.ansible"))  # noqa: PTH111
    spec = find_spec("ansible")
    # An upgrade of any package changes the directory that has them all.
    packages = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    config = Path(os.environ.get("ANSIBLE_CONFIG") or files.ansible_cfg)
    for path in (config, *packages, *(package.parent for package in packages)):
        yield from _entry(os.fspath(path))
    own = files.collections / "ansible_collections" / "meshctl" / "headscale"
    for root in (own, files.playbooks, Path(__file__).parent, home / "plugins", _SYSTEM_PLUGINS):
        yield from _tree(os.fspath(root))


def _entry(path: str) -> Iterator[tuple[str, int, int, int]]:
    try:
        found = os.stat(path)  # noqa: PTH116 (hundreds of files)
    except OSError:
        return
    yield path, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _tree(root: str) -> Iterator[tuple[str, int, int, int]]:
    for directory, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for name in sorted(names):
            yield from _entry(os.path.join(directory, name))  # noqa: PTH118
