# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge by what nodes have captured whether packets of a host outside the mesh have reached them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answer import Json, items, mapping, text
from .quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .check import Check
    from .context import CheckContext
    from .isolated import Wall


def judge_arrived(noted: Mapping[str, Json], nonce: str, context: CheckContext, walls: Sequence[Wall]) -> list[Check]:
    """Return a check of each wall from what its host has noted, by nonce; a host that noted nothing proves nothing."""
    return [
        _one(mapping(noted.get(wall.name)).get(nonce) if nonce else None, context, wall)
        for wall in walls
        if wall.udp and not wall.drops
    ]


def _one(noted: Json, context: CheckContext, wall: Wall) -> Check:
    aspect = f"arrived.{wall.other}" if wall.other else "arrived"
    expected = {"address": wall.address, "packets": "none"}
    if not isinstance(noted, list):
        reason = f"{wall.name} could not capture what reaches it (that needs root), or did not say what has"
        return context.skipped(reason, aspect=aspect, target=wall.name, expected=expected)
    pairs = [[text(entry) for entry in items(pair)] for pair in noted]
    found = sorted(
        {pair[1] for pair in pairs if len(pair) > 1 and pair[0] == wall.address}, key=lambda what: (len(what), what)
    )
    over = over_all(found)
    first = next((what for what in found if what.isdigit()), "")
    return context.check(
        not found,
        aspect=aspect,
        target=wall.name,
        expected=expected,
        observed={"over": over},
        hint=f"packets over {', '.join(over)} to {wall.address} have arrived at {wall.name} without the mesh, whether it "
        "answers or not: a router between the two networks forwards that (`nft list ruleset` on the routers)",
        command=f"nc -vzu -w 3 {quoted(wall.address)} {quoted(first)}" if first else "",
    )  # fmt: skip


def over_all(found: Sequence[str]) -> list[str]:
    """Return in words what packets have said of themselves: the ports of UDP and of TCP, and other protocols."""
    tcp = [what.removeprefix("tcp-") for what in found if what.startswith("tcp-")]
    udp = [what for what in found if what[:1].isdigit() and what != "6in4"]
    others = [what.upper() for what in found if what not in udp and not what.startswith("tcp-")]
    named = [
        f"{name} port {', '.join(ports)}".replace("-", " ") for name, ports in (("UDP", udp), ("TCP", tcp)) if ports
    ]
    return [*named, *others]
