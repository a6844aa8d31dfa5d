# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what a watch saw: pairs that were silent for a while, and connections that broke or stood still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Json, items, mapping, number, text
from .context import CheckContext, Node
from .flowing import Flowing, Lost
from .losing import pings_lost, too_many
from .observations import HELD
from .quoting import quoted
from .saturation import MOST_PATIENT, busier, load_of, read_load
from .spans import MOST_READ, Span, at_once, by_load, clock, spans_of
from .steady import LOSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .check import Check

_LISTED: Final = 4
_TWICE, _OFTEN = 2, 3
# A connection that exchanges a block every 0.25 s and remembers waits of 0.5 s notices this.
_NOTICED_S: Final = 1.2


@dataclass(frozen=True, kw_only=True)
class Held:
    """What must be true of a node's pairs while they are watched."""

    peers: tuple[Node, ...]
    everyone: tuple[Node, ...] = ()
    """All peers that are watched: what happened to the others helps to find the cause."""
    families: tuple[int, ...] = (4, 6)
    hold_s: float
    silence_budget_s: float
    stall_budget_s: float
    loss_budget: float = 5.0
    """Percentage of the pings that may be lost, apart from silences."""
    stream_peers: frozenset[str] = frozenset()
    no_streams: str = ""
    """Why no connection was kept open."""
    outages: tuple[Span, ...] = ()
    """When another node was taken down on purpose, and how."""
    ahead_s: float = 0.0
    """How far the host's clock is ahead of the controller's."""
    since: Mapping[str, float] = field(default_factory=dict)
    """When a peer was reached that was not reached at once: what came before is for `reachable` to judge."""


def judge_held(answer: Json, context: CheckContext, expect: Held) -> list[Check]:
    """Return a check of the pings of each peer and family, and one of each connection."""
    seen = _Seen(answer, context, expect)
    pairs = [(peer, family) for peer in expect.peers for family in expect.families if peer.address(family)]
    checks = [seen.steady(peer, family) for peer, family in pairs]
    if expect.no_streams:
        return checks + [context.skipped(expect.no_streams, aspect=aspect) for aspect in ("stream", "flow")]
    kept = [(peer, family) for peer, family in pairs if peer.name in expect.stream_peers]
    return checks + [check for peer, family in kept for check in (seen.stream(peer, family), seen.flow(peer, family))]


class _Seen:
    """What a host saw while it watched its peers."""

    def __init__(self, answer: Json, context: CheckContext, expect: Held) -> None:
        self._answer = Answer(answer)
        self._context = context
        self._expect = expect
        self._data = mapping(self._answer.data(HELD))
        # The machine may have been busy while the watch went on, and no longer when it was asked.
        self._load = busier(load_of(answer), read_load(self._data.get("load")))
        self._since = {
            known: expect.since[peer.name] + expect.ahead_s
            for peer in (*expect.peers, *expect.everyone)
            if peer.name in expect.since
            for known in peer.addresses
        }
        self._lines = {
            known: {**mapping(line), "outages": self._later(known, mapping(line).get("outages"))}
            for known, line in mapping(self._data.get("lines")).items()
        }
        streams = [
            {**mapping(one), "waits": self._later(text(mapping(one).get("host")), mapping(one).get("waits"))}
            for one in items(self._data.get("streams"))
        ]
        self._streams = {text(one.get("host")): one for one in streams if not number(one.get("idle_s"))}
        self._idle = {text(one.get("host")): one for one in streams if number(one.get("idle_s"))}
        flows = [
            {**mapping(one), "silences": self._later(text(mapping(one).get("host")), mapping(one).get("silences"))}
            for one in items(self._data.get("flows"))
        ]
        self._flowing = Flowing(
            lines=self._lines, streams=self._streams, budget_s=expect.stall_budget_s, ahead_s=expect.ahead_s,
            flows={text(one.get("host")): one for one in flows if not number(one.get("idle_s"))},
            idle={text(one.get("host")): one for one in flows if number(one.get("idle_s"))},
        )  # fmt: skip
        self._watched_s = round((number(self._data.get("ticks")) or 0) * (number(self._data.get("interval_s")) or 0), 1)
        self._held_up_s = number(self._data.get("held_up_s")) or 0.0

    def _later(self, known: str, listed: Json) -> list[Json]:
        """Return silences of an address without what was before its node was reached."""
        since = self._since.get(known)
        if since is None:
            return items(listed)
        rows = [mapping(one) for one in items(listed)[:MOST_READ]]
        spans = [(one, number(one.get("at")), number(one.get("s"))) for one in rows]
        return [
            {**one, "at": max(at, since), "s": at + lasted - max(at, since)}
            for one, at, lasted in spans
            if at is not None and lasted is not None and at + lasted > since
        ]

    # -- pings -------------------------------------------------------------------------------------------------------

    def steady(self, peer: Node, family: int) -> Check:
        """Return the check of the pings to one address."""
        expect = self._expect
        expected = {
            "address": peer.address(family),
            "watched_s": {"at_least": expect.hold_s},
            "silent_s": {"at_most": expect.silence_budget_s},
            "lost": f"at most {expect.loss_budget:g} %, or no more than chance explains",
        }
        about: dict[str, Any] = {"aspect": "steady", "family": family, "target": peer.name, "expected": expected}
        line = mapping(self._lines.get(peer.address(family)))
        if unfinished := self._unfinished(about):
            return unfinished
        if unseen := self._unseen(line):
            return self._context.check(None, **about, observed=None, hint=unseen)
        if self._watched_s < expect.hold_s:
            return self._context.skipped(
                f"the probe on {self._context.source} was held up for {self._held_up_s:g} s and watched for only "
                f"{self._watched_s:g} s: its host is overloaded",
                **about,
            )
        if line.get("first") is None:
            return self._context.skipped(
                f"it has not answered since the watch began: `reachable.ipv{family}` says why", **about
            )
        spans = self._silences(line)
        longest = max((span.seconds for span in spans), default=0.0)
        observed = {
            "watched_s": self._watched_s, "sent": line.get("sent"), "lost": line.get("lost"),
            **({"silent": len(spans), "longest_s": longest} if spans else {}),
        }  # fmt: skip
        evidence = {
            "silences": [{"at": clock(span.start), "s": span.seconds} for span in spans[:20]],
            "held_up_s": self._held_up_s,
            **({"refused": line["errors"]} if line.get("errors") else {}),
        }
        bad = any(span.end - span.start > expect.silence_budget_s for span in spans)
        lost = self._lost(peer, family)
        losing = not bad and too_many(lost, expect.loss_budget)
        # Single packets are lost on a saturated machine as well.
        by_chance = self._load.saturated and not too_many(lost, expect.loss_budget * MOST_PATIENT)
        if by_load(spans, self._load, lasted_s=self._watched_s) if bad else losing and by_chance:
            what = f"was silent for {longest:g} s at most" if bad else f"lost {lost.times} of {lost.sent} pings"
            return self._context.skipped(self._overloaded(what), **about)
        hint = self._silent(peer, family, spans) if bad else self._losing(peer, family, longest) if losing else ""
        return self._context.check(
            not bad and not losing, **about, observed=observed, evidence=evidence, hint=hint,
            command=f"ping -D -O -i 0.2 -w 20 {quoted(peer.address(family))}",
        )  # fmt: skip

    def _lost(self, peer: Node, family: int) -> Lost:
        """Return how many pings to an address were lost that nothing explains."""
        line = mapping(mapping(self._data.get("lines")).get(peer.address(family)))
        since = self._expect.since.get(peer.name, 0.0)
        return pings_lost(line, ahead_s=self._expect.ahead_s, since=since, outages=self._expect.outages)

    def _losing(self, peer: Node, family: int, longest: float) -> str:
        lost, other = self._lost(peer, family), self._lost(peer, 10 - family)
        beside = f", and {other.times} of {other.sent} over IPv{10 - family}" if other.sent else ""
        besides = f", besides those in the longest silence, of {longest:g} s" if longest else ""
        return f"{lost.times} of {lost.sent} pings to {peer.name} were lost over IPv{family}{beside}{besides}: {LOSES}"

    def _overloaded(self, what: str) -> str:
        return f"it {what}, and the machine was saturated ({self._load.said}): that proves nothing"

    def _unfinished(self, about: Mapping[str, Any]) -> Check | None:
        """Return the check of a watch that could not be asked in time, None if it could."""
        if self._answer.error(HELD).get("type") != "deadline":
            return None
        return self._context.skipped(
            f"the probe on {self._context.source} did not finish: its host is overloaded", **about
        )

    def _unseen(self, found: Mapping[str, Any]) -> str:
        if self._answer.data(HELD) is None:
            return self._answer.why(HELD)
        return "" if found else "this address was not watched"

    def _silences(self, line: Mapping[str, Any]) -> list[Span]:
        return self._spans(line.get("outages"))

    def _spans(self, listed: Json) -> list[Span]:
        """Return spans of the host's clock on the controller's."""
        return spans_of(listed, self._expect.ahead_s)

    def _silent(self, peer: Node, family: int, spans: Sequence[Span]) -> str:
        return (
            f"{peer.name} was silent {_times(len(spans))} in {self._watched_s:g} s, {_listed(spans)}"
            f"{_regular(spans)}{self._meanwhile(spans)}: {self._whom(peer, family, spans)}"
        )

    def _whom(self, peer: Node, family: int, spans: Sequence[Span]) -> str:
        """Name what was silent at the same time and what was not: that leaves who comes and goes."""
        if self._went_on(peer, family, spans):
            return (
                "a connection to it went on meanwhile, so only pings were dropped: look for a firewall or a limit that concerns ICMP "
                "(`nft list ruleset` on both)"
            )
        line = mapping(self._lines.get(peer.address(10 - family)))
        if line.get("first") is not None and not at_once(spans, self._silences(line)):
            return (
                f"it answered over IPv{10 - family} meanwhile, so look for a firewall, a policy or a route that concerns "
                f"IPv{family} and changes"
            )
        others = [one for one in self._expect.everyone if one.name != peer.name]
        fine = [one.name for one in others if self._answered(one, family) and not self._silent_too(one, family, spans)]
        if fine:
            return (
                f"{' and '.join(fine[:_LISTED])} answered meanwhile, so {peer.name}, or its path to this host, comes and goes "
                "(its client's log, its link, its router)"
            )
        if any(self._silent_too(one, family, spans) for one in others):
            return "all other nodes were silent at the same time, so this host, its client or its link comes and goes"
        return f"{peer.name}, this host or the path between them comes and goes"

    def _went_on(self, peer: Node, family: int, spans: Sequence[Span]) -> bool:
        """Whether a connection noticed nothing of a silence that it would have noticed."""
        stream = self._streams.get(peer.address(family), {})
        if text(stream.get("outcome")) != "open" or not number(stream.get("exchanged")):
            return False
        opened = (number(stream.get("opened")) or 0.0) - self._expect.ahead_s
        long = [span for span in spans if span.seconds >= _NOTICED_S and span.start > opened]
        return bool(long) and not at_once(spans, self._spans(stream.get("waits")))

    def _answered(self, peer: Node, family: int) -> bool:
        return mapping(self._lines.get(peer.address(family))).get("first") is not None

    def _silent_too(self, peer: Node, family: int, spans: Sequence[Span]) -> bool:
        return at_once(spans, self._silences(mapping(self._lines.get(peer.address(family)))))

    def _meanwhile(self, spans: Iterable[Span]) -> str:
        found = next((outage for outage in self._expect.outages if any(span.meets(outage) for span in spans)), None)
        return f", while {found.what}" if found else ""

    # -- flows and connections ---------------------------------------------------------------------------------------

    def flow(self, peer: Node, family: int) -> Check:
        """Return the check of the datagrams to one address."""
        about: dict[str, Any] = {"aspect": "flow", "family": family, "target": peer.name}
        if unfinished := self._unfinished(about):
            return unfinished
        if self._answer.data(HELD) is None:
            return self._context.check(None, **about, expected="answers", observed=None, hint=self._answer.why(HELD))
        return self._flowing.check(self._context, peer, family, self._load)

    def stream(self, peer: Node, family: int) -> Check:
        """Return the check of the connection to one address."""
        expect = self._expect
        expected = {"address": peer.address(family), "stays": "open", "stall_s": {"at_most": expect.stall_budget_s}}
        about: dict[str, Any] = {"aspect": "stream", "family": family, "target": peer.name, "expected": expected}
        found = self._streams.get(peer.address(family), {})
        if unfinished := self._unfinished(about):
            return unfinished
        if self._answer.data(HELD) is None:
            return self._context.check(None, **about, observed=None, hint=self._answer.why(HELD))
        if not found:
            return self._context.skipped(f"{peer.name} does not listen: `reachable.tcp` says why", **about)
        waits = self._spans(found.get("waits"))
        stalls = [span for span in waits if span.end - span.start > expect.stall_budget_s]
        outcome = text(found.get("outcome")) or "unknown"
        observed = {
            "outcome": outcome, "open_s": number(found.get("open_s")), "exchanged": number(found.get("exchanged")),
            "longest_stall_s": max((span.seconds for span in waits), default=0.0),
        }  # fmt: skip
        open_s = number(found.get("open_s")) or 0.0
        if outcome == "open" and stalls and by_load(waits, self._load, lasted_s=open_s, budget_s=expect.stall_budget_s):
            worst = max(span.seconds for span in stalls)
            return self._context.skipped(self._overloaded(f"stalled for {worst:g} s at most"), **about)
        hint = self._broke(peer, found) if outcome != "open" else self._stalled(peer, family, found, stalls)
        idle = self._idle.get(peer.address(family), {})
        disturbed = [*waits, *self._silences(mapping(self._lines.get(peer.address(family))))]
        forgotten = "" if hint else self._forgotten(peer, idle, disturbed)
        return self._context.check(
            outcome == "open" and not stalls and not forgotten, **about,
            observed={**observed, **({"idle": text(idle.get("outcome"))} if forgotten else {})}, hint=hint or forgotten,
            evidence={
                "bytes": found.get("bytes"), "kernel": found.get("kernel") or {}, "held_up_s": self._held_up_s,
                "during": [outage.what for outage in expect.outages],
                "idle": {key: idle[key] for key in ("idle_s", "outcome", "exchanged", "waits") if key in idle},
            },
            command=f"nc -v {quoted(peer.address(family))} PORT",
        )  # fmt: skip

    def _forgotten(self, peer: Node, idle: Mapping[str, Any], disturbed: Sequence[Span]) -> str:
        """Return what became of a connection without traffic, next to one with traffic that is fine; empty if that is fine."""
        if idle.get("opened") is None:
            return ""
        budget, pause = self._expect.stall_budget_s, number(idle.get("idle_s")) or 0.0
        # A short disturbance of the path may hold up one connection for longer than the other.
        waits = [span for span in self._spans(idle.get("waits")) if not at_once([span], disturbed)]
        worst = max((span.seconds for span in waits), default=0.0)
        outcome = text(idle.get("outcome"))
        if outcome == "open" and worst <= budget:
            return ""
        how = f"stood still for {worst:g} s" if outcome == "open" else f"ended with '{outcome}'"
        return (
            f"a second connection to {peer.name}, idle for {pause:g} s at a time, {how} when it was used again, and the one with "
            "traffic stayed open: something on the way drops idle connections that early (a firewall or NAT: `nft list ruleset`, "
            "`conntrack -L`, `sysctl net.netfilter.nf_conntrack_tcp_timeout_established`)"
        )

    def _broke(self, peer: Node, found: Mapping[str, Any]) -> str:
        outcome = text(found.get("outcome"))
        if found.get("opened") is None:
            return (
                f"no connection to {peer.name} could be opened in {found.get('tries')} tries, the last one ended with "
                f"'{outcome}': see `reachable.tcp`"
            )
        at = (number(found.get("broke")) or 0.0) - self._expect.ahead_s
        span = Span(start=at, end=at)
        how = {
            "reset": f"it was reset: something on the way, or {peer.name}, no longer knows it, or limits it",
            "closed": f"{peer.name}'s side closed it before the listener was due to end"
            if number(found.get("exchanged"))
            else f"{peer.name}'s side closed it because no data had arrived over it: packets with data are lost",
            "damaged": "the bytes that came back differ from those sent",
            "timeout": "the other side stopped acknowledging data",
        }.get(outcome, f"the kernel reports '{outcome}'")
        return (
            f"the connection to {peer.name} broke at {clock(at)}, {_amount(found)}{self._meanwhile([span])}: {how} "
            "(firewalls and NAT on the way: `nft list ruleset`, `conntrack -L`)"
        )

    def _stalled(self, peer: Node, family: int, found: Mapping[str, Any], stalls: Sequence[Span]) -> str:
        if not stalls:
            return ""
        worst = max(stalls, key=lambda span: span.seconds)
        line = mapping(self._lines.get(peer.address(family)))
        silences = self._silences(line)
        if at_once([worst], silences):
            why = "pings were lost at the same time, so the path was down: see `reachable.steady`"
        elif line.get("first") is not None and number(found.get("exchanged")) == 0:
            why = (
                "it opened and pings were answered meanwhile, but not one block of 1 kB came back over it: packets with data are "
                "lost from the first on (see `reachable.tcp` and `reachable.bulk`)"
            )
        elif line.get("first") is not None:
            why = (
                "pings were answered meanwhile, so something on the way drops this connection only: a firewall or NAT that "
                "forgets established connections, or a limit on time or bytes (`nft list ruleset`, `conntrack -L`)"
            )
        else:
            why = "nothing else is known about the path at that time"
        returned = int(number(found.get("bytes")) or 0)
        return (
            f"the connection to {peer.name} stood still for {worst.seconds:g} s from {clock(worst.start)}"
            f"{self._meanwhile([worst])}, and {returned} bytes were returned in all; the budget is "
            f"{self._expect.stall_budget_s:g} s: {why}"
        )


def _amount(found: Mapping[str, Any]) -> str:
    opened = number(found.get("open_s"))
    after = f"{opened:.1f} s after it was opened, " if opened is not None else ""
    return f"{after}with {int(number(found.get('bytes')) or 0)} bytes returned"


def _times(count: int) -> str:
    return {1: "once", _TWICE: "twice"}.get(count, f"{count} times")


def _listed(spans: Sequence[Span]) -> str:
    said = [f"for {span.seconds:g} s at {clock(span.start)}" for span in spans[:_LISTED]]
    return ", ".join(said) + (" and so on" if len(spans) > _LISTED else "")


def _regular(spans: Sequence[Span]) -> str:
    """Return how regularly something happens; empty when it is not regular."""
    if len(spans) < _OFTEN:
        return ""
    pauses = [after.start - before.start for before, after in pairwise(spans)]
    mean = sum(pauses) / len(pauses)
    return f" (every {mean:.1f} s)" if max(pauses) - min(pauses) < 0.3 * mean else ""
