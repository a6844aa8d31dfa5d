# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts are in other subnets, and which of them are hidden behind a router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._judge.answer import items, mapping, text
from .pairs import chosen
from .view import is_lab, place, subnet

if TYPE_CHECKING:
    from .view import View


def expected(view: View) -> dict[str, Any]:
    """Return what a story about subnets needs."""
    return {
        "elsewhere": chosen(view, elsewhere(view)),
        "walls": _chosen_walls(view),
        "behind_nat": behind_nat(view),
    }


def _chosen_walls(view: View) -> list[str]:
    """Return the walls that this host tries: the server, and the clients that it is paired with."""
    clients = view.group("clients")
    tried = chosen(view, [host for host in walls(view) if host in clients])
    return [host for host in walls(view) if host in tried or host not in clients]


def elsewhere(view: View) -> list[str]:
    """Return the clients that are not known to be in this host's subnet."""
    near = _neighbours(view)
    # A slice of AWX knows the clients of other slices only from the server.
    others = mapping(view.shared("mesh_nodes")) if view.setting("slices") > 1 else {}
    return [host for host in dict.fromkeys([*view.group("clients"), *others]) if host not in near]


def walls(view: View) -> list[str]:
    """Return the hosts in other subnets whose physical addresses must not answer.

    A lab also hides its server, except for published ports. The silence of an existing server that is not in the mesh
    proves nothing, so it is not asked.
    """
    servers: list[str] = []
    if is_lab(view):
        near = _neighbours(view)
        servers = [host for host in view.group("headscale") if host not in (*near, *view.group("clients"))]
    open_ = in_the_open(view)
    return [host for host in (*elsewhere(view), *servers) if host not in open_ and place(view, host).get("address")]


def in_the_open(view: View) -> set[str]:
    """Return the hosts that a lab routes to: hosts on its WAN and in subnets without NAT."""
    if not is_lab(view):
        return set()
    return {host for host in view.topology() if text(place(view, host).get("nat")) == "none"}


def behind_nat(view: View) -> bool:
    """Whether this host of a lab is hidden by a router."""
    return is_lab(view) and view.host not in in_the_open(view)


def public_addresses(view: View) -> dict[str, str]:
    """Return the public addresses of the routers that hide other subnets of a lab, by a client behind each."""
    if not is_lab(view):
        return {}
    found: dict[str, str] = {}
    for host in elsewhere(view):
        known = text(place(view, host).get("public_address"))
        if host not in in_the_open(view) and known and known not in found.values():
            found[host] = known
    return found


def published(view: View, host: str, protocol: str) -> set[int]:
    """Return the ports that the router of a host forwards to any host of its subnet."""
    key = "published" if protocol == "tcp" else f"published_{protocol}"
    return {
        port
        for name in view.topology()
        if subnet(view, name) == subnet(view, host)
        for port in items(place(view, name).get(key))
    }


def no_ports(view: View) -> str:
    """Return why neither UDP nor further ports may be tried."""
    if is_lab(view) or view.setting("probe_ports"):
        return ""
    return "existing hosts are tried only on ports that the inventory names: set mesh_probe_ports"


def no_placement(view: View) -> str:
    """Return why the host's physical address and gateway cannot be checked."""
    own = place(view, view.host)
    if own.get("cidr") and own.get("address"):
        return ""
    return (
        "the inventory does not say where this host is: set mesh_subnet and mesh_address, and the cidr in mesh_subnets"
    )


def no_other_subnet(view: View) -> str:
    """Return why no client is in another subnet."""
    if elsewhere(view):
        return ""
    return f"all clients are in one subnet, {subnet(view, view.host) or 'or there is only one client'}"


def no_subnets(view: View) -> str:
    """Return why no two clients are in different subnets; a slice that AWX makes does not know all clients."""
    found = {subnet(view, host) for host in view.group("clients")}
    if view.setting("slices") > 1 or len(found) != 1 or "" in found:
        return ""
    return f"all clients are in the subnet {found.pop()}"


def no_isolation(view: View) -> str:
    """Return why the physical networks may have a route to each other."""
    if view.setting("isolated") and (walls(view) or in_the_open(view)):
        return ""
    return (
        "the inventory does not say that the networks have no route to each other: set mesh_isolated, and mesh_subnet and "
        "mesh_address of the hosts"
    )


def no_wall(view: View) -> str:
    """Return why no host of another subnet is hidden."""
    if walls(view) or not elsewhere(view):
        return ""
    return "the other clients are in subnets without NAT, which the lab routes to"


def _neighbours(view: View) -> set[str]:
    own = subnet(view, view.host)
    return {host for host in view.topology() if subnet(view, host) == own} if own else {view.host}
