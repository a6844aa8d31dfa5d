# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a node leaves the mesh through its exit node alone; see the module of the same name."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import COMMON, lifted
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations import routes
from ..plugin_utils._expectations.view import place
from ..plugin_utils._judge.answer import mapping, text
from ..plugin_utils._judge.egress import Egress, judge_egress
from ..plugin_utils._judge.observations import ADDRESSES, CAPTURE, GETADDRINFO, HTTP, ICMP, PREFS, STATUS

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

# Addresses for documentation, of a network that is not this lab's: nothing answers there.
_NOWHERE = ("198.51.100.7", "2001:db8::7")
_DISCARD = 9


class ActionModule(Assertion):
    """Capture on every interface while this host uses the internet."""

    ASSERTION = "egress"
    DEADLINE_S = 15.0
    LOOK_S = 6.0
    SHORTEST_LOOK_S = 4.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "nodes": {"type": "raw"},
        "exit_node": {"type": "str", "required": True},
        "reached": {"type": "bool", "default": True},
        "lan": {"type": "bool", "default": False},
        "aspect": {"type": "str", "default": ""},
    }

    def prepare(self) -> None:
        """Find the web server, the neighbour, and the addresses that the web server may see."""
        name = self.options["exit_node"]
        if name not in self.group("clients"):
            raise BadInput(f"exit_node is {name!r}: write a host of the group clients")
        web, known = routes.web(self)
        if not web:
            raise NotAsserted("no host of the group lan is on the WAN, to say where requests come from")
        beside, address = routes.neighbour(self)
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
            probed=_NOWHERE, aspect=self.options["aspect"], router=mapping(self.of_host(name, "mesh_router")),
        )  # fmt: skip

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Browse, resolve and send marked packets, and capture meanwhile."""
        expect = self._expect
        marker = f"meshctl-{token_hex(8)}"
        seconds = (2.5 if expect.reached else 1.5) * self.patience
        pages = [
            *(url for url, _sources in expect.pages.values()),
            *([expect.neighbour_url] if expect.neighbour and expect.reached else []),
        ]
        others: list[Request] = [
            {"id": f"udp {known}", "kind": "send", "host": known, "port": _DISCARD, "marker": marker}
            for known in (*expect.webs, *_NOWHERE)
        ]
        during: list[Request] = [
            {"id": HTTP, "kind": "http", "targets": [{"url": url} for url in pages], "try_timeout_s": seconds},
            {"id": ICMP, "kind": "icmp", "targets": [expect.web_address, _NOWHERE[0]], "count": 2, "interval_s": 0.1,
             "try_timeout_s": 0.5, "marker": marker, "size": 64},
            # This name does not exist, so that no cache answers.
            {"id": "marked", "kind": "getaddrinfo", "names": [f"{marker}.lab.test"], "timeout_s": seconds},
            *([{"id": GETADDRINFO, "kind": "getaddrinfo", "names": list(expect.names)}] if expect.reached and expect.names else []),
            *others,
        ]  # fmt: skip
        steps: list[Request] = [
            {"id": ADDRESSES, "kind": "addresses"},
            {"id": CAPTURE, "kind": "capture", "marker": marker, "during": during},
        ]
        return steps

    def judge(self, answer: Json) -> list[Check]:
        """Judge where requests came from, and what the capture saw."""
        return judge_egress(lifted(answer, CAPTURE, (HTTP, GETADDRINFO)), self.context, self._expect)

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client for its status."""
        return [{"id": STATUS, "kind": "status"}, {"id": PREFS, "kind": "prefs"}]
