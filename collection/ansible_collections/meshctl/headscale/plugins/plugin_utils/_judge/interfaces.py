# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which interfaces of a host are the mesh's, and which one is taken."""

from __future__ import annotations

from ipaddress import ip_address

from ...module_utils._ranges import MESH_IPV4, MESH_IPV6
from .answer import Answer, Json, address, items, mapping, text


def mesh_interfaces(links: Json) -> frozenset[str]:
    """Return the interfaces of the mesh: those that have a mesh address. Packets in clear belong there and nowhere else."""
    known = [mapping(link) for link in items(links)]
    found = {text(link.get("name")) for link in known if any(map(mesh_address, items(link.get("addresses"))))}
    return frozenset(found - {"", "lo"})


def route_to(seen: Answer, target: str) -> dict[str, Json]:
    """Return the route that the kernel takes to an address, empty where it was not asked or has none."""
    return mapping(mapping(mapping(seen.data("routes")).get("get")).get(target))


def device_to(seen: Answer, target: str) -> str:
    """Return the interface by which the kernel sends to an address, empty as `route_to`."""
    return text(route_to(seen, target).get("dev"))


def mesh_address(value: Json) -> bool:
    """Whether an address is one of a mesh."""
    known = address(value)
    if not known:
        return False
    found = ip_address(known)
    return any(found in network for network in (MESH_IPV4, MESH_IPV6) if network.version == found.version)
