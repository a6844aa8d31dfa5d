# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge how a path performs once it is found: lost packets, large packets, losses that a relay hides."""

from __future__ import annotations

from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Json, items, mapping, number, text
from .flowing import Lost
from .losing import BY_CHANCE, beyond_chance
from .observations import DIRECT, LARGE, STEADY
from .quoting import quoted
from .reachable import ip_version
from .reason import late
from .saturation import load_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .check import Check
    from .context import CheckContext, Node
    from .reachable import Reachable
    from .saturation import Load

# Payload of a large echo request: with its headers it just fits the mesh's MTU of 1280 bytes over IPv6.
LARGE_BYTES = 1232
# Of at least this many large packets, of both families or of one, at most this share may be lost, unless small packets are lost as well.
# A link that loses one packet in a hundred by chance loses four of ten with a probability of 2e-6, and is measured twice.
_MANY, _MANY_OF_ONE, _LARGE_LOST = 20, 10, 0.3
# How probable the losses of one family may be at most, if its path loses no more than the budget. A path fails only if a second burst
# is bad as well, so that both together are as improbable as in a watch. With 5 %, that is 5 of 20 packets, with 50 % 17.
_BY_CHANCE_OF_BURST: Final = sqrt(BY_CHANCE)
# No burst has more, whatever a host says.
_MOST_SENT = 1_000_000
# A direct path loses packets only when it missed at least this many pings, and more than the budget.
_MISSED = 3
LOSES: Final = (
    "a link or a router on the way loses packets (`ip -s link`, `ping` of the physical addresses), a client is "
    "overloaded or restarts, or a firewall limits how many pings it answers"
)


def judge_steady(answer: Json, context: CheckContext, expect: Reachable) -> list[Check]:
    """Return a check of each peer's lost packets, and one of large packets."""
    seen, load = Answer(answer), load_of(answer)
    return [
        check
        for peer in expect.peers
        for check in (_loss(seen, context, peer, expect, load), _large(seen, context, peer, expect, load))
    ]


def _counted(seen: Answer, name: str, peer: Node, families: tuple[int, ...]) -> dict[str, Lost]:
    """Return what became of the packets to each of a peer's addresses; empty if that is not known of one of them."""
    found = mapping(seen.data(name))
    counted = {}
    for known in filter(None, (peer.address(family) for family in families)):
        result = mapping(found.get(known))
        out, back = number(result.get("sent")), number(result.get("received"))
        if not out or back is None or not 0 <= back <= out <= _MOST_SENT:
            return {}
        counted[known] = Lost(times=int(out) - int(back), sent=int(out))
    return counted


def _alone(bad: list[str], counted: Mapping[str, Lost]) -> str:
    """Return the only address of several that is bad; empty if there is none, or if all are."""
    return bad[0] if len(bad) == 1 < len(counted) else ""


def _loss(seen: Answer, context: CheckContext, peer: Node, expect: Reachable, load: Load) -> Check:
    counted = _counted(seen, STEADY, peer, expect.families)
    both = sum(counted.values(), Lost())
    budget = expect.loss_budget * load.patience
    failed = both.times > expect.lost_at_most(both.sent) or any(
        beyond_chance(burst, budget, _BY_CHANCE_OF_BURST) for burst in counted.values()
    )
    bad = [known for known, burst in counted.items() if failed and burst.times > expect.lost_at_most(burst.sent)]
    alone = _alone(bad, counted)
    check = partial(
        context.check,
        aspect="loss",
        target=peer.name,
        expected={"lost_percent": {"at_most": expect.loss_budget}},
        command=f"ping -c 20 -i 0.1 {quoted(alone or peer.first_address or peer.name)}",
    )
    if not counted:
        return check(None, observed=None, hint=_unsent(seen, STEADY))
    shown = counted.get(alone, both)
    share = round(100 * shown.share, 1)
    return check(
        not failed,
        observed={**_observed(shown, alone), "lost_percent": share},
        hint=f"{share:g} % of the packets are lost{_only(counted, alone)}, even after the path was found: {LOSES}",
    )


def _observed(burst: Lost, alone: str) -> dict[str, Any]:
    return {"sent": burst.sent, "received": burst.sent - burst.times, **({"over": ip_version(alone)} if alone else {})}


def _only(counted: Mapping[str, Lost], alone: str) -> str:
    """Say over which family alone so many are lost, and how many over the other one."""
    others = [
        f"{round(100 * one.share)} % over {ip_version(known)}" for known, one in counted.items() if known != alone
    ]
    return f" over {ip_version(alone)}, and {' and '.join(others)}" if alone else ""


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
        hint=f"{share:g} % of the packets are lost on the direct path, and the relay steps in: {LOSES}",
        command=f"tailscale ping --c {total} --until-direct=false {quoted(known)}",
    )


def _large(seen: Answer, context: CheckContext, peer: Node, expect: Reachable, load: Load) -> Check:
    counted = _counted(seen, LARGE, peer, expect.families)
    small = _counted(seen, STEADY, peer, expect.families)
    large, little = sum(counted.values(), Lost()), sum(small.values(), Lost())
    check = partial(
        context.check,
        aspect="large",
        target=peer.name,
        expected={"bytes": LARGE_BYTES, "replies": {"at_least": 1}},
        command=f"ping -c 3 -s {LARGE_BYTES} {quoted(peer.first_address or peer.name)}",
    )
    if not counted or not small:
        return check(None, observed=None, hint=_unsent(seen, LARGE))
    silent = [known for known, burst in counted.items() if burst.times == burst.sent]
    pooled = large.sent >= _MANY and large.share > _LARGE_LOST and little.times <= expect.lost_at_most(little.sent)
    thinned = [known for known, burst in counted.items() if _thinned(burst, small[known], load.patience)]
    alone = "" if silent else _alone(thinned, counted)
    shown, beside = counted.get(alone, large), small.get(alone, little)
    return check(
        not silent and not pooled and not thinned,
        observed={**_observed(shown, alone), "silent": silent},
        hint="no packet is answered, large or small" if little.times == little.sent else
        f"{round(100 * shown.share)} % of the large packets are lost{_only(counted, alone)}, and {round(100 * beside.share)} % of the small "
        "ones: a link or a router on the way, or one of several routes, drops large packets (`ip -s link`, `ping -s`)" if not silent else
        "small packets get through but large ones do not: the MTU of a link on the way is too small for WireGuard (it needs 1360 "
        "bytes for the mesh's 1280), and its ICMP errors are lost; raise it, or lower the MTU of tailscale0 (TS_DEBUG_MTU)",
    )  # fmt: skip


def _thinned(large: Lost, small: Lost, patience: float) -> bool:
    """Whether one family loses many large packets, and far more than small ones."""
    # With fewer small ones, large ones were only sent until one was answered.
    counts = small.sent >= _MANY and large.sent >= _MANY_OF_ONE
    return counts and large.share - small.share > _LARGE_LOST * patience


def _unsent(seen: Answer, name: str) -> str:
    return late("no echo request was sent") if seen.data(name) is not None else seen.why(name)
