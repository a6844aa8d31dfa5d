# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the policy, and the users and nodes that it is about; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ..module_utils._answers import says_no_policy
from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.options import SERVER
from ..plugin_utils._action.policy import node_record, user_record
from ..plugin_utils._action.probing import ProbingAction
from ..plugin_utils._action.server import server
from ..plugin_utils._judge.answer import Answer, items, mapping, text

_LOOK_S = 10.0


class ActionModule(ProbingAction):
    """Ask the server through the probe, which is faster than two modules."""

    ARGUMENTS = SERVER

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the policy's text, and a record of each node and user."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        ask = {**server(self), "kind": "headscale"}
        requests = [
            {**ask, "id": "policy", "path": "/api/v1/policy"},
            {**ask, "id": "nodes", "path": "/api/v1/node"},
            {**ask, "id": "users", "path": "/api/v1/user"},
        ]
        seen = Answer(self.probe(requests, seconds=_LOOK_S * self.setting("patience")))
        policy = mapping(seen.data("policy")).get("policy")
        unset = seen.data("policy") is None and says_no_policy(seen.why("policy"))
        if not isinstance(policy, str) and not unset:
            return {**result, **failure(f"the policy cannot be read: {seen.why('policy')}", "could_not_run")}
        for listed in ("nodes", "users"):
            if listed not in mapping(seen.data(listed)):
                return {**result, **failure(f"the {listed} cannot be read: {seen.why(listed)}", "could_not_run")}
        return {
            **result,
            "changed": False,
            "policy": policy or "",
            "updated_at": text(mapping(seen.data("policy")).get("updatedAt")),
            "records": [node_record(mapping(node)) for node in items(mapping(seen.data("nodes"))["nodes"])],
            "users": [user_record(mapping(user)) for user in items(mapping(seen.data("users"))["users"])],
        }
