# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that traffic over the mesh leaves encrypted; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING

from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.expected_paths import expected_paths, path_of
from ..plugin_utils._action.options import COMMON, MEMBERS, PATH, positive, wanted
from ..plugin_utils._action.peers import following, reached
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import address, items, mapping
from ..plugin_utils._judge.context import Node
from ..plugin_utils._judge.encrypted import Encrypted, judge_encrypted
from ..plugin_utils._judge.exchange import Exchange
from ..plugin_utils._judge.observations import (
    ADDRESSES,
    BULK,
    CAPTURE,
    DISCO,
    EXCHANGE,
    METRICS_AFTER,
    METRICS_BEFORE,
    PINGS,
    REFRESHED,
    STATUS,
    TCP,
    WIRE,
)
from ..plugin_utils._judge.transferred import Transfer, judge_transferred

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

_DISCARD = 9
# About as many in the whole mesh, unless there are more nodes.
_BULK, _TRANSFERS = 1_000_000, 48


class ActionModule(Assertion):
    """Capture on every interface while marked payloads are sent to the peers."""

    ASSERTION = "encrypted"
    DEADLINE_S = 20.0
    LOOK_S = 12.0
    SHORTEST_LOOK_S = 8.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        **PATH,
        "count": {"type": "int", "default": 3},
    }

    def prepare(self) -> None:
        """Look up the expected path to each peer."""
        positive("count", self.options["count"])
        found = expected_paths(self, reached(self, self.peers()), kind=path_of(self))
        self._expect = Encrypted(expected_paths=found, count=self.options["count"])
        self._prepare_transfer()

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Settle the paths, then capture marked echo requests between two readings of the counters."""
        peers = {peer.name for peer in wanted((way.peer for way in self._expect.expected_paths), pending)}
        # The check of the counters has no target, but needs traffic to at least one peer.
        chosen = [way for way in self._expect.expected_paths if way.address and (not peers or way.peer.name in peers)]
        targets = [way.address for way in chosen]
        everywhere = [known for way in chosen for known in way.peer.addresses]
        marker = f"meshctl-marker-{token_hex(8)}"
        # One family after the other: tailscaled may merge two packets to one endpoint, and the kernel splits them only after
        # the capture.
        families = {"icmp": [known for known in everywhere if ":" not in known],
                    "icmp6": [known for known in everywhere if ":" in known]}  # fmt: skip
        sent: Request = {
            "kind": "icmp",
            "count": self.options["count"],
            "interval_s": 0.1,
            "marker": marker,
            "size": 64,
        }
        pings: Request = {
            "id": PINGS,
            "kind": "sequence",
            "steps": [{"id": name, "targets": known, **sent} for name, known in families.items() if known],
        }
        # These need no answer: a rule may route one protocol differently from the others.
        others: list[Request] = [
            {"id": f"udp {known}", "kind": "send", "host": known, "port": _DISCARD, "marker": marker}
            for known in everywhere
        ]
        connects = [{"host": known, "port": _DISCARD} for known in everywhere]
        others.append({"id": TCP, "kind": "tcp", "targets": connects, "try_timeout_s": 0.5})
        steps: list[Request] = [
            {"id": DISCO, "kind": "disco", "targets": targets, "tries": 10, "until_direct": True, "timeout_s": 4.0},
            {"id": ADDRESSES, "kind": "addresses"},
            # A peer that does not answer costs seconds, in which other paths go stale: their first packet would take the
            # relay.
            {
                "id": REFRESHED,
                "kind": "disco",
                "targets": targets,
                "tries": 3,
                "until_direct": True,
                "try_timeout_s": 0.3,
                "interval_s": 0.05,
            },
            {"id": METRICS_BEFORE, "kind": "metrics"},
            {"id": CAPTURE, "kind": "capture", "marker": marker, "during": [pings, *others]},
            {"id": METRICS_AFTER, "kind": "metrics"},
            *self._bulk(),
        ]
        return [{"id": WIRE, "kind": "sequence", "steps": steps}]

    def _bulk(self) -> list[Request]:
        """Return the transfer, and what captures it."""
        if self._transfer.skipped:
            return []
        exchange: Request = {
            "id": EXCHANGE, "kind": "exchange", "targets": self._targets, "bulk": self._transfer.length,
            "try_timeout_s": 2.0 * self.patience, "bulk_timeout_s": 5.0 * self.patience,
        }  # fmt: skip
        own = address(next(iter(items(mapping(self.variable("mesh_client")).get("addresses"))), ""))
        return [{"id": BULK, "kind": "capture", "clear": True, "except": [own], "during": [exchange]}]

    def _prepare_transfer(self) -> None:
        """Choose a mesh address of each peer that listens there."""
        exchange = Exchange(own=Node.read(self.host, {}), peers=(), serving={}, families=())
        peers: dict[str, str] = {}
        self._targets: list[Request] = []
        nodes, known_ways = list(self.nodes()), {way.peer.name: way for way in self._expect.expected_paths}
        count = max(1, _TRANSFERS // max(1, len(nodes)))
        for way in map(known_ways.__getitem__, following(self.host, nodes, list(known_ways), count)):
            serving = mapping(self.of_host(way.peer.name, "mesh_serving"))
            known = replace(exchange, serving={way.peer.name: serving})
            family = 6 if ":" in way.address else 4
            if port := known.port(way.peer, family, "tcp")[0]:
                peers[way.peer.name] = way.peer.address(family)
                self._targets.append({"host": peers[way.peer.name], "tcp": port, "token": serving.get("token")})
        self._transfer = Transfer(
            length=int(_BULK / self.patience**2), peers=peers, skipped="" if peers else self._no_listener()
        )

    def _no_listener(self) -> str:
        if self._task.check_mode:
            return "nodes do not listen in check mode: run without --check"
        if self.setting("backend") == "hosts" and not self.setting("probe_ports"):
            return "existing hosts listen only on ports that the policy lets through: name them in mesh_probe_ports"
        return "no peer listens for a transfer: run meshctl.headscale.serve first"

    def judge(self, answer: Json) -> list[Check]:
        """Judge the captures."""
        checks = judge_encrypted(answer, self.context, self._expect)
        return [*checks, judge_transferred(answer, self.context, self._transfer)]

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client for its status."""
        return [{"id": STATUS, "kind": "status"}]
