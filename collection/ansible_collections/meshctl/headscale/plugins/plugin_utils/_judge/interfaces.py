# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the mesh interfaces of a host, and the interface that its kernel uses for an address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ...module_utils._ranges import MESH_IPV4, MESH_IPV6
from .answer import Answer, Json, address, addresses, items, mapping, text
from .observations import ROUTES

# As `ip` names an interface without a link layer; older answers have no type.
_TUNNELS = ("none", "")
# tailscaled's own list: Python's is_private also has the test networks.
_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def mesh_interfaces(links: Json) -> frozenset[str]:
    """Return the interfaces of the mesh; unencrypted packets belong on these interfaces only.

    tailscaled's interface has a mesh address and no link layer. Providers use 100.64.0.0/10 as well, for their customers.
    """
    known = [link for link in map(mapping, items(links)) if text(link.get("type")) in _TUNNELS]
    found = {text(link.get("name")) for link in known if any(map(mesh_address, items(link.get("addresses"))))}
    return frozenset(found - {"", "lo"})


def held(links: Json) -> list[tuple[str, str]]:
    """Return the addresses of a host, each with the interface that has it."""
    return [
        (known, text(link.get("name")))
        for link in map(mapping, items(links))
        for known in addresses(link.get("addresses"))
    ]


def route_to(seen: Answer, target: str) -> dict[str, Json]:
    """Return the kernel's route to an address, empty if it was not asked or has none."""
    return mapping(mapping(mapping(seen.data(ROUTES)).get("get")).get(target))


def device_to(seen: Answer, target: str) -> str:
    """Return the interface of the kernel's route to an address, empty if there is none."""
    return text(route_to(seen, target).get("dev"))


def is_local(known: str) -> bool:
    """Whether an address is a loopback or a private one, as tailscaled decides."""
    found = ip_address(known)
    return found.is_loopback or any(found.version == net.version and found in net for net in _PRIVATE)


def mesh_address(value: Json) -> bool:
    """Whether an address belongs to a mesh."""
    known = address(value)
    if not known:
        return False
    found = ip_address(known)
    return any(found in network for network in (MESH_IPV4, MESH_IPV6) if network.version == found.version)
