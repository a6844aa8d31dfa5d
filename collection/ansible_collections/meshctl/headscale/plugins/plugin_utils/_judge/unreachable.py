# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge that nodes do not answer over the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answer import Answer, Json, items, mapping, number, text
from .observations import ICMP, STATUS
from .quoting import quoted
from .reason import settled

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node


def judge_unreachable(answer: Json, context: CheckContext, peers: tuple[Node, ...], *, aspect: str = "") -> list[Check]:
    """Return a check of each peer: none of its addresses answers."""
    seen = Answer(answer)
    return [_silent(seen, context, peer, aspect) for peer in peers]


def _silent(seen: Answer, context: CheckContext, peer: Node, aspect: str) -> Check:
    results = {known: mapping(mapping(seen.data(ICMP)).get(known)) for known in peer.addresses}
    expected = {"addresses": list(peer.addresses), "replies": 0}
    command = f"ping -c 1 {quoted(peer.first_address or peer.name)}"
    received = {known: number(result.get("received")) for known, result in results.items()}
    tried = bool(results) and all(number(result.get("sent")) for result in results.values())
    if not tried or any(count is None or count < 0 for count in received.values()):
        why = seen.why(ICMP) if results else settled(f"the server has no address of {peer.name}")
        return context.check(
            None, aspect=aspect, target=peer.name, expected=expected, observed=None, hint=why, command=command,
            evidence={"error": seen.error(ICMP)},
        )  # fmt: skip
    answering = [known for known, count in received.items() if count]
    status = mapping(seen.data(STATUS))
    errors = [mapping(entry) for result in results.values() for entry in items(result.get("errors"))]
    refused = {text(error.get("error")) for error in errors}
    return context.check(
        not answering,
        aspect=aspect,
        target=peer.name,
        expected=expected,
        observed={"received": {known: int(count or 0) for known, count in received.items()}},
        evidence={"refused": sorted(refused), "client": text(status.get("BackendState")) or seen.why(STATUS)},
        hint=f"{peer.name} still answers at {', '.join(answering)}",
        command=command,
    )
