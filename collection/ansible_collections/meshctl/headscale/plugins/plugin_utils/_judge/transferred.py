# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a transfer over the mesh leaves the host encrypted, and all of it.

A capture during the transfer leaves out WireGuard's packets and the mesh interface, so that it misses nothing. What it finds of
the transfer is unencrypted. How much left encrypted follows from the interfaces' own counters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, address, items, mapping, number, text
from .encrypted import incomplete
from .interfaces import mesh_address, mesh_interfaces
from .observations import ADDRESSES, BULK, EXCHANGE, WIRE
from .reason import late

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer of so many bytes, each way, to each of these peers at one of their mesh addresses."""

    length: int
    peers: dict[str, str]
    skipped: str = ""
    """Why nothing is transferred."""


def judge_transferred(answer: Json, context: CheckContext, expect: Transfer) -> Check:
    """Return the check of what was transferred to all peers together."""
    total = expect.length * len(expect.peers)
    expected = {"in_clear": 0, "encrypted_bytes_each_way": {"at_least": total}}
    if expect.skipped:
        return context.skipped(expect.skipped, aspect="bulk", expected=expected)
    steps = Answer({"observations": mapping(Answer(answer).data(WIRE)), "failure": Answer(answer).error(WIRE)})
    capture, inside = mapping(steps.data(BULK)), mesh_interfaces(steps.data(ADDRESSES))
    leaks = _leaks(capture, inside)
    if leaks:
        where = ", ".join(sorted({text(flow.get("interface")) for flow in leaks}))
        return context.check(
            False, aspect="bulk", expected=expected, observed={"in_clear": sum(map(_packets, leaks))},
            evidence={"leaks": leaks[:5]},
            hint=f"packets of a transfer left unencrypted on {where}: they bypass WireGuard, although smaller packets do not",
            command=f"tcpdump -ni any {_FILTER}",
        )  # fmt: skip
    volume = _volume(capture, inside)
    if why := _unproven(steps, capture, inside, expect):
        return context.check(
            None, aspect="bulk", expected=expected, observed=None, hint=why, evidence={"links": volume}
        )
    return context.check(
        min(volume.values()) >= total, aspect="bulk", expected=expected, evidence={"peers": sorted(expect.peers)},
        observed={"in_clear": 0, **{f"{way}_bytes": count for way, count in volume.items()}},
        hint="fewer bytes left and arrived on the physical links than were transferred: all or part of the transfer did not take these links",
        command="ip -s link",
    )  # fmt: skip


_FILTER = "tcp and net 100.64.0.0/10"


def _leaks(capture: dict[str, Any], inside: frozenset[str]) -> list[dict[str, Any]]:
    """Return the flows outside the mesh interface that carry the transfer, or whose both ends are mesh addresses."""
    flows = [mapping(flow) for flow in items(capture.get("flows"))]
    outside = [flow for flow in flows if text(flow.get("interface")) not in {*inside, "lo"}]
    return [flow for flow in outside if number(flow.get("marked")) or _within(flow)] if inside else []


def _within(flow: dict[str, Any]) -> bool:
    ends = [address(flow.get(end)) for end in ("src", "dst")]
    return flow.get("proto") == "tcp" and all(known and mesh_address(known) for known in ends)


def _packets(flow: dict[str, Any]) -> int:
    return int(number(flow.get("packets")) or 0)


def _volume(capture: dict[str, Any], inside: frozenset[str]) -> dict[str, int]:
    """Return how many bytes the physical links received and sent: none of them in clear belong to the transfer."""
    links = [items(grown) for name, grown in mapping(capture.get("links")).items() if name not in {*inside, "lo"}]
    got, sent = (sum(int(number(grown[at]) or 0) for grown in links if len(grown) > at) for at in (0, 1))
    return {"received": got, "sent": sent}


def _unproven(steps: Answer, capture: dict[str, Any], inside: frozenset[str], expect: Transfer) -> str:
    """Return why the capture proves nothing, empty if it may."""
    if not capture:
        return steps.why(BULK)
    if why := incomplete(capture):
        return why
    if not inside:
        return steps.why(ADDRESSES) if steps.data(ADDRESSES) is None else "no interface of this host has a mesh address"
    during = Answer({"observations": mapping(capture.get("during"))})
    made = mapping(during.data(EXCHANGE))
    for name, known in expect.peers.items():
        found = mapping(mapping(made.get(known)).get("bulk"))
        if found.get("outcome") != "answered":
            outcome = text(found.get("outcome")) or text(mapping(mapping(made.get(known)).get("tcp")).get("outcome"))
            return late(
                f"the transfer to {name} did not end ({outcome or during.why(EXCHANGE)}): see reachable.bulk in US1"
            )
    return ""
