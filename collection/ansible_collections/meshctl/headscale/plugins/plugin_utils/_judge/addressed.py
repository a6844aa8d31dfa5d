# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a host has the physical address, subnet and gateway that the inventory states."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, address, items, mapping, text
from .context import CheckContext
from .interfaces import device_to, mesh_interfaces, route_to
from .observations import ADDRESSES, ROUTES
from .quoting import quoted

if TYPE_CHECKING:
    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Place:
    """The address and subnet that a host should have, and its router (empty: none)."""

    address: str
    cidr: str
    gateway: str = ""
    elsewhere: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    """The addresses of other hosts, with their names."""

    @property
    def samples(self) -> dict[str, str]:
        """Return an address in each other subnet, to ask the kernel for the route to it."""
        known = (ipaddress.ip_network(cidr) for cidr in self.elsewhere)
        return {str(next(network.hosts(), network[0])): str(network) for network in known}

    @property
    def interface(self) -> str:
        """Return the address with its prefix length."""
        return f"{self.address}/{ipaddress.ip_network(self.cidr).prefixlen}"


def judge_addressed(answer: Json, context: CheckContext, place: Place) -> list[Check]:
    """Return a check of the host's address, and one of its route to other subnets."""
    seen = Answer(answer)
    return [_address(seen, context, place), *([_gateway(seen, context, place)] if place.gateway else [])]


def _address(seen: Answer, context: CheckContext, place: Place) -> Check:
    links = seen.data(ADDRESSES)
    expected = {"address": place.interface}
    if not isinstance(links, list) or not links:
        return context.check(None, aspect="address", expected=expected, observed=None, hint=seen.why(ADDRESSES))
    found = {
        text(mapping(link).get("name")): [text(entry) for entry in items(mapping(link).get("addresses"))]
        for link in links
    }
    # Other machines of the subnet can send to these interfaces.
    physical = {name: known for name, known in found.items() if name != "lo" and not name.startswith("tailscale")}
    known = [entry for entries in physical.values() for entry in entries]
    foreign = [entry for entry in known if _within(entry, place.elsewhere)]
    whose = {entry: owner for entry in known if (owner := place.others.get(entry.partition("/")[0]))}
    return context.check(
        place.interface in known and not foreign and not whose,
        aspect="address",
        expected=expected,
        observed={"addresses": physical},
        hint=f"it has {next(iter(whose))}, which is the address of {next(iter(whose.values()))}: two hosts answer for it, "
        "so remove it from one of them" if whose else
        f"it has {foreign[0]}, an address of another subnet: the host connects the two subnets" if foreign else
        f"the inventory says {place.interface}: correct mesh_address, or the host's network",
        command="ip -br address",
    )  # fmt: skip


def physical_ipv6(answer: Json) -> list[str]:
    """Return the host's IPv6 addresses outside the mesh that other networks could have a route to."""
    links = Answer(answer).data(ADDRESSES)
    mesh = mesh_interfaces(links)
    outside = [mapping(link) for link in items(links) if text(mapping(link).get("name")) not in mesh]
    known = [address(entry) for link in outside for entry in items(link.get("addresses"))]
    found = [ipaddress.ip_address(entry) for entry in known if ":" in entry]
    return [str(entry) for entry in found if not (entry.is_link_local or entry.is_loopback)]


def _within(known: str, networks: tuple[str, ...]) -> bool:
    try:
        host = ipaddress.ip_interface(known).ip
    except ValueError:
        return False
    return any(
        host in ipaddress.ip_network(network)
        for network in networks
        if host.version == ipaddress.ip_network(network).version
    )


def _gateway(seen: Answer, context: CheckContext, place: Place) -> Check:
    routes = mapping(seen.data(ROUTES)).get("routes")
    expected = {"default_route_via": place.gateway}
    if not isinstance(routes, list):
        return context.check(None, aspect="gateway", expected=expected, observed=None, hint=seen.why(ROUTES))
    main = [mapping(route) for route in routes if text(mapping(route).get("table")) in ("", "main", "254")]
    default = [text(route.get("gateway")) for route in main if route.get("dst") == "default"]
    leaks = [text(route.get("dst")) for route in main if _within(text(route.get("dst")), place.elsewhere)]
    taken = _taken(seen, place)
    other = next((f"{cidr} via {way}" for cidr, way in taken.items() if way != place.gateway), "")
    own = device_to(seen, place.gateway)
    led_away = own if own.startswith("tailscale") else ""
    observed: dict[str, Any] = {"default_routes_via": default, "routes_to_other_subnets": leaks}
    observed |= {"own_subnet_by": own} if led_away else {}
    return context.check(
        place.gateway in default and not leaks and not other and not led_away,
        aspect="gateway",
        expected=expected,
        observed={**observed, "taken": taken} if other else observed,
        hint=f"traffic to its own subnet goes into the mesh through {led_away}: the host uses an exit node (`tailscale set --exit-node=` "
        "or `--exit-node-allow-lan-access`), or it accepts that subnet from another node (`--accept-routes`)" if led_away else
        f"it has its own route to {leaks[0]}, which leaks traffic between the subnets: remove it with `ip route del {quoted(leaks[0])}`" if leaks else
        f"its default route should be via {place.gateway}: check `ip route`" if place.gateway not in default else
        f"its default route is via {place.gateway}, but it uses another route to {other}: see `ip route` and `ip rule`",
        command="ip route",
    )  # fmt: skip


def _taken(seen: Answer, place: Place) -> dict[str, str]:
    """Return the route that the kernel takes to each other subnet: the next hop, or the interface if there is none."""
    found = {cidr: route_to(seen, known) for known, cidr in place.samples.items()}
    ways = {cidr: text(route.get("gateway")) or text(route.get("dev")) for cidr, route in found.items()}
    # A refused destination has no route, and a subnet route of the mesh is no leak.
    return {cidr: way for cidr, way in ways.items() if way and not way.startswith("tailscale")}
