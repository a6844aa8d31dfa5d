# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare addresses of made-up nodes: any other address of the mesh that a policy names may belong to any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .addresses import TAILNET, AddressSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .nodes import Node


class Possible:
    """The addresses that made-up nodes may have."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Keep what the nodes have, and what is left of the mesh, by family."""
        made_up = AddressSet.union(node.owned for node in nodes)
        self._parts = [(_of(made_up, version), _of(TAILNET - made_up, version)) for version in (4, 6)]
        self._known: dict[AddressSet, AddressSet] = {}

    def overlap(self, one: AddressSet, other: AddressSet) -> bool:
        """Whether the sets may share an address: two nodes stay different, and so do two addresses that are named."""
        return self._widened(one).overlaps(other) or one.overlaps(self._widened(other))

    def _widened(self, addresses: AddressSet) -> AddressSet:
        """Add to the addresses of nodes all that no made-up node has."""
        if addresses not in self._known:
            more = (left for made_up, left in self._parts if addresses.overlaps(made_up))
            self._known[addresses] = AddressSet.union([addresses, *more])
        return self._known[addresses]


def is_of_mesh(addresses: AddressSet) -> bool:
    """Whether these are addresses of single nodes, or of some, rather than of the whole mesh or of none."""
    return any(
        part.overlaps(mesh) and not part.covers(mesh)
        for version in addresses.versions
        for part, mesh in [(_of(addresses, version), _of(TAILNET, version))]
    )


def _of(addresses: AddressSet, version: int) -> AddressSet:
    return AddressSet(tuple(one for one in addresses.ranges if one[0] == version))
