# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loads what assertions need before Ansible forks.

Ansible runs each task of each host in a process that it forks, and loads a plugin in there when it is needed: with all
that it imports, and its documentation. What the parent has loaded every fork has: a third of a task's CPU time.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from pathlib import Path

from ansible.plugins.loader import connection_loader, shell_loader

_COLLECTION = "meshctl.headscale"
_ACTIONS = f"ansible_collections.{_COLLECTION}.plugins.action"
_USUAL = ("client", "client_info", "service", "topology", "verdict")


def preload() -> None:
    """Load the actions, the connection and the shell; what cannot be loaded is the matter of the task that needs it."""
    assertions = (path.stem for path in (Path(__file__).parents[2] / "action").glob("assert_*.py"))
    for name in sorted({*assertions, *_USUAL}):
        with contextlib.suppress(Exception):
            import_module(f"{_ACTIONS}.{name}")
    for loader, name in ((connection_loader, f"{_COLLECTION}.netns"), (shell_loader, "sh")):
        with contextlib.suppress(Exception):
            loader.get(name, class_only=True)
