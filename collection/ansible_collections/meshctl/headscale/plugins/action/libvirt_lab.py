# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a lab of virtual machines up and down; see the module of the same name."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils._action.errors import failure
from ..plugin_utils._inventory.reading import plain, read_inventory
from ..plugin_utils._inventory.topology import InventoryError, Topology
from ..plugin_utils._lab.supervisor import LabError
from ..plugin_utils._libvirt.guests import Guests
from ..plugin_utils._libvirt.model import Settings, as_facts, plan_guests, read_settings
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
                name = options["name"] or str(self._templar.template(known.get("lab_name")) or "seed")
                return self._absent(Guests(name, module_runner(self, known)), keep_logs=options["keep_logs"])
            settings = read_settings(plain(self._templar.template(known.get("mesh_libvirt"))))
            topology = read_inventory(known)
            guests = Guests(topology.lab_name, module_runner(self, known))
            return self._present(guests, topology, settings, options["programs"])
        except InventoryError as exc:
            return failure(str(exc), "bad_input")
        except LabError as exc:
            return failure(str(exc), "could_not_run")
        except OSError as exc:
            return failure(f"{exc.filename or 'the state directory'}: {exc.strerror or exc}", "could_not_run")

    def _present(
        self, guests: Guests, topology: Topology, settings: Settings, programs: dict[str, str]
    ) -> dict[str, Any]:
        created = guests.lab.record is None
        if self._task.check_mode:
            changes = guests.changes(topology, settings, programs)
        else:
            changes = guests.up(topology, settings, programs, _progress())
        plan = plan_guests(topology, settings, directory=str(guests.directory))
        return {
            "changed": bool(changes),
            "created": created,
            "changes": changes,
            "diff": {"prepared": "".join(f"{change}\n" for change in changes)},
            "state_directory": str(guests.directory),
            "guests": as_facts(plan),
            "ansible_facts": {"mesh_topology": topology.facts(), "mesh_resolver": topology.resolver},
        }

    def _absent(self, guests: Guests, *, keep_logs: bool) -> dict[str, Any]:
        there = guests.there
        result: dict[str, Any] = {"changed": there, "changes": [f"lab {guests.lab.name} removed"] if there else []}
        if not self._task.check_mode and (kept := guests.down(keep_logs=keep_logs)):
            result["logs"] = str(kept)
        return result


def _progress() -> Any:  # noqa: ANN401
    """Return what shows a line on the terminal, and stops the work when nobody is left to see it."""
    parent = os.getppid()

    def show(text: str) -> None:
        if os.getppid() != parent:
            raise LabError("ansible-playbook is gone: stopped")
        Display().display(text)

    return show
