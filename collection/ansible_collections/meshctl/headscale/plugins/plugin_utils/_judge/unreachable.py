# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges whether a node has lost its peers, as after an outage or a removal. PRIVATE to the collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frame import Frame, Node
from .seen import Json, Seen, items, mapping, number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .check import Check


def judge_unreachable(answer: Json, frame: Frame, peers: Sequence[Node]) -> list[Check]:
    """Return a check for each peer: none of its mesh addresses answers."""
    seen = Seen(answer)
    return [_lost(seen, frame, peer) for peer in peers]


def _lost(seen: Seen, frame: Frame, peer: Node) -> Check:
    expected = {"replies": 0, "addresses": list(peer.addresses)}
    found = mapping(seen.data("icmp"))
    results = {address: mapping(found.get(address)) for address in peer.addresses}
    counts = {address: (number(result.get("sent")), number(result.get("received"))) for address, result in results.items()}
    refused = {
        address: sorted({text(mapping(error).get("error")) for error in items(result.get("errors"))} - {""})
        for address, result in results.items()
    }
    # A ping that the own kernel refuses to send is an answer too: then it is named.
    if not counts or any(received is None or (not sent and not refused[address]) for address, (sent, received) in counts.items()):
        why = seen.why("icmp") if seen.data("icmp") is None else "no echo request was sent"
        return frame.check(None, target=peer.name, expected=expected, observed=None, hint=why, evidence={"error": seen.error("icmp")})
    replies = {address: received for address, (_sent, received) in counts.items()}
    return frame.check(
        not any(replies.values()),
        target=peer.name,
        expected=expected,
        observed={"replies": replies},
        evidence={"refused": refused},
        hint=f"{peer.name} still answers over the mesh: what should have cut it off has had no effect",
        command=f"ping -c 3 {peer.addresses[0]}",
    )
