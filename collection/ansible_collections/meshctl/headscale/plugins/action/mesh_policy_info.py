# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the policy and the nodes that it is about; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.options import SERVER
from ..plugin_utils._action.probing import ProbingAction
from ..plugin_utils._action.server import server
from ..plugin_utils._judge.answer import Answer, Json, addresses, items, mapping, text

_LOOK_S = 10.0


class ActionModule(ProbingAction):
    """Ask the server through the probe, which is faster than two modules."""

    ARGUMENTS = SERVER

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the policy's text, and a record of each node."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        ask = {**server(self), "kind": "headscale"}
        requests = [{**ask, "id": "policy", "path": "/api/v1/policy"}, {**ask, "id": "nodes", "path": "/api/v1/node"}]
        seen = Answer(self.probe(requests, seconds=_LOOK_S * self.setting("patience")))
        policy = mapping(seen.data("policy")).get("policy")
        unset = seen.data("policy") is None and "policy not found" in seen.why("policy")
        if not isinstance(policy, str) and not unset:
            return {**result, **failure(f"the policy cannot be read: {seen.why('policy')}", "could_not_run")}
        if "nodes" not in mapping(seen.data("nodes")):
            return {**result, **failure(f"the nodes cannot be read: {seen.why('nodes')}", "could_not_run")}
        records = [_record(mapping(node)) for node in items(mapping(seen.data("nodes"))["nodes"])]
        updated = text(mapping(seen.data("policy")).get("updatedAt"))
        return {**result, "changed": False, "policy": policy or "", "updated_at": updated, "records": records}


def _record(node: dict[str, Any]) -> dict[str, Json]:
    user = mapping(node.get("user"))
    return {
        "id": text(node.get("id")),
        "user": {
            "id": text(user.get("id")),
            "name": text(user.get("name")),
            "email": text(user.get("email")),
            "provider_id": text(user.get("providerId")),
        },
        "tags": _texts(node.get("tags")),
        "ip_addresses": addresses(node.get("ipAddresses")),
        "approved_routes": _texts(node.get("approvedRoutes")),
        "available_routes": _texts(node.get("availableRoutes")),
    }


def _texts(value: Json) -> list[str]:
    return [entry for entry in items(value) if isinstance(entry, str)]
