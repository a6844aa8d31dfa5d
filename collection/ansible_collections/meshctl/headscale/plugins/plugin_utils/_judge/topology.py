# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Derive the expected path between two nodes from the topology."""

from __future__ import annotations

from typing import Any, Literal

from .answer import Json, address, mapping, text

Kind = Literal["direct", "relay", "any"]


def expected_path(own: Json, other: Json) -> tuple[Kind, str]:  # noqa: PLR0911 (a table of cases)
    """Return which path two nodes must find, and why; each is a record of `mesh_topology`."""
    here, there = mapping(own), mapping(other)
    if not text(here.get("subnet")) or not text(there.get("subnet")):
        return "any", "the topology does not say where the two nodes are"
    if network := common_network(own, other):
        return "direct", f"both are in {network}"
    kinds = (_nat(here), _nat(there))
    if "unknown" in kinds:
        return "any", "the inventory does not say what NAT is between them"
    if "udp_blocked" in kinds:
        return "relay", "a router between them blocks UDP"
    if kinds == ("hard", "hard"):
        return "relay", "both are behind a hard NAT"
    if "hard" in kinds and "none" not in kinds:
        # The easy side's router accepts answers only from a known port, but the hard side uses another port each time.
        return "relay", "a hard NAT on one side and a filtering NAT on the other"
    return "direct", f"NAT {kinds[0]} to {kinds[1]}"


def common_network(own: Json, other: Json) -> str:
    """Return the network that two nodes are both in, empty if they are not or the topology does not say."""
    here, there = (text(mapping(record).get("subnet")) for record in (own, other))
    return here if here == there else ""


def owned(record: Json) -> list[str]:
    """Return a node's physical address and its router's public one."""
    known = mapping(record)
    found = [address(known.get("address")), address(known.get("public_address"))]
    return list(dict.fromkeys(entry for entry in found if entry))


def _nat(record: dict[str, Any]) -> str:
    return text(record.get("nat")) or "none"
