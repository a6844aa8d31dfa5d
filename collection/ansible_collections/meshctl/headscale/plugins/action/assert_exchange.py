# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that nodes exchange data over TCP and UDP; see the module of the same name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from secrets import randbelow
from typing import TYPE_CHECKING, Any

from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import ASPECT, COMMON, FAMILIES, MEMBERS, wanted
from ..plugin_utils._action.peers import following, reached, stream_count
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.turns import turn
from ..plugin_utils._judge.answer import items, mapping, number
from ..plugin_utils._judge.context import Node
from ..plugin_utils._judge.exchange import Exchange, judge_exchange
from ..plugin_utils._judge.observations import EXCHANGE
from ..plugin_utils._judge.opened import CONNECTIONS, connections, pause_s

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

_SMALLEST, _LARGEST, _STEPS = 64, 1200, 10
_BYTES, _CROWD_BYTES = 1_000_000, 500_000
_REQUEST_S = 2.0
# Below this rate, a transfer within the budget is not waited for.
_LOWEST_RATE_MBIT = 0.2
# In a mesh of more nodes that share cores, so many of them transfer at a time.
_ALL_AT_ONCE, _TURNS = 8, 4
_LONGEST_TURN_S = 120.0
_NO_PORTS = "existing hosts listen only on ports that the policy lets through: name them in mesh_probe_ports"


class ActionModule(Assertion):
    """Connect to the listeners that the action `serve` has started on the peers."""

    ASSERTION = "reachable"
    DEADLINE_S = 15.0
    LOOK_S = 12.0
    SHORTEST_LOOK_S = 4.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        **ASPECT,
        "families": {**FAMILIES, "default": ["ipv4", "ipv6"]},
        "bulk_bytes": {"type": "int"},
        "bulk_peers": {"type": "int"},
        "rate_budget": {"type": "float"},
    }

    def prepare(self) -> None:
        """Decide which peers to connect to, and which of them get a transfer."""
        if self._task.check_mode:
            raise NotAsserted("nodes do not listen in check mode: run without --check")
        if self.setting("backend") == "hosts" and not self.setting("probe_ports"):
            raise NotAsserted(_NO_PORTS)
        nodes = self.nodes()
        peers = reached(self, self.peers())
        if all(self._ended(peer.name) for peer in peers):
            names = ", ".join(peer.name for peer in peers)
            raise NotAsserted(f"the story has outlasted the time for which its peers listen: {names}")
        # The same in every look: what a look at other sizes finds does not refute the one before.
        self._sizes = sizes()
        self._expect = Exchange(
            # A node that was deleted on the server still knows its addresses.
            own=nodes.get(self.host) or Node.read(self.host, self.variable("mesh_client")),
            peers=peers,
            serving={peer.name: mapping(self.of_host(peer.name, "mesh_serving")) for peer in peers},
            families=self.families,
            # Slow hosts, such as emulated ones, get less to transfer, not only more time.
            bulk=int(self._bulk / self.patience**2),
            bulk_peers=frozenset(
                following(self.host, list(nodes), [peer.name for peer in peers], self._transfers(len(nodes)))
            ),
            rate_budget_mbit=self.setting("rate_budget_mbit", self.options.get("rate_budget")),
            aspect=self.options["aspect"],
        )
        for name, least in (
            ("LOOK_S", self._transfer_s + self.SHORTEST_LOOK_S),
            ("DEADLINE_S", 1.5 * self._transfer_s),
        ):
            setattr(self, name, max(getattr(self, name), least))

    def _ended(self, peer: str) -> bool:
        """Whether a peer that has listened no longer does, or only for less time than a request may take."""
        until = number(mapping(self.of_host(peer, "mesh_serving")).get("until"))
        return until is not None and until < time.time() + self._patience_s

    @property
    def _patience_s(self) -> float:
        """Return the seconds for a small request and its reply."""
        return _REQUEST_S * self.patience

    @property
    def _transfer_s(self) -> float:
        """Return the seconds that a transfer in both directions takes within its budget, and some more."""
        within = 2 * self._expect.bulk * 8 / 1e6 / max(self._expect.rate_budget_mbit, _LOWEST_RATE_MBIT)
        return max(6.0 * self.patience, 1.1 * within)

    @property
    def _bulk(self) -> int:
        """Return the number of bytes of a transfer in one direction."""
        given: int | None = self.options["bulk_bytes"]
        usual = _CROWD_BYTES if self.crowd else _BYTES
        return usual if given is None else given

    def _transfers(self, nodes: int) -> int:
        """Return the number of peers with a transfer."""
        given: int | None = self.options["bulk_peers"]
        return stream_count(nodes) if given is None else given

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Exchange data with the peers that have not passed yet."""
        found = [
            self._target(peer, family)
            for peer in wanted(self._expect.peers, pending)
            for family in self._expect.families
        ]
        return [
            {
                "id": "exchange",
                "kind": "exchange",
                "targets": [target for target in found if target],
                "bulk": self._expect.bulk,
                "sizes": self._sizes,
                "connections": CONNECTIONS,
                "pause_s": pause_s(self.patience),
                "try_timeout_s": self._patience_s,
                "bulk_timeout_s": self._transfer_s,
            }
        ]

    def probe(self, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
        """Return the probe's answer; hosts of a large mesh that share cores take turns to transfer."""
        large = self._shared and len(self.nodes()) > _ALL_AT_ONCE
        few, many = (only(requests, bulk=bulk) for bulk in (False, True))
        if not (large and few and many):
            return super().probe(requests, seconds=seconds)
        answer = super().probe(few, seconds=seconds)
        if "failure" in answer:
            return answer
        busy, began = self.load, time.monotonic()
        with turn(f"transfer-{self.setting('lab_name')}", at_once=_TURNS, seconds=_LONGEST_TURN_S):
            self.paced_s += time.monotonic() - began
            found = together(answer, super().probe(many, seconds=seconds))
        self.load = max(busy, self.load, key=lambda load: load.slowdown)
        return found

    def _target(self, peer: Node, family: int) -> Request:
        """Return where a peer listens; empty when it does not."""
        ports = {protocol: self._expect.port(peer, family, protocol)[0] for protocol in ("tcp", "udp")}
        if not any(ports.values()):
            return {}
        serving, known = self._expect.serving[peer.name], peer.address(family)
        found = mapping(mapping(serving.get("ports")).get(known))
        return {
            "host": known,
            "token": serving.get("token"),
            "bulk": peer.name in self._expect.bulk_peers,
            # What has passed is not tried again, so that a slow transfer leaves time for the rest.
            "transfer": known not in self._expect.transferred,
            "more": {protocol: items(mapping(found.get(protocol)).get("more")) for protocol in ports},
            **ports,
        }

    def judge(self, answer: Json) -> list[Check]:
        """Judge the replies and the transfers."""
        checks = judge_exchange(answer, self.context, self._expect)
        passed = {
            check.expected["address"]
            for check in checks
            if "bulk" in check.aspect.split(".") and check.verdict == "passed"
        }
        self._expect = replace(
            self._expect,
            before=connections(answer, self._expect.before),
            transferred=self._expect.transferred | passed,
        )
        return checks


def only(requests: Sequence[Request], *, bulk: bool) -> list[Request]:
    """Return the requests with the targets that get a transfer, or with the others; without targets, there is no request."""
    found = [{**request, "targets": [one for one in request["targets"] if one["bulk"] is bulk]} for request in requests]
    return [request for request in found if request["targets"]]


def together(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return two answers as one: what both have seen, and why the second one failed if it did."""
    seen = [mapping(mapping(one.get("observations")).get(EXCHANGE)) for one in (first, second)]
    both = {**mapping(seen[0].get("data")), **mapping(seen[1].get("data"))}
    return {**first, **second, "observations": {EXCHANGE: {**seen[0], **seen[1], "data": both}}}


def sizes() -> list[int]:
    """Return sizes of packets, one chosen at random from each part of what fits into the mesh's packets."""
    step = (_LARGEST - _SMALLEST) // _STEPS
    return [_SMALLEST + number * step + randbelow(step) for number in range(_STEPS)]
