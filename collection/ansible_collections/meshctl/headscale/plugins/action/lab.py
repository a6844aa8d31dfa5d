# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Implement meshctl.headscale.lab; the module of the same name documents it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible import context

from ..plugin_utils import _backend
from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._backend import Backend
from ..plugin_utils._inventory.reading import read_inventory
from ..plugin_utils._inventory.resolved import Settings
from ..plugin_utils._lab import record, use
from ..plugin_utils._lab.lab import Lab
from ..plugin_utils._lab.supervisor import LabError
from ..plugin_utils._slices import Slice
from ..plugin_utils._standing.notes import note

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "reserved", "absent"], "default": "present"},
    "programs": {"type": "dict", "default": {}},
    "name": {"type": "str"},
    "keep_logs": {"type": "bool", "default": False},
}


class ActionModule(ControllerAction):
    """Runs on the controller, whatever the task's host."""

    ARGUMENTS = _ARGUMENTS

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return what changed, and the topology as facts."""
        if options["state"] == "absent":
            name = _backend.lab_name(self, known) if options["name"] is None else str(options["name"])
            return self._absent(_backend.removable(self, known, name), keep_logs=options["keep_logs"])
        lab = _backend.configured(self, known)
        return self._reserved(lab) if options["state"] == "reserved" else self._present(lab, known, options)

    def _present(self, lab: Backend, known: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        topology = read_inventory(known)
        created = lab.record is None
        if self._task.check_mode:
            changes = lab.changes(topology, options["programs"])
        else:
            with use.claimed(lab.directory, use.Play.this(_command())), use.unwinding():
                self._remove_other_backend(lab, known)
                changes = lab.up(topology, options["programs"])
                server = _record_server(lab, known)
            if isinstance(lab, Lab):
                built = {"topology": record.recorded(topology), "programs": options["programs"]}
                note("lab", "", {"name": lab.name, "server": server, **built})
        return {
            "changed": bool(changes),
            "created": created,
            "changes": changes,
            "diff": {"prepared": "".join(f"{change}\n" for change in changes)},
            "state_directory": str(lab.directory),
            "ansible_facts": {"mesh_topology": topology.facts(), "mesh_resolver": topology.resolver},
            **lab.details(topology),
        }

    def _remove_other_backend(self, lab: Backend, known: dict[str, Any]) -> None:
        """Remove the virtual machines that a crash left, before a lab of namespaces takes their name."""
        left = _backend.recorded(self, known, lab.name)
        if lab.record is None and type(left) is not type(lab) and left.directory.exists():
            left.down()

    def _reserved(self, lab: Backend) -> dict[str, Any]:
        if lab.record is None:
            raise LabError(lab.missing())
        # One reservation holds for all slices of a run: that of the process that started them.
        if not (self._task.check_mode or Slice.this()):
            use.claim(lab.directory, use.Play.this(_command()))
        return {"changed": False}

    def _absent(self, lab: Backend, *, keep_logs: bool) -> dict[str, Any]:
        exists = lab.directory.exists()
        result: dict[str, Any] = {"changed": exists, "changes": [f"lab {lab.name} removed"] if exists else []}
        if exists and not self._task.check_mode and (kept := lab.down(keep_logs=keep_logs)):
            result["logs"] = str(kept)
        return result


def _record_server(lab: Backend, known: dict[str, Any]) -> dict[str, str]:
    """Record and return how to ask the control server, which `meshctl status --lab` does without an inventory."""
    host = next(iter(known["groups"].get("headscale") or ()), None)
    if host is None:
        return {}
    settings = Settings(known["hostvars"][host].get)
    given = {f"mesh_{name}": settings[name] for name in ("server_url", "api_key_file")}
    server = {name: str(value) for name, value in given.items() if value}
    record.save_server(lab.directory, server)
    return server


def _command() -> str:
    """Return the program and its playbooks, without options: those may contain a secret."""
    program = Path(sys.argv[0]).name
    given = context.CLIARGS.get("args") or ()
    playbooks = [given] if isinstance(given, str) else [str(word) for word in given]
    return " ".join(["ansible-playbook" if program == "__main__.py" else program, *map(_relative, playbooks)])


def _relative(word: str) -> str:
    """Return a path relative to the working directory if it is below it."""
    path = Path(word)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else word
