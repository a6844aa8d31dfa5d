# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the embedded lab up and down; see the module of the same name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

from ..plugin_utils._action.errors import failure
from ..plugin_utils._inventory.reading import read_inventory
from ..plugin_utils._inventory.topology import InventoryError, Topology
from ..plugin_utils._lab.lab import Lab
from ..plugin_utils._lab.supervisor import LabError
from ..plugin_utils._lab.use import Play
from ..plugin_utils._libvirt.guests import Guests
from ..plugin_utils._libvirt.modules import module_runner


class ActionModule(ActionBase):
    """Runs on the controller, whatever the task's host."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what changed, and the topology as facts."""
        super().run(tmp, task_vars)
        known = task_vars or {}
        _result, options = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "programs": {"type": "dict", "default": {}},
                "name": {"type": "str"},
                "keep_logs": {"type": "bool", "default": False},
            }
        )
        try:
            if options["state"] == "absent":
                # A lab that was named wrongly is nobody's: least of all the one of the default name.
                named = options["name"]
                name = self._templar.template(known.get("lab_name", "seed")) if named is None else named
                return self._absent(Lab(str(name)), self._guests(str(name), known), keep_logs=options["keep_logs"])
            topology = read_inventory(known)
            lab = Lab(topology.lab_name)
            guests = self._guests(lab.name, known)
            if lab.record is None and guests.made and not self._task.check_mode:
                guests.down()  # left by a crash of a lab of virtual machines
            return self._present(lab, topology, options["programs"])
        except InventoryError as exc:
            return failure(str(exc), "bad_input")
        except LabError as exc:
            return failure(str(exc), "could_not_run")
        except OSError as exc:
            return failure(f"{exc.filename or 'the state directory'}: {exc.strerror or exc}", "could_not_run")

    def _present(self, lab: Lab, topology: Topology, programs: dict[str, str]) -> dict[str, Any]:
        check: bool = self._task.check_mode
        created = lab.record is None
        changes = lab.changes(topology, programs) if check else lab.up(topology, programs, play=Play.this(_command()))
        return {
            "changed": bool(changes),
            "created": created,
            "changes": changes,
            "diff": {"prepared": "".join(f"{change}\n" for change in changes)},
            "state_directory": str(lab.directory),
            "ansible_facts": {"mesh_topology": topology.facts(), "mesh_resolver": topology.resolver},
        }

    def _guests(self, name: str, known: dict[str, Any]) -> Guests:
        return Guests(name, module_runner(self, known))

    def _absent(self, lab: Lab, guests: Guests, *, keep_logs: bool) -> dict[str, Any]:
        there = lab.directory.exists()
        result: dict[str, Any] = {"changed": there, "changes": [f"lab {lab.name} removed"] if there else []}
        # A lab of virtual machines has more than the lab knows of.
        down = guests.down if guests.made else lab.down
        if there and not self._task.check_mode and (kept := down(keep_logs=keep_logs)):
            result["logs"] = str(kept)
        return result


def _command() -> str:
    """Return the program that runs and its playbooks; options may hold a secret, and are left out."""
    program = Path(sys.argv[0]).name
    given = context.CLIARGS.get("args") or ()
    playbooks = [given] if isinstance(given, str) else [str(word) for word in given]
    return " ".join(["ansible-playbook" if program == "__main__.py" else program, *map(_near, playbooks)])


def _near(word: str) -> str:
    """Return a path as people would write it here."""
    path = Path(word)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else word
