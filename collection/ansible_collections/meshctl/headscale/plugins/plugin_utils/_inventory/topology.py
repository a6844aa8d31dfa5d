# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the inventory's variables as a checked topology, which has every address of the lab. Pure."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ...module_utils._errors import BadInput
from .ipv6 import with_ipv6
from .places import NAT_KINDS, Machine, Publish, Subnet, Topology
from .values import (
    check_keys,
    list_of,
    mapping,
    read_address,
    read_dns_name,
    read_link,
    read_network,
    read_port,
)
from .variables import LABEL, shown

WAN: Final = "wan"
GROUPS: Final = ("headscale", "relays", "clients", "spare", "lan")
FIRST_PORT: Final = 41641

# `router-NAME` must be a valid hostname.
_SUBNET_NAME_LENGTH: Final = 40

_NUMBER = re.compile(r"\d+|0x[0-9a-f]+", re.IGNORECASE)
_LAB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def read_topology(*, hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]) -> Topology:
    """Return the checked topology of an inventory.

    :param hosts: variables of every host, in inventory order.
    :param groups: hosts of every group.
    :raises BadInput: naming the host or subnet, the value and the remedy.
    """
    members = {group: [host for host in groups.get(group, ()) if host in hosts] for group in GROUPS}
    _check_members(hosts, members)
    shared = hosts[members["headscale"][0]]
    outside = mapping("mesh_wan", shared.get("mesh_wan", {}))
    check_keys("mesh_wan", outside, ("cidr", "cidr6"))
    wan = read_network("mesh_wan", outside.get("cidr", "203.0.113.0/24"))
    stated = {
        str(own["mesh_address"]) for own in hosts.values() if own.get("mesh_subnet") == WAN and "mesh_address" in own
    }
    subnets = _subnets(mapping("mesh_subnets", shared.get("mesh_subnets")), wan, stated)
    machines = _machines(hosts, members, subnets, wan)
    topology = Topology(
        lab_name=checked_name(shared.get("lab_name", "seed")),
        wan_cidr=str(wan),
        resolver=machines[members["relays"][0]].address,
        subnets=subnets,
        machines=machines | {subnet.router: _router(subnet) for subnet in subnets.values()},
    )
    return with_ipv6(topology, hosts=hosts, wan=outside, subnets=shared["mesh_subnets"])


def _check_members(hosts: Mapping[str, Mapping[str, Any]], members: Mapping[str, Sequence[str]]) -> None:
    """Refuse groups that lack a host or have one too many, and hosts whose groups exclude each other."""
    if len(members["headscale"]) != 1:
        found = ", ".join(members["headscale"]) or "none"
        raise BadInput(f"group 'headscale' must have exactly one host, the control server; found: {found}")
    if not members["relays"]:
        raise BadInput(
            "group 'relays' has no host; it needs one or more hosts on the WAN, with DERP, STUN and a resolver"
        )
    for relay in members["relays"]:
        if hosts[relay].get("mesh_subnet", WAN) != WAN:
            raise BadInput(
                f"host {relay}: mesh_subnet is '{hosts[relay]['mesh_subnet']}', but a relay must be on the simulated "
                f"internet, where every node reaches it: write {WAN}"
            )
    for group, what in (("spare", "join only when a story needs a new node"), ("lan", "are outside the mesh")):
        for other in GROUPS[: GROUPS.index(group)]:
            if both := [host for host in members[other] if host in members[group]]:
                raise BadInput(
                    f"host {both[0]} is in {other} and in {group}, whose hosts {what}; take it out of one of them"
                )


def checked_name(value: object) -> str:
    """Return the name of a lab; refuse one that cannot name the directory that is removed with the lab."""
    if not isinstance(value, str) or not _LAB_NAME.fullmatch(value):
        raise BadInput(f"lab_name {shown(value)} must be 1 to 32 lower-case letters, digits or '-'")
    return str(value)


def _subnets(data: Mapping[str, Any], wan: ipaddress.IPv4Network, stated: Collection[str]) -> dict[str, Subnet]:
    if not data:
        raise BadInput("mesh_subnets is empty; give it at least one subnet, such as subnet-a: {cidr: 192.168.1.0/24}")
    taken: dict[str, ipaddress.IPv4Network] = {WAN: wan}
    wan_addresses: dict[str, str] = {}
    stated = {
        *stated,
        *(str(raw["wan_address"]) for raw in data.values() if isinstance(raw, Mapping) and "wan_address" in raw),
    }
    subnets: dict[str, Subnet] = {}
    for name, raw in data.items():
        own = mapping(f"mesh_subnets.{name}", raw)
        if "wan_address" not in own:
            own = {**own, "wan_address": _free_wan_address(str(name), wan, {*stated, *wan_addresses})}
        subnet = _subnet(str(name), own, wan)
        for other, network in taken.items():
            if subnet.network.overlaps(network):
                raise BadInput(f"subnet {name} ({subnet.cidr}) overlaps {other} ({network}); give it another cidr")
        if twin := wan_addresses.get(subnet.wan_address):
            raise BadInput(f"subnets {twin} and {name} both have wan_address {subnet.wan_address}; change one")
        taken[subnet.name] = subnet.network
        wan_addresses[subnet.wan_address] = subnet.name
        subnets[subnet.name] = subnet
    return subnets


def _free_wan_address(name: str, wan: ipaddress.IPv4Network, taken: Collection[str]) -> str:
    # The first address is commonly the provider's gateway.
    for address in itertools.islice(wan.hosts(), 1, None):
        if str(address) not in taken:
            return str(address)
    raise BadInput(f"mesh_wan: {wan} has no free address for the router of {name}; use a larger cidr")


def _subnet(name: str, raw: Mapping[str, Any], wan: ipaddress.IPv4Network) -> Subnet:
    where = f"mesh_subnets.{name}"
    check_keys(where, raw, ("cidr", "cidr6", "gateway", "nat", "wan_address", "wan_address6", "link"))
    if not LABEL.fullmatch(name) or name == WAN or len(name) > _SUBNET_NAME_LENGTH:
        raise BadInput(
            f"{where}: '{name}' cannot name a subnet; "
            f"use at most {_SUBNET_NAME_LENGTH} letters, digits and '-', and not '{WAN}'"
        )
    if "cidr" not in raw:
        raise BadInput(f"{where} has no cidr; write one such as 192.168.1.0/24")
    network = read_network(where, raw["cidr"])
    nat = raw.get("nat", "easy")
    if nat not in NAT_KINDS:
        raise BadInput(f"{where}: unknown NAT kind '{nat}'; use one of {', '.join(NAT_KINDS)}")
    return Subnet(
        name=name,
        cidr=str(network),
        gateway=read_address(f"{where}.gateway", raw.get("gateway", network[1]), network),
        nat=nat,
        wan_address=read_address(f"{where}.wan_address", raw["wan_address"], wan),
        router=f"router-{name}",
        link=read_link(f"{where}.link", raw.get("link")),
    )


def _machines(
    hosts: Mapping[str, Mapping[str, Any]],
    members: Mapping[str, Sequence[str]],
    subnets: Mapping[str, Subnet],
    wan: ipaddress.IPv4Network,
) -> dict[str, Machine]:
    inside = {host: tuple(group for group in GROUPS if host in members[group]) for host in hosts}
    wanted = {host: variables for host, variables in hosts.items() if inside[host]}
    taken = {(name, s.gateway): s.router for name, s in subnets.items()}
    taken |= {(WAN, s.wan_address): s.router for s in subnets.values()}
    for host, variables in wanted.items():  # first, so that no other host is given one of them
        if "mesh_address" in variables:
            _claim(host, *_stated(host, variables, subnets, wan), taken)
    machines: dict[str, Machine] = {}
    published: dict[tuple[str, str, int], str] = {}
    ports: dict[tuple[str, int], str] = {}
    for host, variables in wanted.items():
        where = _subnet_name(host, variables, subnets)
        address = (
            _stated(host, variables, subnets, wan)[1]
            if "mesh_address" in variables
            else _free(host, where, subnets, wan, taken)
        )
        machine = _machine(host, variables, inside[host], where, address, subnets)
        for entry in machine.publish:
            _unique(
                published, (where, entry.proto, entry.port), host, f"{entry.proto} port {entry.port} of router-{where}"
            )
        if machine.port:
            _unique(ports, (where, machine.port), host, f"mesh_port {machine.port} behind the same router")
        machines[host] = machine
    _unique_names(machines)
    return machines


def _unique(taken: dict[Any, str], key: object, host: str, what: str) -> None:
    if other := taken.get(key):
        raise BadInput(f"hosts {other} and {host} both use {what}; change one")
    taken[key] = host


def _unique_names(machines: Mapping[str, Machine]) -> None:
    taken: dict[str, str] = {}
    hostnames: dict[str, str] = {}
    for machine in machines.values():
        _unique(hostnames, machine.name.lower(), machine.name, f"the hostname {machine.name.lower()}")
        for name in machine.names:
            _unique(taken, name, machine.name, f"the name {name} (mesh_names)")


def _subnet_name(host: str, variables: Mapping[str, Any], subnets: Mapping[str, Subnet]) -> str:
    known = [*subnets, WAN]
    name = variables.get("mesh_subnet")
    if name is None:
        raise BadInput(f"host {host} has no mesh_subnet; give it one of {', '.join(known)}")
    if name not in known:
        raise BadInput(
            f"host {host}: unknown subnet '{name}'; use one of {', '.join(known)}, or add it to mesh_subnets"
        )
    return str(name)


def _stated(
    host: str, variables: Mapping[str, Any], subnets: Mapping[str, Subnet], wan: ipaddress.IPv4Network
) -> tuple[str, str]:
    where = _subnet_name(host, variables, subnets)
    network = wan if where == WAN else subnets[where].network
    return where, read_address(f"host {host}: mesh_address", variables["mesh_address"], network)


def _claim(host: str, where: str, address: str, taken: dict[tuple[str, str], str]) -> None:
    if other := taken.get((where, address)):
        raise BadInput(f"{other} and {host} both have the address {address} in {where}; change one")
    taken[where, address] = host


def _free(
    host: str, where: str, subnets: Mapping[str, Subnet], wan: ipaddress.IPv4Network, taken: dict[tuple[str, str], str]
) -> str:
    network = wan if where == WAN else subnets[where].network
    for candidate in network.hosts():
        if (where, str(candidate)) not in taken:
            taken[where, str(candidate)] = host
            return str(candidate)
    raise BadInput(f"host {host}: {where} ({network}) has no free address; use a larger cidr")


def _machine(  # noqa: PLR0913, PLR0917
    host: str,
    variables: Mapping[str, Any],
    groups: tuple[str, ...],
    where: str,
    address: str,
    subnets: Mapping[str, Subnet],
) -> Machine:
    if not LABEL.fullmatch(host):
        raise BadInput(f"host '{host}' cannot be a hostname; use letters, digits and '-', at most 63")
    if _NUMBER.fullmatch(host):
        raise BadInput(
            f"host '{host}' cannot be a hostname: resolvers read a number as an address; "
            f"put a letter before it, as in node-{host}"
        )
    subnet = subnets.get(where)
    if any(host.lower() == other.router.lower() for other in subnets.values()):
        raise BadInput(f"host {host} has the name of a router of the lab; rename it")
    client = bool({"clients", "spare"} & set(groups))
    return Machine(
        name=host,
        kind="host",
        groups=groups,
        subnet=where,
        address=address,
        public_address=subnet.wan_address if subnet and subnet.nat != "none" else address,
        port=read_port(f"host {host}: mesh_port", variables.get("mesh_port", _default_port(address, where, subnets)))
        if client
        else 0,
        names=tuple(
            read_dns_name(host, name) for name in list_of(f"host {host}: mesh_names", variables.get("mesh_names"))
        ),
        publish=tuple(
            _publish(host, entry) for entry in list_of(f"host {host}: mesh_publish", variables.get("mesh_publish"))
        ),
        link=read_link(f"host {host}: mesh_link", variables.get("mesh_link")),
    )


def _default_port(address: str, where: str, subnets: Mapping[str, Subnet]) -> int:
    """Return a WireGuard port that no other machine has: two nodes behind one router cannot both keep the same port."""
    if where == WAN:
        return FIRST_PORT
    host_part = int(ipaddress.IPv4Address(address)) - int(subnets[where].network.network_address)
    return FIRST_PORT + 1000 * list(subnets).index(where) % 10000 + host_part % 1000


def _router(subnet: Subnet) -> Machine:
    return Machine(
        name=subnet.router,
        kind="router",
        groups=("routers",),
        subnet=subnet.name,
        address=subnet.gateway,
        public_address=subnet.wan_address,
        link=subnet.link,
    )


def _publish(host: str, raw: object) -> Publish:
    where = f"host {host}: mesh_publish"
    entry = mapping(where, raw)
    check_keys(where, entry, ("proto", "port", "to_port"))
    proto = entry.get("proto", "tcp")
    if proto not in ("tcp", "udp"):
        raise BadInput(f"{where}: unknown proto '{proto}'; use tcp or udp")
    port = read_port(where, entry.get("port"))
    return Publish(proto=proto, port=port, to_port=read_port(where, entry.get("to_port", port)))
