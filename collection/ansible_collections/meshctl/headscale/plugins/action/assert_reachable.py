# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that nodes reach each other over the mesh; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..plugin_utils._assertion import COMMON, MEMBERS, Ask, Assertion, families, positive, wanted
from ..plugin_utils._judge.reachable import LARGE, Reachable, judge_reachable, judge_steady
from ..plugin_utils._judge.seen import mapping, number
from ..plugin_utils._judge.unreachable import judge_unreachable
from ..plugin_utils._peers import expectation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.seen import Json

_FEWEST, _MOST, _PACKETS = 5, 20, 400


class ActionModule(Assertion):
    """Pings every peer's mesh addresses from the node's kernel."""

    ASSERTION = "reachable"
    # Two nodes that begin to speak at the same moment miss each other's WireGuard handshake, and try again after 5 s.
    DEADLINE_S = 30.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "families": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"], "default": ["ipv4", "ipv6"]},
        "count": {"type": "int", "default": 3},
        "latency_budget_ms": {"type": "float"},
        "loss_budget": {"type": "float"},
    }

    def prepare(self) -> None:
        """Find out whom to ping."""
        positive("count", self.options["count"])
        expect = expectation(self)
        everybody = self.peers()
        peers = tuple(peer for peer in everybody if expect.reaches(self.host, peer.name))
        # That somebody is kept out is asserted as well: by silence, beside the answers of the others.
        self._kept_out = tuple(peer for peer in everybody if peer not in peers)
        self._expect = Reachable(
            peers=peers,
            families=families(self.options["families"]),
            latency_budget_ms=self.number_of("latency_budget_ms", "mesh_latency_budget_ms", 50),
            loss_budget=self.number_of("loss_budget", "mesh_loss_budget_percent", 5),
        )

    def observe(self, pending: frozenset[str | None] | None) -> list[Ask]:
        """Ping the peers that have not all answered yet."""
        targets = self._addresses(pending)
        return [
            {"id": "icmp", "kind": "icmp", "targets": targets, "count": self.options["count"], "interval_s": 0.1},
            {"id": "addresses", "kind": "addresses"},
        ]

    def _addresses(self, pending: frozenset[str | None] | None) -> list[str]:
        peers = wanted((*self._expect.peers, *self._kept_out), pending)
        known = [peer.address(family) for peer in peers for family in self._expect.families]
        return [address for address in known if address]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the replies."""
        kept_out = judge_unreachable(answer, self.frame, self._kept_out, aspect="forbidden")
        return [*judge_reachable(answer, self.frame, self._expect), *kept_out]

    def diagnose(self, failing: frozenset[str | None]) -> list[Ask]:
        """Ask the client what it knows of the peers, and try the layers below."""
        targets = self._addresses(failing)
        pings: Ask = {"targets": targets, "tries": 2, "try_timeout_s": 1.5}
        return [
            {"id": "status", "kind": "status"},
            {"id": "disco", "kind": "disco", **pings},
            {"id": "tsmp", "kind": "tsmp", **pings},
        ]

    def afterwards(self, checks: Sequence[Check]) -> list[Check]:
        """Measure the paths that were found: a lucky run of pings is no proof of a line that does not lose packets."""
        answering = {(check.target, check.id[-1]) for check in checks if check.verdict == "passed" or _answered(check)}
        # An address that has not answered at all has failed already; what is lost on the way is another question.
        peers = tuple(
            replace(
                peer,
                addresses=tuple(
                    known for known in peer.addresses if (peer.name, "6" if ":" in known else "4") in answering
                ),
            )
            for peer in self._expect.peers
        )
        expect = replace(self._expect, peers=tuple(peer for peer in peers if peer.addresses))
        silent = [peer for peer in peers if not peer.addresses]
        found = [self.frame.skipped("it does not answer at all", aspect="loss", target=peer.name) for peer in silent]
        if not expect.peers:
            return found
        measured = judge_steady(self._measure(expect), self.frame, expect)
        if again := {check.target for check in measured if check.bad}:
            # Once more, for those: a path may have changed just then.
            worse = replace(expect, peers=tuple(peer for peer in expect.peers if peer.name in again))
            repeated = judge_steady(self._measure(worse), self.frame, worse)
            measured = [*(check for check in measured if check.target not in again), *repeated]
        return [*found, *measured]

    def _measure(self, expect: Reachable) -> dict[str, Any]:
        known = [peer.address(family) for peer in expect.peers for family in expect.families]
        targets = [entry for entry in known if entry]
        # All nodes do this at once: where there are many, each sends less.
        count = max(_FEWEST, min(_MOST, _PACKETS // len(targets)))
        burst: Ask = {"kind": "icmp", "targets": targets, "interval_s": 0.05, "try_timeout_s": 1.0}
        steps = [{"id": "steady", **burst, "count": count}, {"id": "large", **burst, "count": 3, "size": LARGE}]
        answer = self.look([{"id": "burst", "kind": "sequence", "steps": steps}], seconds=self.LOOK_S * 2)
        observations = mapping(answer.get("observations"))
        return {**answer, "observations": {**observations, **mapping(mapping(observations.get("burst")).get("data"))}}


def _answered(check: Check) -> bool:
    return bool(number(mapping(check.observed).get("received")))
