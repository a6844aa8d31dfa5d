# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Add the IPv6 addresses to a topology: of the hosts that have one, and of the routers that let them out. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...module_utils._errors import BadInput
from .places import Machine, Subnet, Topology
from .values import read_address6, read_network6


def with_ipv6(
    topology: Topology,
    *,
    hosts: Mapping[str, Mapping[str, Any]],
    wan: Mapping[str, Any],
    subnets: Mapping[str, Mapping[str, Any]],
) -> Topology:
    """Return the topology with what the inventory says of IPv6; raise `BadInput`."""
    outside = read_network6("mesh_wan.cidr6", wan.get("cidr6"))
    found = {name: _subnet(subnet, subnets[name], outside) for name, subnet in topology.subnets.items()}
    _check_overlaps({"mesh_wan": outside} | {f"mesh_subnets.{name}": subnet.cidr6 for name, subnet in found.items()})
    machines = {
        name: _router(machine, found[machine.subnet])
        if machine.kind == "router"
        else _host(machine, hosts[name], found, outside)
        for name, machine in topology.machines.items()
    }
    _check_unique(machines)
    return replace(topology, subnets=found, machines=machines, wan_cidr6=outside)


def _subnet(subnet: Subnet, raw: Mapping[str, Any], outside: str) -> Subnet:
    where = f"mesh_subnets.{subnet.name}"
    network = read_network6(f"{where}.cidr6", raw.get("cidr6"))
    public = read_address6(f"{where}.wan_address6", raw.get("wan_address6"), outside, where="mesh_wan")
    if public and not network:
        raise BadInput(f"{where} has a wan_address6 and no cidr6: add its IPv6 network, such as fd00:a::/64")
    gateway = str(ipaddress.IPv6Network(network)[1]) if public else ""
    return replace(subnet, cidr6=network, gateway6=gateway, wan_address6=public)


def _host(machine: Machine, variables: Mapping[str, Any], subnets: Mapping[str, Subnet], outside: str) -> Machine:
    subnet = subnets.get(machine.subnet)
    network, where = (subnet.cidr6, f"mesh_subnets.{subnet.name}") if subnet else (outside, "mesh_wan")
    what = f"host {machine.name}: mesh_address6"
    address = read_address6(what, variables.get("mesh_address6"), network, where=where)
    public = subnet.wan_address6 if subnet else address
    return replace(machine, address6=address, public_address6=public if address else "")


def _router(machine: Machine, subnet: Subnet) -> Machine:
    return replace(machine, address6=subnet.gateway6, public_address6=subnet.wan_address6)


def _check_overlaps(networks: Mapping[str, str]) -> None:
    seen: dict[str, ipaddress.IPv6Network] = {}
    for name, cidr in networks.items():
        if not cidr:
            continue
        network = ipaddress.IPv6Network(cidr)
        if other := next((known for known, taken in seen.items() if taken.overlaps(network)), None):
            raise BadInput(f"{name}: cidr6 {network} overlaps that of {other}; give it another")
        seen[name] = network


def _check_unique(machines: Mapping[str, Machine]) -> None:
    taken: dict[str, str] = {}
    for machine in machines.values():
        own = [machine.address6, *([machine.public_address6] if machine.kind == "router" else [])]
        for address in filter(None, own):
            if other := taken.get(address):
                raise BadInput(f"{other} and {machine.name} both have the address {address}; change one")
            taken[address] = machine.name
