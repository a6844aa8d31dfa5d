# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether the kernels of two nodes reach each other over the mesh, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, median_low
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, address, items, mapping, number, numbers, text
from .context import CheckContext, Node
from .interfaces import mesh_interfaces
from .observations import ADDRESSES, DISCO, ICMP, STATUS, WATCHED
from .quoting import quoted
from .reason import late, settled
from .saturation import Load, load_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Reachable:
    """The expected result of a node's pings to its peers."""

    peers: tuple[Node, ...]
    families: tuple[int, ...] = (4, 6)
    latency_budget_ms: float = 50.0
    loss_budget: float = 5.0
    """Percentage of a burst that may be lost once the path is found."""

    def lost_at_most(self, sent: float) -> int:
        """Return how many of the packets sent may be lost; at least one may."""
        return max(1, int(sent * self.loss_budget / 100))


def judge_reachable(answer: Json, context: CheckContext, expect: Reachable) -> list[Check]:
    """Return a check of each peer and family, and one of each peer's latency."""
    seen, load = Answer(answer), load_of(answer)
    wire = _Wire(seen)
    checks = []
    for peer in expect.peers:
        checks += [
            _reached(seen, wire, context, peer, family)
            if family in peer.usable(expect.families)
            else context.skipped(no_address(peer.name, family), aspect=f"ipv{family}", family=family, target=peer.name)
            for family in expect.families
        ]
        checks.append(_latency(seen, context, peer, expect, load))
    return checks


class _Wire:
    """What the host's own addresses are, and which echo packets a capture saw; read once for all peers."""

    def __init__(self, seen: Answer) -> None:
        links = seen.data(ADDRESSES)
        self._links_known = links is not None
        self._own = {address(entry) for link in map(mapping, items(links)) for entry in items(link.get("addresses"))}
        self._mesh = mesh_interfaces(links)
        self._sources: dict[str, set[str]] = {}
        self._ways: dict[tuple[str, str], set[str]] = {}
        watched = mapping(seen.data(WATCHED))
        # A capture that may be incomplete says nothing.
        for flow in map(mapping, items(watched.get("flows")) if number(watched.get("dropped")) == 0 else ()):
            if number(flow.get("marked")):
                self._note(flow)

    def _note(self, flow: dict[str, Any]) -> None:
        proto, direction = text(flow.get("proto")), text(flow.get("direction"))
        end = address(flow.get("dst" if direction == "out" else "src"))
        if proto == ("icmp6" if ":" in end else "icmp"):
            self._ways.setdefault((direction, end), set()).add(text(flow.get("interface")))
        if direction == "in":
            self._sources.setdefault(proto, set()).add(end)

    def is_own(self, known: str) -> bool:
        """Whether this host has the peer's address, and answers in its place."""
        return known in self._own

    def answered_by(self, known: str) -> list[str]:
        """Return the sources of the replies, if none of them is the pinged address."""
        sources = self._sources.get("icmp6" if ":" in known else "icmp", set())
        return [] if known in sources else sorted(sources - {""})

    def beside_mesh(self, known: str) -> list[str]:
        """Return the interfaces that requests or replies took, if no mesh interface is among them."""
        for direction in ("out", "in"):
            ways = self._ways.get((direction, known), set())
            if self._links_known and ways and not ways & self._mesh:
                return sorted(ways)
        return []


def _reached(seen: Answer, wire: _Wire, context: CheckContext, peer: Node, family: int) -> Check:
    known = peer.address(family)
    aspect = f"ipv{family}"
    command = f"ping -c 3 {quoted(known)}"
    if not known:
        hint = settled(
            f"the server gave {peer.name} no IPv{family} address: set prefixes.v{family} there, or leave it out of "
            "families"
        )
        return context.check(
            False,
            aspect=aspect,
            family=family,
            target=peer.name,
            expected=f"an IPv{family} address",
            observed=None,
            hint=hint,
        )
    result = mapping(mapping(seen.data(ICMP)).get(known))
    sent, received = number(result.get("sent")), number(result.get("received"))
    replies = numbers(result.get("rtt_ms"))
    expected = {"address": known, "replies": "all"}
    if not sent or received is None or sent < 0 or received > sent or len(replies) != received:
        why = late("no echo request was sent") if seen.data(ICMP) is not None else seen.why(ICMP)
        return context.check(
            None, aspect=aspect, family=family, target=peer.name, expected=expected, observed=None, hint=why, command=command,
            evidence={"error": seen.error(ICMP)},
        )  # fmt: skip
    if wire.is_own(known):
        return context.check(
            False, aspect=aspect, family=family, target=peer.name, expected=expected, observed={"answered_by": "this host"}, command="ip -br address",
            hint=f"{known} is an address of this host as well, which answers instead of {peer.name}: remove it here",
        )  # fmt: skip
    if received and (others := wire.answered_by(known)):
        return context.check(
            False, aspect=aspect, family=family, target=peer.name, expected=expected, observed={"answered_by": others}, command="nft list ruleset",
            hint=f"{known} did not answer, but {' or '.join(others)} did: a NAT rule of this host redirects {peer.name}'s address there "
            "(`nft list ruleset`)",
        )  # fmt: skip
    if received and (ways := wire.beside_mesh(known)):
        return context.check(
            False, aspect=aspect, family=family, target=peer.name, expected=expected, observed={"by": ways}, command=f"ip route get {quoted(known)}",
            hint=f"{peer.name} answers through {', '.join(ways)} and not through the mesh: a rule or a route of this host or of {peer.name} "
            "leads there, unencrypted (`ip rule`, `ip route get`)",
        )  # fmt: skip
    return context.check(
        received == sent,
        aspect=aspect,
        family=family,
        target=peer.name,
        expected=expected,
        observed={"sent": int(sent), "received": int(received), "rtt_ms": replies},
        evidence=_evidence(seen, known, result),
        hint=_hint(seen, peer, known, received),
        command=command,
    )


def no_address(name: str, family: int) -> str:
    """Return why a family of a node is not used."""
    return f"{name} has no IPv{family} address in the mesh, because the policy's nodeAttrs grant it disable-ipv{family}"


def _evidence(seen: Answer, known: str, result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"address": known}
    if refused := [
        {"error": text(error.get("error")), "from": text(error.get("from"))}
        for error in map(mapping, items(result.get("errors")))
    ]:
        found["refused"] = refused
    for kind in ("disco", "tsmp"):
        if pinged := mapping(mapping(seen.data(kind)).get(known)):
            found[kind] = pinged.get("last") or "no answer"
    return found


def _hint(seen: Answer, peer: Node, known: str, received: float) -> str:
    if received:
        return (
            "some packets were lost: the path is still settling, or a link loses packets (`ip -s link` on both sides)"
        )
    if seen.data(STATUS) is None and seen.data(DISCO) is None:
        return f"{peer.name} does not answer"
    return causes.unreachable(seen, peer, known)


def judge_latency(answer: Json, context: CheckContext, expect: Reachable, *, of: str) -> list[Check]:
    """Return a check of each peer's latency, measured by the echo requests of one observation."""
    seen, load = Answer(answer), load_of(answer)
    return [_latency(seen, context, peer, expect, load, of=of) for peer in expect.peers]


def _latency(  # noqa: PLR0913
    seen: Answer, context: CheckContext, peer: Node, expect: Reachable, load: Load, *, of: str = ICMP
) -> Check:
    found = mapping(seen.data(of))
    wanted = [peer.address(family) for family in expect.families]
    by_address = {
        known: rtts
        for known in wanted
        if (rtts := [rtt for rtt in numbers(mapping(found.get(known)).get("rtt_ms")) if rtt >= 0])
    }
    replies = [rtt for rtts in by_address.values() for rtt in rtts]
    expected = {"median_ms": {"at_most": expect.latency_budget_ms}}
    if not replies:
        reason = "there was no reply whose latency could be measured"
        return context.skipped(reason, aspect="latency", target=peer.name, expected=expected)
    # A saturated machine delays most replies, but no machine makes a slow path fast.
    judged = min(replies) if load.saturated else median(replies)
    # The lower median of a family: of its first two replies, one may have waited for the handshake.
    figures = {known: min(rtts) if load.saturated else median_low(rtts) for known, rtts in by_address.items()}
    slow = [known for known, figure in figures.items() if figure > expect.latency_budget_ms * load.patience]
    alone = slow[0] if slow and min(figures.values()) <= expect.latency_budget_ms else ""
    replies = by_address.get(alone, replies)
    judged = figures.get(alone, judged)
    return context.check(
        judged <= expect.latency_budget_ms and not slow,
        aspect="latency",
        target=peer.name,
        expected=expected,
        observed={**_figures(replies), **({"over": ip_version(alone)} if alone else {})},
        evidence={"rtt_ms": replies, **({"judged_ms": judged, "saturated": load.said} if load.saturated else {})},
        hint=_slow_alone(figures, alone) if alone else _slow(seen, wanted),
        command=f"ping -c 10 {quoted(alone or next((known for known in wanted if known), peer.name))}",
    )


def ip_version(known: str) -> str:
    """Return the name of an address's family."""
    return "IPv6" if ":" in known else "IPv4"


def _slow_alone(figures: Mapping[str, float], slow: str) -> str:
    said = {ip_version(known): f"{ip_version(known)} ({round(figure, 1):g} ms)" for known, figure in figures.items()}
    this = said.pop(ip_version(slow))
    return (
        f"the path is slow or busy over {this} and not over {', '.join(said.values())}: tailscaled sends both the same way, so compare "
        "them on both hosts (`tc -s qdisc`, `nft list ruleset`, `ip -6 rule`)"
    )


def _figures(replies: list[float]) -> dict[str, float]:
    return {"median_ms": round(median(replies), 3), "worst_ms": round(max(replies), 3)} if replies else {}


def _slow(seen: Answer, wanted: list[str]) -> str:
    last = next((mapping(mapping(mapping(seen.data(DISCO)).get(known)).get("last")) for known in wanted if known), {})
    if last.get("derp") and not last.get("endpoint"):
        return f"traffic goes through the relay {text(last.get('derp'))}: the path checks tell why it is not direct"
    return (
        "the path is slow or busy: compare it with a ping to the physical address, or raise mesh_latency_budget_ms for distant "
        "nodes"
    )
