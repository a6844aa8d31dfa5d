# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure the paths that were found, and measure again before a path is called bad.

A few lucky pings do not prove that a path keeps its packets, and one bad burst does not prove that it loses them: the
path may have changed at that moment. Each step is a generator that yields the probe to run, receives its answer and
returns checks. It does no I/O, so tests script the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from .answer import Answer, Json, mapping, number
from .check import Check
from .context import CheckContext
from .encrypted import sent_by_path
from .observations import BURST, CALM, DIRECT, ICMP, LARGE, METRICS_AFTER, METRICS_BEFORE, STEADY
from .reachable import Reachable, judge_latency
from .saturation import load_of
from .steady import LARGE_BYTES, hidden_losses, judge_steady

Request: TypeAlias = dict[str, Any]
_Result = TypeVar("_Result")

_FEWEST, _MOST, _PACKETS = 5, 20, 400
# For a large packet to be answered that is sent again meanwhile.
_LARGE_S = 2.5
# Of all hosts together, where they share cores.
_PACKETS_SHARED = 24_000
# WireGuard retries a handshake after 5 s, plus up to 0.3 s of jitter.
HANDSHAKE_S = 6.0
_DIRECT_PINGS = 16
_CALM_PINGS = 15


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A probe to run; it may take `looks` times as long as an ordinary one."""

    request: Request
    looks: int = 2


Steps: TypeAlias = Generator[Probe, Json, _Result]


def drive(steps: Steps[_Result], run: Callable[[Probe], Json]) -> _Result:
    """Run each probe that the steps ask for, and return what they conclude."""
    answer: Json = None
    while True:
        try:
            probe = steps.send(answer)
        except StopIteration as done:
            result: _Result = done.value
            return result
        answer = run(probe)


@dataclass(frozen=True, kw_only=True)
class Remeasurement:
    """What all steps share."""

    context: CheckContext
    reply_timeout_s: float
    clock: Callable[[], float]
    sharing: int = 1
    """How many hosts share the cores of this one."""

    def checks(self, expect: Reachable, checks: Sequence[Check]) -> Steps[list[Check]]:
        """Return the checks so far, with latencies confirmed, and checks of loss and large packets."""
        answering = _answering(expect, checks)
        silent = [peer for peer in answering.peers if not peer.addresses]
        skipped = [
            self.context.skipped("it does not answer at all", aspect="loss", target=peer.name) for peer in silent
        ]
        expect = replace(answering, peers=tuple(peer for peer in answering.peers if peer.addresses))
        if not expect.peers:
            return [*checks, *skipped]
        answer = yield from self._burst(expect)
        confirmed = yield from self._confirm_latency(answer, expect, checks)
        steady = yield from self._steady(answer, expect)
        return [*confirmed, *skipped, *steady]

    def _confirm_latency(self, answer: Json, expect: Reachable, checks: Sequence[Check]) -> Steps[list[Check]]:
        """Ping peers again that answered a burst too slowly; let their latency fail when they stay slow."""
        passed = {check.target for check in checks if check.aspect == "latency" and check.verdict == "passed"}
        burst = judge_latency(answer, self.context, expect, of=STEADY)
        slow = _only(expect, {check.target for check in burst if check.bad and check.target in passed})
        if not slow.peers:
            return list(checks)
        request = self._pings(CALM, slow, count=_CALM_PINGS, interval_s=0.15)
        calm = yield Probe(request=request)
        failed = {check.target: check for check in judge_latency(calm, self.context, slow, of=CALM) if check.bad}
        return [
            replace(failed[check.target], duration_ms=check.duration_ms)
            if check.aspect == "latency" and check.target in failed
            else check
            for check in checks
        ]

    def _steady(self, answer: Json, expect: Reachable) -> Steps[list[Check]]:
        """Judge a burst, and measure bad paths again: a path may have changed just then."""
        measured = judge_steady(answer, self.context, expect)
        # Packets through the relay suggest that tailscaled gave up a direct path.
        doubtful: set[str | None] = {peer.name for peer in expect.peers} if _relayed(answer) else set()
        for last in (False, True):
            bad = {check.target for check in measured if check.bad}
            silent = {check.target for check in measured if check.bad and _heard_nothing(check)}
            again = _only(expect, silent if last and not load_of(answer).saturated else bad)
            if not again.peers:
                break
            doubtful |= bad
            if last:
                yield from self._await_replies(again)
            names = {peer.name for peer in again.peers}
            answer = yield from self._burst(again)
            repeated = judge_steady(answer, self.context, again)
            measured = [*(check for check in measured if check.target not in names), *repeated]
        doubtful -= {check.target for check in measured if check.bad and check.aspect == "loss"}
        found = yield from self._hidden_losses(_only(expect, doubtful))
        hidden = {check.target: check for check in found}
        return [hidden.get(check.target, check) if check.aspect == "loss" else check for check in measured]

    def _await_replies(self, expect: Reachable) -> Steps[None]:
        """Wait until silent peers answer again, at most as long as WireGuard takes to retry a handshake.

        Two nodes that renew their keys at the same moment lose each other, which happens when all nodes measure at once.
        """
        targets = _targets(expect)
        end = self.clock() + HANDSHAKE_S
        while self.clock() < end:
            request = {"id": ICMP, "kind": "icmp", "targets": targets, "count": 1, "try_timeout_s": 0.5}
            found = mapping(Answer((yield Probe(request=request, looks=1))).data(ICMP))
            if all(number(mapping(found.get(known)).get("received")) for known in targets):
                return

    def _hidden_losses(self, expect: Reachable) -> Steps[list[Check]]:
        """Ping along the direct paths; a path that loses packets twice loses them, although the relay stepped in."""
        found: list[Check] = []
        for _time in range(2):
            if not expect.peers:
                return []
            targets = [peer.first_address for peer in expect.peers]
            request = {"id": DIRECT, "kind": "disco", "targets": targets, "tries": _DIRECT_PINGS, "interval_s": 0.05}
            found = hidden_losses((yield Probe(request=request)), self.context, expect)
            expect = _only(expect, {check.target for check in found})
        return found

    def _burst(self, expect: Reachable) -> Steps[Json]:
        # All nodes do this at once: the more targets, the fewer packets each node sends.
        packets = min(_PACKETS, _PACKETS_SHARED // self.sharing)
        count = max(_FEWEST, min(_MOST, packets // len(_targets(expect))))
        steps = [
            {"id": METRICS_BEFORE, "kind": "metrics"},
            self._pings(STEADY, expect, count=count, interval_s=0.05),
            {"id": METRICS_AFTER, "kind": "metrics"},
            {**self._large(expect, count), "size": LARGE_BYTES},
        ]
        answer = mapping((yield Probe(request={"id": BURST, "kind": "sequence", "steps": steps})))
        observations = mapping(answer.get("observations"))
        return {**answer, "observations": {**observations, **mapping(mapping(observations.get(BURST)).get("data"))}}

    def _large(self, expect: Reachable, count: int) -> Request:
        if count == _MOST:
            return self._pings(LARGE, expect, count=count // 2, interval_s=0.05)
        # Too few to tell how many are lost, so that one answer is enough.
        pings = self._pings(LARGE, expect, count=1, interval_s=0.05)
        return {**pings, "until_answered": True, "try_timeout_s": max(_LARGE_S, self.reply_timeout_s)}

    def _pings(self, name: str, expect: Reachable, *, count: int, interval_s: float) -> Request:
        return {
            "id": name,
            "kind": "icmp",
            "targets": _targets(expect),
            "count": count,
            "interval_s": interval_s,
            "try_timeout_s": self.reply_timeout_s,
        }


def _answering(expect: Reachable, checks: Sequence[Check]) -> Reachable:
    """Return the peers with only those addresses that answered: a silent address has failed its own check already."""
    found = {(check.target, check.family) for check in checks if check.verdict == "passed" or _replied(check)}
    peers = tuple(
        replace(
            peer,
            addresses=tuple(
                known for known in peer.addresses if (peer.name, "ipv6" if ":" in known else "ipv4") in found
            ),
        )
        for peer in expect.peers
    )
    return replace(expect, peers=peers)


def _targets(expect: Reachable) -> list[str]:
    known = [peer.address(family) for peer in expect.peers for family in expect.families]
    return [entry for entry in known if entry]


def _only(expect: Reachable, names: Collection[str | None]) -> Reachable:
    return replace(expect, peers=tuple(peer for peer in expect.peers if peer.name in names))


def _replied(check: Check) -> bool:
    return bool(number(mapping(check.observed).get("received")))


def _heard_nothing(check: Check) -> bool:
    found = mapping(check.observed)
    # If the other family answers, no handshake was missed.
    return check.aspect == "loss" and number(found.get("received")) == 0 and "over" not in found


def _relayed(answer: Json) -> bool:
    """Whether a relay carried part of a burst."""
    seen = Answer(answer)
    before, after = sent_by_path(seen.data(METRICS_BEFORE)), sent_by_path(seen.data(METRICS_AFTER))
    return before is not None and after is not None and after["relay"] - before["relay"] >= _FEWEST
