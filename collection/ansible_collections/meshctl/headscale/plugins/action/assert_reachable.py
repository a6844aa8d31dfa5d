# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that nodes reach each other over the mesh; see the module of the same name."""

from __future__ import annotations

import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, FAMILIES, MEMBERS, families, lifted, positive, wanted
from ..plugin_utils._action.peers import expectation
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.observations import ADDRESSES, DISCO, ICMP, ROUTES, STATUS, TSMP, WATCHED
from ..plugin_utils._judge.reachable import Reachable, judge_reachable, no_address
from ..plugin_utils._judge.remeasure import Probe, Remeasurement, drive
from ..plugin_utils._judge.unreachable import judge_unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

_COUNT, _FEWER = 3, 2


class ActionModule(Assertion):
    """Ping every peer's mesh addresses from the node's kernel."""

    ASSERTION = "reachable"
    # Two nodes that start talking at the same moment miss each other's WireGuard handshake and retry after 5 s.
    DEADLINE_S = 30.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "families": {**FAMILIES, "default": ["ipv4", "ipv6"]},
        "count": {"type": "int"},
        "latency_budget_ms": {"type": "float"},
        "loss_budget": {"type": "float"},
    }

    def prepare(self) -> None:
        """Decide which peers to ping, and which must stay silent."""
        given = self.options["count"]
        usual = _FEWER if self.crowd else _COUNT
        self._count = positive("count", usual if given is None else given)
        expect = expectation(self)
        everyone = self.peers()
        peers = tuple(peer for peer in everyone if expect.reaches(self.host, peer.name))
        self._kept_out = tuple(peer for peer in everyone if peer not in peers)
        self._began = time.time()
        self._expect = Reachable(
            peers=peers,
            families=self.families,
            latency_budget_ms=self.setting("latency_budget_ms", self.options.get("latency_budget_ms")),
            loss_budget=self.setting("loss_budget_percent", self.options.get("loss_budget")),
        )

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ping the peers that have not all answered yet."""
        marker = f"meshctl-{token_hex(8)}"
        pings: Request = {
            "id": ICMP,
            "kind": "icmp",
            "targets": self._addresses(pending),
            "count": self._count,
            "interval_s": 0.1,
            "try_timeout_s": self._reply_timeout_s,
            "marker": marker,
        }
        return [
            # A NAT rule can make another host's reply look like the peer's; only a capture shows the difference.
            {"id": WATCHED, "kind": "capture", "optional": True, "echoes": True, "marker": marker, "during": [pings]},
            {"id": ADDRESSES, "kind": "addresses"},
        ]

    @property
    def _reply_timeout_s(self) -> float:
        """Return how long to wait for a reply: a reply within the latency budget is not lost."""
        return max(1.0, 2 * self._expect.latency_budget_ms / 1000) * self.busiest.patience

    def _addresses(self, pending: frozenset[str | None] | None) -> list[str]:
        peers = wanted((*self._expect.peers, *self._kept_out), pending)
        known = [peer.address(family) for peer in peers for family in self._expect.families]
        return [address for address in known if address]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the replies, and the silence of peers that must not be reached."""
        answer = lifted(answer, WATCHED, (ICMP,))
        kept_out = judge_unreachable(answer, self.context, self._kept_out, aspect="forbidden")
        unused = [
            self.context.skipped(
                no_address(self.host, family)
                if family in self._without
                else f"no node has an IPv{family} mesh address: prefixes.v{family} is not set on the server",
                aspect=f"ipv{family}",
            )
            for family in families(self.options["families"])
            if family not in self._expect.families
        ]
        return [*judge_reachable(answer, self.context, self._expect), *kept_out, *unused]

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client what it knows of the peers, and try the layers below."""
        targets = self._addresses(failing)
        pings: Request = {"targets": targets, "tries": 2, "try_timeout_s": 1.5}
        return [
            {"id": STATUS, "kind": "status"},
            {"id": DISCO, "kind": "disco", **pings},
            {"id": TSMP, "kind": "tsmp", **pings},
            {"id": ROUTES, "kind": "routes", "get": targets},
        ]

    def follow_up(self, checks: Sequence[Check]) -> list[Check]:
        """Measure the paths that were found: a few lucky pings do not prove that a path keeps its packets."""
        steps = Remeasurement(
            context=self.context,
            reply_timeout_s=self._reply_timeout_s,
            clock=time.monotonic,
            sharing=len(self.nodes()) if self._shared else 1,
        )
        return drive(steps.checks(self._expect, checks), self._measure)

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return when peers that did not answer at once did, so that a watch does not judge what was before."""
        late: dict[str, float] = {}
        for check in checks:
            if check.family and check.target and check.verdict == "passed" and check.evidence.get("looks"):
                late[check.target] = max(late.get(check.target, 0.0), self._began + check.duration_ms / 1000)
        return {"ansible_facts": {"mesh_reached_at": late}}

    def _measure(self, probe: Probe) -> Json:
        return self.probe([probe.request], seconds=self.LOOK_S * probe.looks)
