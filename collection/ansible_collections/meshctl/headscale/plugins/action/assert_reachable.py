# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that nodes reach each other over the mesh; see the module of the same name."""

from __future__ import annotations

import time
from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ..plugin_utils._action.assertion import COMMON, MEMBERS, Assertion, Request, families, lifted, positive, wanted
from ..plugin_utils._action.peers import expectation
from ..plugin_utils._judge.answer import Answer, mapping, number
from ..plugin_utils._judge.encrypted import sent_by_path
from ..plugin_utils._judge.reachable import (
    LARGE,
    Reachable,
    hidden_losses,
    judge_latency,
    judge_reachable,
    judge_steady,
)
from ..plugin_utils._judge.unreachable import judge_unreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

_FEWEST, _MOST, _PACKETS = 5, 20, 400
# WireGuard tries a handshake again after 5 s, and up to 0.3 s more.
_HANDSHAKE_S = 6.0
_TRIES = 16
_CALM = 15


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
            latency_budget_ms=self.setting("latency_budget_ms", self.options.get("latency_budget_ms")),
            loss_budget=self.setting("loss_budget_percent", self.options.get("loss_budget")),
        )

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ping the peers that have not all answered yet."""
        targets = self._addresses(pending)
        marker = f"meshctl-{token_hex(8)}"
        pings: Request = {
            "id": "icmp",
            "kind": "icmp",
            "targets": targets,
            "count": self.options["count"],
            "interval_s": 0.1,
            "try_timeout_s": self._patience_s,
            "marker": marker,
        }
        return [
            # What the kernel takes for a peer's reply may be another's, whose address was changed on the way in.
            {"id": "watched", "kind": "capture", "optional": True, "marker": marker, "during": [pings]},
            {"id": "addresses", "kind": "addresses"},
        ]

    @property
    def _patience_s(self) -> float:
        """Return how long a reply may take: one that is within the budget is not lost."""
        return max(1.0, 2 * self._expect.latency_budget_ms / 1000)

    def _addresses(self, pending: frozenset[str | None] | None) -> list[str]:
        peers = wanted((*self._expect.peers, *self._kept_out), pending)
        known = [peer.address(family) for peer in peers for family in self._expect.families]
        return [address for address in known if address]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the replies."""
        answer = lifted(answer, "watched", ("icmp",))
        kept_out = judge_unreachable(answer, self.context, self._kept_out, aspect="forbidden")
        return [*judge_reachable(answer, self.context, self._expect), *kept_out]

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client what it knows of the peers, and try the layers below."""
        targets = self._addresses(failing)
        pings: Request = {"targets": targets, "tries": 2, "try_timeout_s": 1.5}
        return [
            {"id": "status", "kind": "status"},
            {"id": "disco", "kind": "disco", **pings},
            {"id": "tsmp", "kind": "tsmp", **pings},
            {"id": "routes", "kind": "routes", "get": targets},
        ]

    def followup_checks(self, checks: Sequence[Check]) -> list[Check]:
        """Measure the paths that were found: a lucky run of pings is no proof of a line that does not lose packets."""
        answering = {(check.target, check.family) for check in checks if check.verdict == "passed" or _answered(check)}
        # An address that has not answered at all has failed already; what is lost on the way is another question.
        peers = tuple(
            replace(
                peer,
                addresses=tuple(
                    known for known in peer.addresses if (peer.name, "ipv6" if ":" in known else "ipv4") in answering
                ),
            )
            for peer in self._expect.peers
        )
        expect = replace(self._expect, peers=tuple(peer for peer in peers if peer.addresses))
        silent = [peer for peer in peers if not peer.addresses]
        found = [self.context.skipped("it does not answer at all", aspect="loss", target=peer.name) for peer in silent]
        if not expect.peers:
            return found
        answer = self._measure(expect)
        self._confirm_latency(answer, expect, checks)
        return [*found, *self._steady(answer, expect)]

    def _confirm_latency(self, answer: Json, expect: Reachable, checks: Sequence[Check]) -> None:
        """Let no lucky look stand: who answers a burst too slowly is asked again, in peace."""
        passed = {check.target: check for check in checks if _is(check, "latency") and check.verdict == "passed"}
        burst = judge_latency(answer, self.context, expect, of="steady")
        slow = _only(expect, {check.target for check in burst if check.bad and check.target in passed})
        if not slow.peers:
            return
        asked: Request = {"id": "calm", "kind": "icmp", "targets": self._targets(slow), "count": _CALM, "interval_s": 0.15,
                      "try_timeout_s": self._patience_s}  # fmt: skip
        calm = self.probe([asked], seconds=self.LOOK_S * 2)
        for check in judge_latency(calm, self.context, slow, of="calm"):
            if check.bad:
                vars(passed[check.target]).update(
                    verdict=check.verdict, observed=check.observed, evidence=check.evidence, hint=check.hint
                )

    def _steady(self, answer: Json, expect: Reachable) -> list[Check]:
        """Judge a burst, and measure again what was bad: a path may have changed just then."""
        measured = judge_steady(answer, self.context, expect)
        # Where the relay has carried some of it, a direct path may have been given up.
        doubtful: set[str | None] = {peer.name for peer in expect.peers} if _relayed(answer) else set()
        for final in (False, True):
            bad = {check.target for check in measured if check.bad}
            silent = {check.target for check in measured if check.bad and _heard_nothing(check)}
            again = _only(expect, silent if final else bad)
            if not again.peers:
                break
            doubtful |= bad
            if final:
                self._await_replies(again)
            names = {peer.name for peer in again.peers}
            repeated = judge_steady(self._measure(again), self.context, again)
            measured = [*(check for check in measured if check.target not in names), *repeated]
        doubtful -= {check.target for check in measured if check.bad and _is(check, "loss")}
        hidden = {check.target: check for check in self._hidden(_only(expect, doubtful))}
        return [hidden.get(check.target, check) if _is(check, "loss") else check for check in measured]

    def _await_replies(self, expect: Reachable) -> None:
        """Wait until peers that have fallen silent answer again, at most as long as WireGuard takes to try once more.

        Two nodes that renew their keys at the same moment, as they may when all measure at once, lose each other.
        """
        targets = self._targets(expect)
        end = time.monotonic() + _HANDSHAKE_S
        while time.monotonic() < end:
            asked: Request = {"id": "icmp", "kind": "icmp", "targets": targets, "count": 1, "try_timeout_s": 0.5}
            answer = mapping(self.probe([asked], seconds=self.LOOK_S).get("observations"))
            found = mapping(mapping(answer.get("icmp")).get("data"))
            if all(number(mapping(found.get(known)).get("received")) for known in targets):
                return

    def _hidden(self, expect: Reachable) -> list[Check]:
        """Ping along the direct paths themselves; what is lost there twice is lost, though the relay stepped in."""
        for _time in range(2):
            if not expect.peers:
                return []
            targets = [next(iter(peer.addresses)) for peer in expect.peers]
            asked: Request = {"id": "direct", "kind": "disco", "targets": targets, "tries": _TRIES, "interval_s": 0.05}
            found = hidden_losses(self.probe([asked], seconds=self.LOOK_S * 2), self.context, expect)
            expect = _only(expect, {check.target for check in found})
        return found

    def _measure(self, expect: Reachable) -> dict[str, Any]:
        targets = self._targets(expect)
        # All nodes do this at once: where there are many, each sends less.
        count = max(_FEWEST, min(_MOST, _PACKETS // len(targets)))
        burst: Request = {"kind": "icmp", "targets": targets, "interval_s": 0.05, "try_timeout_s": self._patience_s}
        steps = [
            {"id": "metrics_before", "kind": "metrics"},
            {"id": "steady", **burst, "count": count},
            {"id": "metrics_after", "kind": "metrics"},
            {"id": "large", **burst, "count": max(3, count // 2), "size": LARGE},
        ]
        answer = self.probe([{"id": "burst", "kind": "sequence", "steps": steps}], seconds=self.LOOK_S * 2)
        observations = mapping(answer.get("observations"))
        return {**answer, "observations": {**observations, **mapping(mapping(observations.get("burst")).get("data"))}}

    @staticmethod
    def _targets(expect: Reachable) -> list[str]:
        known = [peer.address(family) for peer in expect.peers for family in expect.families]
        return [entry for entry in known if entry]


def _only(expect: Reachable, names: Collection[str | None]) -> Reachable:
    return replace(expect, peers=tuple(peer for peer in expect.peers if peer.name in names))


def _is(check: Check, aspect: str) -> bool:
    return check.aspect == aspect


def _heard_nothing(check: Check) -> bool:
    return _is(check, "loss") and number(mapping(check.observed).get("received")) == 0


def _relayed(answer: Json) -> bool:
    """Whether a relay has carried some of a burst."""
    seen = Answer(answer)
    before, after = sent_by_path(seen.data("metrics_before")), sent_by_path(seen.data("metrics_after"))
    return before is not None and after is not None and after["relay"] - before["relay"] >= _FEWEST


def _answered(check: Check) -> bool:
    return bool(number(mapping(check.observed).get("received")))
