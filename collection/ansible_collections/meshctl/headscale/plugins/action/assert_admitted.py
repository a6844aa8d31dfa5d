# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a host behind a subnet router reaches a node, or does not; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action import shell
from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import ASPECT, COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations import routes
from ..plugin_utils._expectations.view import is_lab
from ..plugin_utils._judge.admitted import PROTOCOLS, Admitted, judge_admitted
from ..plugin_utils._judge.answer import mapping, text
from ..plugin_utils._judge.observations import EXCHANGE

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.context import CheckContext


class ActionModule(Assertion):
    """Connect from a host outside the mesh, to which the task is delegated, to the listener of this host."""

    ASSERTION = "admitted"
    DEADLINE_S = 15.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "nodes": {"type": "raw"},
        "from_host": {"type": "str", "required": True},
        "admitted": {"type": "bool", "default": True},
        **ASPECT,
    }

    def prepare(self) -> None:
        """Find the networks of the host, their router, and where this node listens."""
        host, nodes = self.options["from_host"], self.nodes()
        if not is_lab(self):
            raise NotAsserted("only a host of a lab can send from a network behind a router")
        if host not in self.group("lan"):
            raise BadInput(f"from_host is {host!r}: write a host of the group lan")
        if self.host not in nodes:
            raise BadInput(f"the server has no node for {self.host}: known are {', '.join(nodes)}")
        if self._task.check_mode:
            raise NotAsserted("nodes do not listen in check mode: run without --check")
        found = [route for route in routes.routes_of(self) if route.target == host and self.host not in route.routers]
        if not found:
            raise NotAsserted(f"no route of mesh_routes has the target {host}")
        router = found[0].routers[0]
        addresses = {route.network.version: routes.own_address(self, host, route.network.version) for route in found}
        self._expect = Admitted(
            host=host, addresses={family: known for family, known in addresses.items() if known},
            prefixes={route.network.version: route.prefix for route in found}, node=nodes[self.host],
            router=router, router_node=nodes.get(router), serving=mapping(self.variable("mesh_serving")),
            admitted=self.options["admitted"], aspect=self.options["aspect"],
            state=mapping(mapping(self.shared("mesh_router_state")).get(router)), said=mapping(self.of_host(router, "mesh_router")),
        )  # fmt: skip

    def _context(self) -> CheckContext:
        """Name the host that sends, and not the node."""
        host = text(self.options.get("from_host"))
        return replace(super()._context(), source=host, shell=shell.in_lab(host, str(self.setting("lab_name"))))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Send a small request over TCP and datagrams over UDP."""
        expect = self._expect
        targets = [
            {"host": expect.node.address(family), "token": expect.serving.get("token"), **ports}
            for family in expect.families
            if any((ports := {protocol: expect.port(family, protocol) for protocol in PROTOCOLS}).values())
        ]
        patience = (2.0 if expect.admitted else 1.5) * self.patience
        return [{"id": EXCHANGE, "kind": "exchange", "targets": targets, "try_timeout_s": patience}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge what answered, and what the node saw."""
        return judge_admitted(answer, self.context, self._expect)
