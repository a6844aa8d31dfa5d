# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the inventory's topology as facts; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._errors import failure
from ..plugin_utils._inventory import read_inventory, read_own
from ..plugin_utils._lab.topology import TopologyError


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
            if str(known.get("mesh_backend") or "hosts") == "hosts":
                return {"changed": False, "ansible_facts": {"mesh_topology": read_own(known)}}
            topology = read_inventory(known)
        except TopologyError as exc:
            return failure(str(exc), "bad_input")
        return {
            "changed": False,
            "ansible_facts": {"mesh_topology": topology.facts(), "mesh_resolver": topology.resolver},
        }
