# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a node leaves the mesh through its exit node alone; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import ASPECT, COMMON, lifted
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations import routes
from ..plugin_utils._expectations.view import place
from ..plugin_utils._judge.answer import Answer, items, mapping, text
from ..plugin_utils._judge.behind import Listener, request
from ..plugin_utils._judge.context import Node
from ..plugin_utils._judge.egress import Egress, judge_egress
from ..plugin_utils._judge.forwards import OUTSIDE_ADDRESSES
from ..plugin_utils._judge.observations import (
    ADDRESSES,
    ALIVE,
    CAPTURE,
    EXCHANGE,
    GETADDRINFO,
    HTTP,
    ICMP,
    PREFS,
    ROUTES,
    STATUS,
)
from ..plugin_utils._judge.opened import connections

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

# Addresses for documentation, of a network that is not this lab's: nothing answers there.
_NOWHERE = ("198.51.100.7", "2001:db8::7")
# Discard, DNS, NTP and HTTP/3: rules often choose by port what bypasses an exit node.
_UDP_PORTS = (9, 53, 123, 443)
# SSH, HTTPS and DNS over TLS. Nothing listens there.
_TCP_PORTS = (22, 443, 853)


class ActionModule(Assertion):
    """Capture on every interface while this host uses the internet."""

    ASSERTION = "egress"
    DEADLINE_S = 15.0
    LOOK_S = 6.0
    SHORTEST_LOOK_S = 4.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "nodes": {"type": "raw"},
        "exit_node": {"type": "str"},
        "reached": {"type": "bool", "default": True},
        "lan": {"type": "bool", "default": False},
        **ASPECT,
    }

    def prepare(self) -> None:
        """Find the web server, the neighbour, and the addresses that the web server may see."""
        name = self.options["exit_node"]
        if name is None:
            self._expect = self._used()
            return
        if name not in self.group("clients"):
            raise BadInput(f"exit_node is {name!r}: write a host of the group clients")
        web, known = routes.web(self)
        if not web:
            raise NotAsserted("no host of the group lan is on the WAN, to say where requests come from")
        beside, address = routes.neighbour(self)
        own6, beside6 = (routes.own_address(self, host, 6) if beside else "" for host in (self.host, beside))
        serving = self.of_host(web, "mesh_serving")
        # An exit node without IPv6 leads nowhere over it.
        web6, source6 = (
            text(place(self, host).get(key)) for host, key in ((web, "address6"), (name, "public_address6"))
        )
        self._expect = Egress(
            exit=name, node=self.nodes().get(name), web=web, web_address=known,
            sources=tuple(filter(None, [text(place(self, name).get("public_address"))])), reached=self.options["reached"],
            names=tuple(self.setting("outside_names")), neighbour=beside, neighbour_address=address,
            neighbour_reached=self.options["lan"], own_address=text(place(self, self.host).get("address")),
            web_address6=web6 if source6 else "", sources6=(source6,),
            outside=tuple(filter(None, (known, web6))),
            own_address6=own6 if beside6 else "", neighbour_address6=beside6 if own6 else "",
            listeners=tuple(filter(None, (Listener.read(serving, entry) for entry in (known, web6 if source6 else "")))),
            probed=_NOWHERE, aspect=self.options["aspect"], router=mapping(self.of_host(name, "mesh_router")),
        )  # fmt: skip

    def _used(self) -> Egress:
        """Return what to expect of the exit node that the client uses; where meshctl built no network, only this host knows."""
        answer = self.probe([{"id": STATUS, "kind": "status"}], seconds=self.LOOK_S)
        seen = Answer(answer)
        status = mapping(seen.data(STATUS))
        number = text(mapping(status.get("ExitNodeStatus")).get("ID"))
        if status and not number:
            raise NotAsserted(f"{self.host} uses no exit node")
        nodes = self.nodes()
        peer = next(
            (one for one in map(mapping, mapping(status.get("Peer")).values()) if number and one.get("ID") == number),
            {},
        )
        known = next((node for node in nodes.values() if node.key == text(peer.get("PublicKey"))), None)
        addresses = tuple(text(entry) for entry in items(peer.get("TailscaleIPs")))
        node = known or Node(
            name=text(peer.get("HostName")) or "the exit node", key=text(peer.get("PublicKey")), addresses=addresses
        )
        own = nodes.get(self.host)
        outside = [address for family, address in OUTSIDE_ADDRESSES.items() if own is None or own.address(family)]
        return Egress(
            exit=node.name, node=node, names=tuple(self.setting("outside_names")), outside=tuple(outside),
            router=mapping(self.of_host(node.name, "mesh_router")), aspect=self.options["aspect"],
        )  # fmt: skip

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Browse, resolve and send marked packets, and capture meanwhile."""
        expect = self._expect
        if not expect.web:
            names: Request = {"id": GETADDRINFO, "kind": "getaddrinfo", "names": list(expect.names)}
            return [*self._always(), *([names] if expect.names else [])]
        marker = f"meshctl-{token_hex(8)}"
        seconds = (2.5 if expect.reached else 1.5) * self.patience
        pages = [
            *(url for url, _sources in expect.pages.values()),
            *([url for _known, url, _own in expect.neighbours.values()] if expect.neighbour and expect.reached else []),
        ]
        others: list[Request] = [
            {"id": f"udp {known} {port}", "kind": "send", "host": known, "port": port, "marker": marker}
            for known in (*expect.webs, *_NOWHERE)
            for port in _UDP_PORTS
        ]
        targets = [{"host": known, "port": port} for known in expect.webs for port in _TCP_PORTS]
        during: list[Request] = [
            {"id": HTTP, "kind": "http", "targets": [{"url": url} for url in pages], "try_timeout_s": seconds},
            {"id": ICMP, "kind": "icmp", "targets": [*expect.webs, *_NOWHERE], "count": 2, "interval_s": 0.1,
             "try_timeout_s": self.patience, "marker": marker, "size": 64},
            {"id": "tcp", "kind": "tcp", "targets": targets, "try_timeout_s": 1.0},
            request(
                list(expect.listeners), seconds, whole=expect.reached and not expect.neighbour_reached, patience=self.patience
            ),
            # This name does not exist, so that no cache answers.
            {"id": "marked", "kind": "getaddrinfo", "names": [f"{marker}.lab.test"], "timeout_s": seconds},
            *([{"id": GETADDRINFO, "kind": "getaddrinfo", "names": list(expect.names)}] if expect.reached and expect.names else []),
            *others,
        ]  # fmt: skip
        return [*self._always(), {"id": CAPTURE, "kind": "capture", "marker": marker, "during": during}]

    def _always(self) -> list[Request]:
        """Ask the kernel for its routes, and the exit node whether it is there."""
        expect = self._expect
        alive = list(expect.node.addresses[:1]) if expect.node and expect.reached else []
        return [
            {"id": ADDRESSES, "kind": "addresses"},
            {"id": ROUTES, "kind": "routes", "get": list(expect.outside)},
            {"id": ALIVE, "kind": "icmp", "targets": alive, "count": 3, "interval_s": 0.2, "try_timeout_s": 1.0},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge where requests came from, and what the capture saw."""
        seen = lifted(answer, CAPTURE, (HTTP, GETADDRINFO, ICMP, EXCHANGE))
        checks = judge_egress(seen, self.context, self._expect)
        self._expect = replace(self._expect, before=connections(seen, self._expect.before))
        return checks

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client for its status."""
        return [{"id": STATUS, "kind": "status"}, {"id": PREFS, "kind": "prefs"}]
