# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges whether the kernels of two nodes reach each other over the mesh, and how fast. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from . import hints
from .frame import Frame, Node
from .seen import Json, Seen, items, mapping, number, numbers, text

if TYPE_CHECKING:
    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Reachable:
    """What is expected of a node's pings to its peers."""

    peers: tuple[Node, ...]
    families: tuple[int, ...] = (4, 6)
    latency_budget_ms: float = 50.0


def judge_reachable(answer: Json, frame: Frame, expect: Reachable) -> list[Check]:
    """Return a check for each peer and family, and one for each peer's latency."""
    seen = Seen(answer)
    checks = []
    for peer in expect.peers:
        checks += [_reached(seen, frame, peer, family) for family in expect.families]
        checks.append(_latency(seen, frame, peer, expect))
    return checks


def _reached(seen: Seen, frame: Frame, peer: Node, family: int) -> Check:
    address = peer.address(family)
    aspect = f"ipv{family}"
    command = f"ping -c 3 {address}"
    if not address:
        hint = (
            f"the server gave {peer.name} no IPv{family} address: set prefixes.v{family} there, or leave it out of "
            "families"
        )
        return frame.check(
            False, aspect=aspect, target=peer.name, expected=f"an IPv{family} address", observed=None, hint=hint
        )
    result = mapping(mapping(seen.data("icmp")).get(address))
    sent, received = number(result.get("sent")), number(result.get("received"))
    replies = numbers(result.get("rtt_ms"))
    expected = {"address": address, "replies": "all"}
    if not sent or received is None or sent < 0 or received > sent or len(replies) != received:
        why = "no echo request was sent" if seen.data("icmp") is not None else seen.why("icmp")
        return frame.check(
            None, aspect=aspect, target=peer.name, expected=expected, observed=None, hint=why, command=command,
            evidence={"error": seen.error("icmp")},
        )  # fmt: skip
    return frame.check(
        received == sent,
        aspect=aspect,
        target=peer.name,
        expected=expected,
        observed={"sent": int(sent), "received": int(received), "rtt_ms": replies},
        evidence=_evidence(seen, address, result),
        hint=_hint(seen, peer, address, received),
        command=command,
    )


def _evidence(seen: Seen, address: str, result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"address": address}
    if refused := [
        {"error": text(error.get("error")), "from": text(error.get("from"))}
        for error in map(mapping, items(result.get("errors")))
    ]:
        found["refused"] = refused
    for kind in ("disco", "tsmp"):
        if pinged := mapping(mapping(seen.data(kind)).get(address)):
            found[kind] = pinged.get("last") or "no answer"
    return found


def _hint(seen: Seen, peer: Node, address: str, received: float) -> str:
    if received:
        return (
            "some packets were lost: the path is still settling, or a link loses packets (`ip -s link` on both sides)"
        )
    if seen.data("status") is None and seen.data("disco") is None:
        return f"{peer.name} does not answer"
    return hints.unreachable(seen, peer, address)


def _latency(seen: Seen, frame: Frame, peer: Node, expect: Reachable) -> Check:
    found = mapping(seen.data("icmp"))
    wanted = [peer.address(family) for family in expect.families]
    replies = [rtt for address in wanted for rtt in numbers(mapping(found.get(address)).get("rtt_ms")) if rtt >= 0]
    expected = {"median_ms": {"at_most": expect.latency_budget_ms}}
    if not replies:
        reason = "there was no reply whose latency could be measured"
        return frame.skipped(reason, aspect="latency", target=peer.name, expected=expected)
    middle = median(replies)
    return frame.check(
        middle <= expect.latency_budget_ms,
        aspect="latency",
        target=peer.name,
        expected=expected,
        observed=_figures(replies),
        evidence={"rtt_ms": replies},
        hint=_slow(seen, wanted),
        command=f"ping -c 10 {next((known for known in wanted if known), peer.name)}",
    )


def _figures(replies: list[float]) -> dict[str, float]:
    return {"median_ms": round(median(replies), 3), "worst_ms": round(max(replies), 3)} if replies else {}


def _slow(seen: Seen, wanted: list[str]) -> str:
    last = next((mapping(mapping(mapping(seen.data("disco")).get(known)).get("last")) for known in wanted if known), {})
    if last.get("derp") and not last.get("endpoint"):
        return (
            f"the traffic goes through the relay {text(last.get('derp'))}: see the path checks for why it is not "
            "direct"
        )
    return (
        "the path is slow or busy: compare with a ping of the physical address; a far budget is "
        "mesh_latency_budget_ms"
    )
