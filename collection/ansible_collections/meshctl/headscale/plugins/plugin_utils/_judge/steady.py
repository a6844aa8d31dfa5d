# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge how a path performs once it is found: lost packets, large packets, losses that a relay hides."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from .answer import Answer, Json, items, mapping, number, text
from .observations import DIRECT, LARGE, STEADY
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node
    from .reachable import Reachable

# Payload of a large echo request: with its headers it just fits the mesh's MTU of 1280 bytes over IPv6.
LARGE_BYTES = 1232
# Of at least this many large packets, at most this share may be lost, unless small packets are lost as well.
_MANY, _LARGE_LOST = 20, 0.3
# No burst has more, whatever a host says.
_MOST_SENT = 1_000_000
# A direct path loses packets only when it missed at least this many pings, and more than the budget.
_MISSED = 3
_LOSES: Final = (
    "a link or a router on the way loses packets (`ip -s link`, `ping` of the physical addresses), a client is "
    "overloaded or restarts, or a firewall limits how many pings it answers"
)


def judge_steady(answer: Json, context: CheckContext, expect: Reachable) -> list[Check]:
    """Return a check of each peer's lost packets, and one of large packets."""
    seen = Answer(answer)
    return [
        check
        for peer in expect.peers
        for check in (_loss(seen, context, peer, expect), _large(seen, context, peer, expect))
    ]


def _counted(seen: Answer, name: str, peer: Node, families: tuple[int, ...]) -> tuple[int, int] | None:
    """Return how many packets were sent to a peer and how many it answered; None if that is not known."""
    found = mapping(seen.data(name))
    sent = received = 0
    for known in filter(None, (peer.address(family) for family in families)):
        result = mapping(found.get(known))
        out, back = number(result.get("sent")), number(result.get("received"))
        if not out or back is None or not 0 <= back <= out <= _MOST_SENT:
            return None
        sent, received = sent + int(out), received + int(back)
    if not sent:
        return None
    return sent, received


def _loss(seen: Answer, context: CheckContext, peer: Node, expect: Reachable) -> Check:
    counted = _counted(seen, STEADY, peer, expect.families)
    check = partial(
        context.check,
        aspect="loss",
        target=peer.name,
        expected={"lost_percent": {"at_most": expect.loss_budget}},
        command=f"ping -c 20 -i 0.1 {quoted(peer.first_address or peer.name)}",
    )
    if counted is None:
        return check(None, observed=None, hint=_unsent(seen, STEADY))
    sent, received = counted
    share = round(100 * (sent - received) / sent, 1)
    return check(
        sent - received <= expect.lost_at_most(sent),
        observed={"sent": sent, "received": received, "lost_percent": share},
        hint=f"{share:g} % of the packets are lost, even after the path was found: {_LOSES}",
    )


def hidden_losses(answer: Json, context: CheckContext, expect: Reachable) -> list[Check]:
    """Return a failed check of each peer whose direct path loses packets while the relay delivers instead.

    If a direct path does not answer for seconds, the client sends through the relay, over TCP, where no packet is lost.
    """
    seen = Answer(answer)
    return [check for peer in expect.peers if (check := _hidden_loss(seen, context, peer, expect)) is not None]


def _hidden_loss(seen: Answer, context: CheckContext, peer: Node, expect: Reachable) -> Check | None:
    known = peer.first_address
    pinged = mapping(mapping(seen.data(DIRECT)).get(known))
    answers = [mapping(entry) for entry in items(pinged.get("answers"))]
    ways = [bool(text(entry.get("endpoint"))) for entry in answers if not text(entry.get("err"))]
    # Answers through the relay before the first direct answer only show that the path was still being found.
    settled = ways[ways.index(True) :] if True in ways else []
    missed = settled.count(False) + int(number(pinged.get("lost")) or 0)
    total = settled.count(True) + missed
    if not settled or missed < _MISSED or missed <= expect.lost_at_most(total):
        return None
    share = round(100 * missed / total, 1)
    return context.check(
        False,
        aspect="loss",
        target=peer.name,
        expected={"lost_percent": {"at_most": expect.loss_budget}},
        observed={"sent": total, "received": total - missed, "lost_percent": share},
        evidence={"path": "direct", "by_relay": settled.count(False)},
        hint=f"{share:g} % of the packets are lost on the direct path, and the relay steps in: {_LOSES}",
        command=f"tailscale ping --c {total} --until-direct=false {quoted(known)}",
    )


def _large(seen: Answer, context: CheckContext, peer: Node, expect: Reachable) -> Check:
    counted = _counted(seen, LARGE, peer, expect.families)
    small = _counted(seen, STEADY, peer, expect.families)
    check = partial(
        context.check,
        aspect="large",
        target=peer.name,
        expected={"bytes": LARGE_BYTES, "replies": {"at_least": 1}},
        command=f"ping -c 3 -s {LARGE_BYTES} {quoted(peer.first_address or peer.name)}",
    )
    if counted is None or small is None:
        return check(None, observed=None, hint=_unsent(seen, LARGE))
    sent, received = counted
    silent = [
        known
        for family in expect.families
        if (known := peer.address(family)) and not number(mapping(mapping(seen.data(LARGE)).get(known)).get("received"))
    ]
    thinned = (
        sent >= _MANY and sent - received > sent * _LARGE_LOST and small[0] - small[1] <= expect.lost_at_most(small[0])
    )
    return check(
        not silent and not thinned,
        observed={"sent": sent, "received": received, "silent": silent},
        hint="no packet is answered, large or small" if not small[1] else
        f"{round(100 * (sent - received) / sent)} % of the large packets are lost, but hardly any small one: a link or a router on "
        "the way, or one of several routes, drops large packets (`ip -s link`, `ping -s`)" if not silent else
        "small packets get through but large ones do not: the MTU of a link on the way is too small for WireGuard (it needs 1360 "
        "bytes for the mesh's 1280), and its ICMP errors are lost; raise it, or lower the MTU of tailscale0 (TS_DEBUG_MTU)",
    )  # fmt: skip


def _unsent(seen: Answer, name: str) -> str:
    return late("no echo request was sent") if seen.data(name) is not None else seen.why(name)
