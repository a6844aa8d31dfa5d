# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn a topology into the networks and domains that libvirt should have. Pure functions.

Routers, relays and hosts outside the mesh stay what they are in the embedded lab, namespaces below its supervisor, so
that NAT behaves the same; every other host is a guest. Names and UUIDs follow from the lab's state directory: what is
found in libvirt under a lab's names with other UUIDs belongs to something else, and `down` needs no record to find its own.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from ...module_utils._errors import BadInput
from .._inventory.places import Subnet, Topology
from .._inventory.topology import WAN
from .._inventory.values import Link

Image = Literal["debian", "nixos"]
Accelerator = Literal["auto", "kvm", "tcg"]

PREFIX: Final = "meshctl"
_NAMESPACE: Final = uuid.UUID("6d657368-6374-5c00-8000-6c6962766972")
_LEAST_MEMORY_MB: Final = 256


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The inventory's `mesh_libvirt`."""

    uri: str = "qemu:///system"
    image: Image = "debian"
    image_path: str = ""
    suite: str = "bookworm"
    accelerator: Accelerator = "auto"
    memory_mb: int = 384
    cpus: int = 1
    disks: str = "/var/lib/libvirt/images"
    boot_seconds: int = 900


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A host of the inventory that is a virtual machine."""

    host: str
    domain: str
    uuid: str
    mac: str
    address: str
    subnet: str
    network: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """A subnet as a libvirt network, with a cable to the bridge that it has in the lab's fabric."""

    subnet: str
    name: str
    uuid: str
    bridge: str
    cable: str
    cidr: str
    host_address: str
    gateway: str
    resolver: str
    guests: tuple[Guest, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a lab has in libvirt."""

    lab_name: str
    directory: str
    settings: Settings
    disk_dir: str
    networks: tuple[Network, ...]

    @property
    def identity(self) -> str:
        """Return the content of the file `owner` in the directory of disks."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.directory}\ndisks"))

    @property
    def guests(self) -> tuple[Guest, ...]:
        """Return the guests of all networks."""
        return tuple(guest for network in self.networks for guest in network.guests)


class Identity:
    """The names and UUIDs that a lab has in libvirt."""

    def __init__(self, lab_name: str, directory: str) -> None:
        """Take a lab's name and its state directory, which is unique on this machine."""
        self.prefix = f"{PREFIX}-{lab_name}"
        self._directory = directory

    def uuid(self, kind: str, name: str) -> str:
        """Return the UUID of something of this lab."""
        return str(uuid.uuid5(_NAMESPACE, f"{self._directory}\n{kind}\n{name}"))

    def owns(self, kind: str, name: str, found: str) -> bool:
        """Whether the object that libvirt has under this name belongs to this lab."""
        return name.startswith(self.prefix) and found.strip().lower() == self.uuid(kind, name)

    def interface(self, letter: str, index: int) -> str:
        """Return a short and unique name for an interface of this machine."""
        return f"{self.interfaces(letter)}{index}"

    def interfaces(self, letter: str) -> str:
        """Return what the names of this lab's interfaces of one kind begin with."""
        return f"m{letter}{hashlib.sha256(self._directory.encode()).hexdigest()[:8]}-"


def read_settings(raw: object) -> Settings:
    """Return the checked `mesh_libvirt` of the inventory; raise `BadInput`."""
    if raw is None:
        return Settings()
    if not isinstance(raw, Mapping):
        raise BadInput(f"mesh_libvirt must be a mapping, not '{raw}'")
    _check_keys(raw)
    numbers = {key: _number(key, raw[key]) for key in ("memory_mb", "cpus", "boot_seconds") if key in raw}
    settings = Settings(**{**{key: str(value) for key, value in raw.items()}, **numbers})  # type: ignore[arg-type]
    _check_values(settings)
    _check_uri(settings.uri)
    return settings


def _check_keys(raw: Mapping[Any, Any]) -> None:
    known = Settings.__dataclass_fields__
    if unknown := sorted(str(key) for key in raw if key not in known):
        raise BadInput(f"mesh_libvirt: unknown setting '{unknown[0]}'; use {', '.join(known)}")
    if empty := [key for key, value in raw.items() if value is None]:
        raise BadInput(f"mesh_libvirt: {empty[0]} has no value; give it one, or leave it out")
    for key, allowed in (("image", get_args(Image)), ("accelerator", get_args(Accelerator))):
        if raw.get(key, allowed[0]) not in allowed:
            raise BadInput(f"mesh_libvirt: unknown {key} '{raw[key]}'; use one of {', '.join(allowed)}")


def _check_values(settings: Settings) -> None:
    if settings.memory_mb < _LEAST_MEMORY_MB:
        raise BadInput(
            f"mesh_libvirt: memory_mb {settings.memory_mb} is too little for a guest; use {_LEAST_MEMORY_MB} or more"
        )
    if not re.fullmatch(r"[a-z][a-z0-9-]*", settings.suite):
        raise BadInput(f"mesh_libvirt: suite '{settings.suite}' is not a release of Debian; use one such as bookworm")
    if not re.fullmatch(r"/[^\x00-\x1f]*[^\x00-\x1f/]/*", settings.disks):
        raise BadInput(f"mesh_libvirt: disks '{settings.disks}' must be the absolute path of a directory")
    if settings.image == "nixos" and not settings.image_path:
        raise BadInput(
            "mesh_libvirt: image nixos needs image_path, a directory with its boot files; see docs/how-to/nixos.md"
        )


def _check_uri(uri: str) -> None:
    if uri == "qemu:///session":
        raise BadInput(
            "mesh_libvirt: qemu:///session cannot be used, because its guests have no path to the lab's routers; "
            "use qemu:///system, as root"
        )
    if uri != "qemu:///system":
        raise BadInput(
            f"mesh_libvirt: uri '{uri}' is not on this machine, where the lab's routers are; use qemu:///system"
        )


def _number(key: str, value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise BadInput(f"mesh_libvirt: {key} '{value}' must be a whole number above zero")
    return number


def with_guests(topology: Topology) -> Topology:
    """Return the topology with every host behind a router as a guest, which the lab does not start itself.

    Hosts outside the mesh only answer requests, so they remain namespaces.

    :raises BadInput: for what a guest's line cannot do.
    """
    machines = {}
    for machine in topology.machines.values():
        guest = machine.kind == "host" and machine.subnet != WAN and "lan" not in machine.groups
        if guest and machine.link != Link():
            raise BadInput(
                f"host {machine.name}: a virtual machine's own line cannot have mesh_link; give "
                "the link to its subnet "
                "(mesh_subnets.NAME.link), or use the backend lab"
            )
        # The lab gives no IPv6 address to a machine that it does not start.
        machines[machine.name] = replace(machine, kind="guest", address6="", public_address6="") if guest else machine
    return replace(topology, machines=machines)


def plan_guests(topology: Topology, settings: Settings, *, directory: str) -> Plan:
    """Return what libvirt should have for a topology.

    :param directory: the lab's state directory.
    """
    identity = Identity(topology.lab_name, directory)
    networks = tuple(
        _network(topology, subnet, identity, index) for index, subnet in enumerate(topology.subnets.values(), start=1)
    )
    return Plan(
        lab_name=topology.lab_name,
        directory=directory,
        settings=settings,
        disk_dir=f"{settings.disks.rstrip('/')}/{identity.prefix}",
        networks=networks,
    )


def _network(topology: Topology, subnet: Subnet, identity: Identity, index: int) -> Network:
    name = f"{identity.prefix}-{subnet.name}"
    guests = tuple(
        Guest(
            host=machine.name,
            domain=f"{identity.prefix}-{machine.name}",
            uuid=identity.uuid("domain", f"{identity.prefix}-{machine.name}"),
            mac=mac(machine.address),
            address=machine.address,
            subnet=subnet.name,
            network=name,
        )
        for machine in topology.hosts()
        if machine.subnet == subnet.name and "lan" not in machine.groups
    )
    return Network(
        subnet=subnet.name,
        name=name,
        uuid=identity.uuid("network", name),
        bridge=identity.interface("b", index),
        cable=identity.interface("c", index),
        cidr=subnet.cidr,
        host_address=_host_address(
            subnet, {machine.address for machine in topology.hosts() if machine.subnet == subnet.name}
        ),
        gateway=subnet.gateway,
        resolver=topology.resolver,
        guests=guests,
    )


def mac(address: str) -> str:
    """Return the locally administered MAC address that follows from a guest's IP address."""
    return ":".join(["52", "54", *(f"{part:02x}" for part in ipaddress.IPv4Address(address).packed)])


def _host_address(subnet: Subnet, taken: set[str]) -> str:
    """Return the address of this machine in the subnet, from which it reaches its guests: the last free one."""
    taken = {*taken, subnet.gateway}
    network = subnet.network
    for offset in range(2, network.num_addresses):
        candidate = str(network[-offset])
        if candidate not in taken:
            return candidate
    raise BadInput(f"subnet {subnet.name}: no address is free for this machine in {subnet.cidr}; use a larger cidr")


def as_facts(plan: Plan) -> dict[str, Any]:
    """Return the details of the guests that tasks may need, by host."""
    return {
        guest.host: {"domain": guest.domain, "network": guest.network, "mac": guest.mac, "address": guest.address}
        for guest in plan.guests
    }
