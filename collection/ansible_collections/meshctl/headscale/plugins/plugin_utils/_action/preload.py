# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load the modules that assertions need before Ansible forks.

Ansible forks a process for each task of each host, and imports plugins there. A fork inherits the modules that its parent
has imported, which saves a third of a task's CPU time.
"""

from __future__ import annotations

import contextlib
import gc
from importlib import import_module
from pathlib import Path

from ansible.plugins.loader import connection_loader, shell_loader

from .._host.package import script_of
from .._inventory import variables

_COLLECTION = "meshctl.headscale"
_ACTIONS = f"ansible_collections.{_COLLECTION}.plugins.action"
_USUAL = ("client", "client_info", "service", "topology")
# Besides the assertions.
_OF_STORIES = ("node", "verdict")
# What hosts are sent.
_SCRIPTS = ("apply", "probe")
# Processes of tasks end long before they have made so many objects.
_RARELY = (20_000, 20, 50)


def preload(*, assertions: bool, doctor: bool = False) -> None:
    """Load the actions, the declared variables, the connection, the shell and the scripts for hosts.

    The task that needs a broken plugin reports it.
    """
    names = set(_USUAL)
    if assertions:
        names |= {*_OF_STORIES, *(path.stem for path in (Path(__file__).parents[2] / "action").glob("assert_*.py"))}
    for name in sorted(names):
        with contextlib.suppress(Exception):
            import_module(f"{_ACTIONS}.{name}")
    if doctor:
        with contextlib.suppress(Exception):
            import_module(f"{_ACTIONS}.diagnose").preload()
    with contextlib.suppress(Exception):
        variables.preload()
    for loader, name in ((connection_loader, f"{_COLLECTION}.netns"), (shell_loader, "sh")):
        with contextlib.suppress(Exception):
            loader.get(name, class_only=True)
    for name in _SCRIPTS:
        script_of(name).preload()
    _keep()


def _keep() -> None:
    """Have Python leave alone what is loaded: each search for garbage in a fork would copy all of it."""
    gc.freeze()
    gc.set_threshold(*_RARELY)
