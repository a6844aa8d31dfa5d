# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the inventory's topology as facts; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._action.errors import failure
from ..plugin_utils._inventory.reading import check_inventory, read_inventory, read_own
from ..plugin_utils._inventory.topology import InventoryError


class ActionModule(ActionBase):
    """Runs on the controller and changes nothing."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the topology as facts."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        known = task_vars or {}
        if lacking := [group for group in ("headscale", "clients") if not (known.get("groups") or {}).get(group)]:
            return failure(
                f"the inventory has no host in the group {' and none in '.join(lacking)}: headscale holds the server, "
                "clients the nodes",
                "bad_input",
            )
        try:
            odd = check_inventory(known)
            facts = self._facts(known)
        except InventoryError as exc:
            return failure(str(exc), "bad_input")
        return {"changed": False, "ansible_facts": facts, **({"warnings": odd, "meshctl_notes": odd} if odd else {})}

    @staticmethod
    def _facts(known: dict[str, Any]) -> dict[str, Any]:
        if str(known.get("mesh_backend") or "hosts") == "hosts":
            return {"mesh_topology": read_own(known)}
        topology = read_inventory(known)
        return {"mesh_topology": topology.facts(), "mesh_resolver": topology.resolver}
