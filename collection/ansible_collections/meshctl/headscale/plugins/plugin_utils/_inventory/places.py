# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks and machines of a lab, as the inventory describes them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from .values import Link

Nat = Literal["easy", "hard", "none", "udp_blocked"]

NAT_KINDS: Final[tuple[str, ...]] = get_args(Nat)


@dataclass(frozen=True, kw_only=True)
class Publish:
    """A port of a machine that its router forwards from its WAN address."""

    proto: str
    port: int
    to_port: int


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A physical network behind its own router."""

    name: str
    cidr: str
    gateway: str
    nat: Nat
    wan_address: str
    router: str
    link: Link = field(default_factory=Link)
    cidr6: str = ""
    """The network of those hosts that have an IPv6 address; empty if there are none."""
    gateway6: str = ""
    wan_address6: str = ""
    """The router's IPv6 address outside, behind which it hides these hosts; without it, IPv6 does not leave the subnet."""

    @property
    def network(self) -> ipaddress.IPv4Network:
        """Return the subnet as a network object."""
        return ipaddress.IPv4Network(self.cidr)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A host of the inventory or the router of a subnet; a `guest` is a host that the lab does not start."""

    name: str
    kind: Literal["host", "router", "guest"]
    groups: tuple[str, ...]
    subnet: str
    address: str
    public_address: str
    port: int = 0
    names: tuple[str, ...] = ()
    publish: tuple[Publish, ...] = ()
    link: Link = field(default_factory=Link)
    address6: str = ""
    public_address6: str = ""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The networks and machines of a lab."""

    lab_name: str
    wan_cidr: str
    resolver: str
    subnets: dict[str, Subnet]
    machines: dict[str, Machine]
    wan_cidr6: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for the record."""
        return asdict(self)

    def hosts(self) -> Iterator[Machine]:
        """Yield the machines that are hosts of the inventory."""
        return (machine for machine in self.machines.values() if machine.kind != "router")

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return the fact `mesh_topology`: what assertions and the report need to know about each host."""
        return {machine.name: self._host_facts(machine) for machine in self.hosts()}

    def _host_facts(self, machine: Machine) -> dict[str, Any]:
        subnet = self.subnets.get(machine.subnet)
        return {
            "group": machine.groups[0],
            "subnet": machine.subnet,
            "cidr": subnet.cidr if subnet else self.wan_cidr,
            "address": machine.address,
            "address6": machine.address6,
            "router": subnet.router if subnet else None,
            "gateway": subnet.gateway if subnet else None,
            "nat": subnet.nat if subnet else "none",
            "public_address": machine.public_address,
            "public_address6": machine.public_address6,
            "port": machine.port,
            "interface": "eth0",
            "names": list(machine.names),
            "published": [entry.port for entry in machine.publish if entry.proto == "tcp"],
            "published_udp": [entry.port for entry in machine.publish if entry.proto == "udp"],
        }
