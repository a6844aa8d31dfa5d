# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from `mesh_routes` which networks lie behind which nodes, and from `mesh_exit_nodes` which nodes lead outside.

Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...module_utils._errors import BadInput
from .variables import shown

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_KEYS = ("prefix", "routers", "target", "port")
_NEEDED = ("prefix", "routers", "target")
_EXAMPLE = "{prefix: 192.168.1.0/24, routers: [client-node-1], target: printer}"
_PORTS = range(1, 65536)


@dataclass(frozen=True, kw_only=True)
class Route:
    """A network behind one or more subnet routers, and a host in it to reach."""

    prefix: str
    routers: tuple[str, ...]
    target: str
    """A host of the group `lan`, or an address."""
    port: int | None = None

    @property
    def network(self) -> Network:
        """Return the prefix as a network."""
        return ipaddress.ip_network(self.prefix)


def read_routes(value: Any, groups: Mapping[str, Sequence[str]]) -> tuple[Route, ...]:  # noqa: ANN401 - an inventory's data
    """Return the entries of `mesh_routes`; raise `BadInput`."""
    if value in (None, "", []):
        return ()
    if not isinstance(value, list):
        raise BadInput(f"mesh_routes is {shown(value)}: write a list of entries such as {_EXAMPLE}")
    routes = tuple(_route(f"entry {number} of mesh_routes", entry, groups) for number, entry in enumerate(value, 1))
    taken: dict[str, int] = {}
    for number, route in enumerate(routes, 1):
        if other := taken.get(route.prefix):
            raise BadInput(
                f"entries {other} and {number} of mesh_routes both have the prefix {route.prefix}: list their routers in one"
            )
        taken[route.prefix] = number
    return routes


def read_exit_nodes(value: Any, groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:  # noqa: ANN401 - an inventory's data
    """Return the hosts of `mesh_exit_nodes`; raise `BadInput`."""
    if value in (None, "", []):
        return ()
    if not isinstance(value, list):
        raise BadInput(f"mesh_exit_nodes is {shown(value)}: write a list of clients, as in [client-node-2]")
    return _clients("mesh_exit_nodes", value, groups)


def _route(where: str, entry: Any, groups: Mapping[str, Sequence[str]]) -> Route:  # noqa: ANN401 - an inventory's data
    if not isinstance(entry, Mapping):
        raise BadInput(f"{where} is {shown(entry)}: write a mapping such as {_EXAMPLE}")
    if unknown := [str(key) for key in entry if key not in _KEYS]:
        raise BadInput(f"{where} has {unknown[0]!r}: it may have {', '.join(_KEYS)}")
    if lacking := [key for key in _NEEDED if entry.get(key) in (None, "", [])]:
        raise BadInput(f"{where} has no {lacking[0]}: write an entry such as {_EXAMPLE}")
    routers = entry["routers"]
    if not isinstance(routers, list):
        raise BadInput(f"{where}: routers is {shown(routers)}: write a list of clients, as in [client-node-1]")
    network = _prefix(where, entry["prefix"])
    return Route(
        prefix=str(network),
        routers=_clients(f"{where}, routers", routers, groups),
        target=_target(where, entry["target"], network, groups),
        port=_port(where, entry.get("port")),
    )


def _prefix(where: str, value: Any) -> Network:  # noqa: ANN401 - an inventory's data
    try:
        network = ipaddress.ip_network(str(value))
    except ValueError as exc:
        raise BadInput(
            f"{where}: prefix {shown(value)} is not a network ({exc}); write one such as 192.168.1.0/24"
        ) from None
    if network.prefixlen == 0:
        raise BadInput(f"{where}: prefix {network} is the route of an exit node: name its routers in mesh_exit_nodes")
    return network


def _clients(where: str, names: Sequence[Any], groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    clients = groups.get("clients", ())
    if unknown := [name for name in names if name not in clients]:
        raise BadInput(f"{where}: {shown(unknown[0])} is not a host of the group clients, which has {_some(clients)}")
    if twice := [name for index, name in enumerate(names) if name in names[:index]]:
        raise BadInput(f"{where} names {twice[0]} twice; remove one")
    return tuple(map(str, names))


def _target(where: str, value: Any, network: Network, groups: Mapping[str, Sequence[str]]) -> str:  # noqa: ANN401
    lan = groups.get("lan", ())
    if value in lan:
        return str(value)
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        raise BadInput(
            f"{where}: target {shown(value)} is neither an address nor a host of the group lan, which has {_some(lan)}"
        ) from None
    _check_inside(where, str(value), address, network)
    return str(address)


def _port(where: str, value: Any) -> int | None:  # noqa: ANN401 - an inventory's data
    if value is None:
        return None
    if isinstance(value, bool) or not (str(value).isascii() and str(value).isdecimal()) or int(value) not in _PORTS:
        raise BadInput(f"{where}: port is {shown(value)}: write a port from 1 to 65535, or leave it out")
    return int(value)


def check_targets(routes: Collection[Route], addresses: Mapping[str, Sequence[str]]) -> None:
    """Refuse a target outside its prefix; `addresses` has those of hosts, as far as they are known."""
    for route in routes:
        where = f"mesh_routes, prefix {route.prefix}"
        known = [ipaddress.ip_address(entry) for entry in addresses.get(route.target, ())]
        alike = [address for address in known if address.version == route.network.version]
        if known and not alike and route.network.version == 6:  # noqa: PLR2004 - a lab chooses an IPv4 address itself
            raise BadInput(f"{where}: target {route.target} has no IPv6 address: give it a mesh_address6")
        for address in alike:
            _check_inside(where, f"{route.target} ({address})", address, route.network)


def _check_inside(
    where: str, target: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: Network
) -> None:
    if address.version != network.version or address not in network:
        raise BadInput(f"{where}: target {target} is not in {network}; name a host that is")


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "no host") + more
