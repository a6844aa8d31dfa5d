# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge flows of datagrams that go on for long, and whether TCP or UDP loses more packets than pings at the same time.

Pings, datagrams and blocks of a connection are sent to an address at the same moments. What the path loses, it loses of all of
them alike, so that their losses are compared with each other and not with a budget. Losses in a row count once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, lgamma, log
from typing import TYPE_CHECKING, Any, Final

from .answer import items, mapping, number, numbers
from .quoting import quoted
from .spans import Span, at_once, by_load, clock, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .check import Check
    from .context import CheckContext, Node
    from .saturation import Load

# How probable so many losses may be at most, if the path loses all packets alike.
_BY_CHANCE: Final = 1e-7
# The same for one of the pairs among which there are too many.
_BY_CHANCE_OF_ONE: Final = 0.2
# A smaller difference may come from the lengths of the packets.
_NOTICED: Final = 0.03
_MOST_COUNTED: Final = 20_000
_REFUSALS: Final = frozenset(
    {"prohibited", "refused", "port-unreachable", "host-unreachable", "net-unreachable", "no-route"}
)
# A copy of a late answer is sent until this long after it was due.
_COPIES_S: Final = 0.6
_LONGEST_PAUSE_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Lost:
    """How often requests were lost, and how many there were."""

    times: int = 0
    sent: int = 0

    def __add__(self, other: Lost) -> Lost:
        """Return both together."""
        return Lost(times=self.times + other.times, sent=self.sent + other.sent)

    @property
    def share(self) -> float:
        """Return the share that was lost."""
        return self.times / self.sent if self.sent else 0.0


@dataclass(frozen=True, kw_only=True)
class Flowing:
    """What a node saw of its flows, its connections and its pings, by address."""

    lines: Mapping[str, Mapping[str, Any]]
    streams: Mapping[str, Mapping[str, Any]]
    flows: Mapping[str, Mapping[str, Any]]
    idle: Mapping[str, Mapping[str, Any]]
    """Flows over which the peer was asked to answer later."""
    budget_s: float
    ahead_s: float = 0.0

    def check(self, context: CheckContext, peer: Node, family: int, load: Load) -> Check:
        """Return the check of a peer's address."""
        known = peer.address(family)
        flow, idle_s = self.flows.get(known, {}), number(self.idle.get(known, {}).get("idle_s")) or 0.0
        about: dict[str, Any] = {
            "aspect": "flow", "family": family, "target": peer.name,
            "expected": {"address": known, "silent_s": {"at_most": self.budget_s}, "later_s": idle_s, "lost": "no more than pings"},
        }  # fmt: skip
        if not flow:
            return context.skipped(f"{peer.name} does not listen: `reachable.udp` says why", **about)
        if flow.get("first") is None:
            return context.skipped(f"{peer.name} has answered no datagram: `reachable.udp` says why", **about)
        spans = self.ended(known)
        silent = sum(span.end - span.start for span in spans)
        if spans and by_load(spans, load, lasted_s=_lasted(flow)):
            return context.skipped(
                f"it was silent for {silent:.1f} s, and the machine was saturated ({load.said}): that proves nothing",
                **about,
            )
        if spans:
            hint = _ended(peer.name, flow, spans)
        elif self.forgotten(known):
            hint = _forgotten(peer.name, idle_s)
        else:
            hint = self.thinned(known)
        observed = {
            "sent": flow.get("sent"), "lost": flow.get("lost"), "silent_s": round(silent, 1),
            "later": number(self.idle.get(known, {}).get("arrived")), "resent": self.streams.get(known, {}).get("losses"),
        }  # fmt: skip
        evidence = {key: flow[key] for key in ("new", "errors") if flow.get(key)}
        return context.check(
            not hint,
            **about,
            observed=observed,
            evidence=evidence,
            hint=hint,
            command=f"nc -vzu -w 3 {quoted(known)} PORT",
        )

    def ended(self, known: str) -> list[Span]:
        """Return when a flow was silent for longer than the budget, and neither pings nor a connection were."""
        return [
            span
            for span in spans_of(self.flows.get(known, {}).get("silences"), self.ahead_s)
            if span.end - span.start > self.budget_s
            and not any(span.meets(one) and one.seconds >= span.seconds / 2 for one in self._disturbed(known))
        ]

    def forgotten(self, known: str) -> list[Span]:
        """Return when late answers of a flow did not arrive; empty if any did."""
        found = self.idle.get(known, {})
        if number(found.get("arrived")):
            return []
        rows = [{"at": at, "s": _COPIES_S} for at in numbers(found.get("forgotten"))]
        return [span for span in spans_of(rows, self.ahead_s) if not at_once([span], self._disturbed(known))]

    def _disturbed(self, known: str) -> list[Span]:
        line, stream = self.lines.get(known, {}), self.streams.get(known, {})
        return spans_of(line.get("outages"), self.ahead_s) + spans_of(stream.get("waits"), self.ahead_s)

    def thinned(self, known: str) -> str:
        """Return which protocol loses more packets than pings to an address; empty if none does."""
        for protocol, seen in (("udp", self.flows), ("tcp", self.streams)):
            rows = {one: row for one in seen if (row := self._losses(protocol, one))}
            own = rows.get(known)
            if own is None or not _differ(*own, by_chance=_BY_CHANCE_OF_ONE):
                continue
            data, pings = (sum((row[place] for row in rows.values()), Lost()) for place in (0, 1))
            if _differ(data, pings, by_chance=_BY_CHANCE):
                return _said(protocol, own, data)
        return ""

    def _losses(self, protocol: str, known: str) -> tuple[Lost, Lost] | None:
        """Return the losses to an address, and those of its pings; None if they cannot be compared."""
        line, row = self.lines.get(known, {}), (self.flows if protocol == "udp" else self.streams).get(known, {})
        data = lost_of(row.get("losses"), row.get("sent" if protocol == "udp" else "exchanged"))
        pings = lost_of(line.get("losses"), (number(line.get("answered")) or 0) + (number(line.get("lost")) or 0))
        return (data, pings) if data is not None and pings is not None else None


def _lasted(flow: Mapping[str, Any]) -> float:
    """Return for how many seconds datagrams were sent."""
    return (number(flow.get("sent")) or 0) * min(_LONGEST_PAUSE_S, number(flow.get("pause_s")) or 0.0)


def _ended(name: str, flow: Mapping[str, Any], spans: Sequence[Span]) -> str:
    """Say that a flow ended, or paused, although pings were answered."""
    worst = max(spans, key=lambda span: span.seconds)
    rows = [mapping(one) for one in items(flow.get("silences"))]
    before = next(
        (int(number(row.get("before")) or 0) for row in rows if (number(row.get("s")) or 0) >= worst.seconds - 0.1), 0
    )
    new = mapping(flow.get("new"))
    said = (
        f"a flow of datagrams to {name} from one source port was silent for {worst.seconds:g} s from {clock(worst.start)}, after "
        f"{before} datagrams, and pings were answered meanwhile"
    )
    if refused := " and ".join(sorted(name for name in mapping(flow.get("errors")) if name in _REFUSALS)):
        said += f"; some datagrams were refused ({refused})"
    if new.get("answered") is True:
        return (
            f"{said}; datagrams from a new source port were answered: something on the way ends UDP flows after some seconds, packets or "
            "bytes, such as a firewall, a NAT or a quota (`nft list ruleset` on both, `conntrack -L -p udp`)"
        )
    if number(new.get("sent")):
        return f"{said}; datagrams from a new source port were not answered either: UDP was dropped at that time (`nft list ruleset` on both)"
    return f"{said}: something on the way drops UDP at times (`nft list ruleset` on both)"


def _forgotten(name: str, idle_s: float) -> str:
    """Say that a flow was forgotten while nothing was sent over it."""
    return (
        f"{name} answered a datagram at once, and sent a second answer {idle_s:g} s later, of which no copy arrived: something on the way "
        "forgets UDP flows that are silent for that long, so that calls and tunnels in the mesh fall silent (a firewall on either node: "
        "`nft list ruleset`, `sysctl net.netfilter.nf_conntrack_udp_timeout`, `net.netfilter.nf_conntrack_udp_timeout_stream`)"
    )


def _said(protocol: str, own: tuple[Lost, Lost], everything: Lost) -> str:
    data, pings = own
    what = (
        f"of {data.sent} datagrams over one flow, some were lost at {data.times} moments"
        if protocol == "udp"
        else f"for {data.times} of {data.sent} blocks of 1 kB over one connection, a segment was lost and sent again"
    )
    name = protocol.upper()
    size = "" if protocol == "udp" else "; `reachable.large` tells whether large pings are lost as well"
    return (
        f"{what}, and of {pings.sent} pings at the same time, some were lost at {pings.times} ({everything.times} losses of {name} to all "
        f"nodes together): something on the way drops a part of {name} only, such as a limit or a rule (`nft list ruleset` on both, "
        f"`tc -s qdisc`){size}"
    )


def _differ(data: Lost, pings: Lost, *, by_chance: float) -> bool:
    """Whether more was lost of the data than of the pings, and not by chance."""
    if data.share - pings.share < _NOTICED:
        return False
    # If all packets are lost alike, each loss is one of the data with this probability.
    return probability(data.times, data.times + pings.times, data.sent / (data.sent + pings.sent)) < by_chance


def probability(least: int, count: int, share: float) -> float:
    """Return the probability that something happens at least so many times of `count`, if it happens each time with that of `share`."""
    if share >= 1:
        return 1.0
    whole = lgamma(count + 1)
    return sum(
        exp(whole - lgamma(one + 1) - lgamma(count - one + 1) + one * log(share) + (count - one) * log(1 - share))
        for one in range(least, count + 1)
    )


def lost_of(times: object, sent: object) -> Lost | None:
    """Return counts that make sense; None for others."""
    lost, tries = number(times), number(sent)
    if lost is None or tries is None or not 0 <= lost <= tries <= _MOST_COUNTED or tries < 1:
        return None
    return Lost(times=int(lost), sent=int(tries))
