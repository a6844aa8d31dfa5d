# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that nodes are registered on the control server; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, SERVER
from ..plugin_utils._action.policy import usable
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.sampling import run_number
from ..plugin_utils._action.server import server
from ..plugin_utils._expectations.pairs import sample_of
from ..plugin_utils._judge.answer import Answer, Json, addresses, mapping, text
from ..plugin_utils._judge.observations import NODES
from ..plugin_utils._judge.registered import (
    Registered,
    Wanted,
    judge_registered,
    outsiders,
    records,
    rivals,
    still_listed,
)
from ..plugin_utils._slices import Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Ask the server's API from the host of the task."""

    ASSERTION = "registered"
    DEADLINE_S = 30.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        "nodes": {"type": "list", "elements": "str"},
        "online": {"type": "str", "choices": ["true", "false", "any"], "default": "true"},
        "user": {"type": "str"},
        "tags": {"type": "list", "elements": "str"},
        **SERVER,
    }

    _answer: Json = None

    def start(self, task_vars: dict[str, Any] | None) -> None:
        """Read the options; `online: true` in YAML means the choice `true`."""
        if isinstance(self._task.args.get("online"), bool):
            self._task.args["online"] = str(self._task.args["online"]).lower()
        super().start(task_vars)

    def prepare(self) -> None:
        """Decide which nodes are expected, and how to ask the server."""
        online = {"true": True, "false": False, "any": None}[self.options["online"]]
        tags = self.options.get("tags")
        before = mapping(self.shared("mesh_nodes"))
        self._expect = Registered(
            nodes=tuple(self._wanted(name, before) for name in self._names()),
            online=online,
            user=self.options.get("user") or "",
            tags=None if tags is None else tuple(tags),
        )
        self._server: Request = {"kind": "headscale", **server(self)}
        self._ask: Request = {**self._server, "id": NODES, "path": "/api/v1/node"}

    def _names(self) -> list[str]:
        if self.options.get("nodes") is not None:
            return [str(name) for name in self.options["nodes"]]
        clients = self.group("clients")
        if not clients:
            raise BadInput("no node is expected: pass nodes, or add a group clients to the inventory")
        return clients

    def _wanted(self, name: str, known: dict[str, Any]) -> Wanted:
        client = mapping(self.of_host(name, "mesh_client"))
        before = mapping(known.get(name))
        label = text(self.of_host(name, "mesh_node_name"))
        return Wanted(name=name, key=text(client.get("key")), previous_id=text(before.get("id")), label=label)

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask for the list of nodes."""
        return [self._ask]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the list, and keep it for the facts."""
        self._answer = answer
        return judge_registered(answer, self.context, self._expect)

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return the server's records of these nodes, and those of other nodes that were known before and still exist."""
        listed, contested = still_listed(self._answer, mapping(self.shared("mesh_nodes"))), rivals(self._expect)
        known = {name: record for name, record in listed.items() if name not in contested}
        # A job of a sliced template in AWX knows no other hosts than its own.
        others = outsiders(self._answer, self._expect) if self.setting("slices") > 1 and not Slice.this() else {}
        found = self._usable({**known, **others, **records(self._answer, self._expect)})
        facts = {"mesh_nodes": found, "mesh_pairs_run": run_number(self)}
        self.known = {**self.known, **facts}
        sample = sample_of(self)
        more = {} if sample is None else {"mesh_pairs_coverage": sample.coverage()}
        return {"mesh_nodes": found, **more, "ansible_facts": facts}

    def _usable(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the records without the IPv4 addresses that the policy takes away."""
        # Only a client that lacks an address which the server lists is a reason to read the policy.
        if not any(self._lacks_address(name, mapping(record)) for name, record in found.items()):
            return found
        requests = [
            {**self._server, "id": "policy", "path": "/api/v1/policy"},
            {**self._server, "id": "users", "path": "/api/v1/user"},
        ]
        seen = Answer(self.probe(requests, seconds=self.LOOK_S))
        policy, users = mapping(seen.data("policy")).get("policy"), mapping(seen.data("users")).get("users")
        nodes = mapping(Answer(self._answer).data(NODES)).get("nodes")
        return usable(found, text(policy), users, nodes) if policy and isinstance(users, list) else found

    def _lacks_address(self, name: str, record: dict[str, Any]) -> bool:
        told = addresses(mapping(self.of_host(name, "mesh_client")).get("addresses"))
        return bool(told) and not set(addresses(record.get("addresses"))) <= set(told)
