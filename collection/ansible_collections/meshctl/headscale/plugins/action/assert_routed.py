# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a host behind a subnet router can be reached, or cannot; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import ASPECT, COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.ways import of_routers, ways
from ..plugin_utils._expectations import routes
from ..plugin_utils._judge.answer import mapping
from ..plugin_utils._judge.behind import request
from ..plugin_utils._judge.observations import ADDRESSES, HTTP, ICMP, PREFS, ROUTES, STATUS, TCP
from ..plugin_utils._judge.opened import connections
from ..plugin_utils._judge.routed import Routed, judge_routed

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Send packets to the targets of routes."""

    ASSERTION = "routed"
    DEADLINE_S = 15.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "nodes": {"type": "raw"},
        "prefixes": {"type": "list", "elements": "str"},
        "absent": {"type": "bool", "default": False},
        "via": {"type": "str", "default": ""},
        "specific": {"type": "str", "default": ""},
        "masquerade": {"type": "bool", "default": True},
        "accepting": {"type": "bool", "default": True},
        **ASPECT,
    }

    def prepare(self) -> None:
        """Find the routes that this host uses."""
        found = routes.used(self)
        named = self.options.get("prefixes")
        if named is not None:
            known = [route.prefix for route in routes.routes_of(self)]
            if unknown := [prefix for prefix in named if prefix not in known]:
                raise BadInput(f"{unknown[0]} is not a prefix of mesh_routes: those are {', '.join(known) or 'none'}")
            found = [route for route in found if route.prefix in named]
        if not found:
            raise NotAsserted(f"no route of mesh_routes leads {self.host} to another network")
        # On existing hosts, a node need not accept routes.
        if not self.options["accepting"] and not self._accepts():
            raise NotAsserted(f"{self.host} does not accept routes (`tailscale set --accept-routes`)")
        self._expect = Routed(
            ways=ways(self, found, masquerade=self.options["masquerade"], via=self.options["via"]),
            specific=self.options["specific"], via=self.options["via"], absent=self.options["absent"], aspect=self.options["aspect"], nodes=self.nodes(),
            state=mapping(self.shared("mesh_router_state")), routers=of_routers(self),
        )  # fmt: skip

    def _accepts(self) -> bool:
        answer = self.probe([{"id": PREFS, "kind": "prefs"}], seconds=self.LOOK_S)
        prefs = mapping(mapping(mapping(answer.get("observations")).get(PREFS)).get("data"))
        return prefs.get("RouteAll") is not False

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask the kernel for its routes, and send echo requests and requests over TCP."""
        chosen = [way for way in self._expect.ways if pending is None or way.target in pending]
        targets = [way.address for way in chosen]
        pages = [f"{way.url}{path}" for way in chosen if way.echoes for path in ("", "bulk")]
        if self._expect.absent:
            pages = [way.url for way in chosen if way.echoes]
        ports = [{"host": way.address, "port": way.port} for way in chosen if way.port and not way.echoes]
        listeners = [way.listener for way in chosen if way.listener]
        whole = not self._expect.absent and not self._expect.via
        seconds = (1.5 if self._expect.absent else 3.0) * self.patience
        return [
            {"id": ADDRESSES, "kind": "addresses"},
            {"id": ROUTES, "kind": "routes", "get": targets},
            {"id": ICMP, "kind": "icmp", "targets": targets, "count": 3, "interval_s": 0.2, "try_timeout_s": 1.0},
            {"id": HTTP, "kind": "http", "targets": [{"url": url} for url in pages], "try_timeout_s": seconds},
            {"id": TCP, "kind": "tcp", "targets": ports, "try_timeout_s": seconds},
            request(listeners, seconds, whole=whole, patience=self.patience),
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the answers."""
        checks = judge_routed(answer, self.context, self._expect)
        self._expect = replace(self._expect, before=connections(answer, self._expect.before))
        return checks

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client which peers have which routes, and whether it accepts them."""
        return [{"id": STATUS, "kind": "status"}, {"id": PREFS, "kind": "prefs"}]
