# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert what the control server knows of routes; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import ASPECT, COMMON, SERVER
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.server import server
from ..plugin_utils._expectations import routes
from ..plugin_utils._judge.answer import Json, items, mapping
from ..plugin_utils._judge.observations import NODES
from ..plugin_utils._judge.served import Served, judge_served, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Ask the server's API from the host of the task."""

    ASSERTION = "served"
    DEADLINE_S = 15.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **SERVER,
        "nodes": {"type": "raw"},
        "prefixes": {"type": "list", "elements": "str"},
        "approved": {"type": "bool", "default": True},
        "by": {"type": "dict", "default": {}},
        "routers": {"type": "dict"},
        **ASPECT,
    }

    _answer: Json = None

    def prepare(self) -> None:
        """Work out which routers should serve which prefixes."""
        named = self._named()
        wanted = self.options.get("prefixes")
        if unknown := [prefix for prefix in [*(wanted or ()), *self.options["by"]] if prefix not in named]:
            raise BadInput(f"{unknown[0]} is not a prefix of mesh_routes: those are {', '.join(named) or 'none'}")
        nodes = self.nodes()
        prefixes = {prefix: hosts for prefix, hosts in named.items() if wanted is None or prefix in wanted}
        hosts = dict.fromkeys(host for members in prefixes.values() for host in members)
        if unknown := [host for host in hosts if host not in nodes]:
            raise BadInput(f"the server has no node for the router {unknown[0]}: known are {', '.join(nodes)}")
        self._expect = Served(
            routers={host: nodes[host] for host in hosts}, prefixes=prefixes, approved=self.options["approved"],
            by={prefix: str(host) for prefix, host in self.options["by"].items()}, aspect=self.options["aspect"],
        )  # fmt: skip
        self._ask: Request = {"id": NODES, "kind": "headscale", "path": "/api/v1/node", **server(self)}

    def _named(self) -> dict[str, tuple[str, ...]]:
        """Return the routers of each prefix, as the task or the inventory names them."""
        if (given := self.options["routers"]) is not None:
            return {str(prefix): tuple(map(str, items(hosts))) for prefix, hosts in given.items()}
        named = {route.prefix: route.routers for route in routes.routes_of(self)}
        exits = routes.exits_of(self)
        return named | (dict.fromkeys(("0.0.0.0/0", "::/0"), exits) if exits else {})

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask for the list of nodes."""
        return [self._ask]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the list, and keep it for the facts."""
        self._answer = answer
        return judge_served(answer, self.context, self._expect)

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return the state of each router, and the router of each prefix, for later tasks and their hints."""
        state = {**mapping(self.shared("mesh_router_state")), **state_of(self._answer, self._expect)}
        serving = {
            prefix: next((host for host in hosts if prefix in mapping(state.get(host)).get("serving", ())), "")
            for prefix, hosts in self._expect.prefixes.items()
        }
        known = {
            "mesh_router_state": state,
            "mesh_routes_served": {**mapping(self.shared("mesh_routes_served")), **serving},
        }
        return {"serving": serving, "ansible_facts": known}
