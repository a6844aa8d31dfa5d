# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt is to have for a topology."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import network, plan
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.record import Record, difference, recorded
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError, Process
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.model import (
    Identity,
    Settings,
    mac,
    plan_guests,
    read_settings,
    with_guests,
)
from libvirt_inventory import topology_of

DIRECTORY = "/var/lib/meshctl/labs/seed-vm"


def test_every_host_behind_a_router_is_a_guest_with_its_address_and_mac(topology: Topology) -> None:
    guests = {guest.host: guest for guest in plan_guests(topology, Settings(), directory=DIRECTORY).guests}

    assert list(guests) == ["headscale-server", "client-node-1", "client-node-2", "client-node-3", "client-node-4"]
    assert guests["headscale-server"].address == "192.168.1.5"
    assert guests["headscale-server"].mac == "52:54:c0:a8:01:05"
    assert guests["client-node-3"].network == "meshctl-seed-vm-subnet-b"


def test_the_machine_takes_the_last_free_address_of_a_subnet(inventory: dict[str, Any]) -> None:
    inventory["vars"]["mesh_subnets"]["subnet-b"]["gateway"] = "10.0.0.254"
    inventory["children"]["clients"]["hosts"]["client-node-2"]["mesh_address"] = "10.0.0.253"

    networks = plan_guests(topology_of(inventory), Settings(), directory=DIRECTORY).networks

    assert [network.host_address for network in networks] == ["192.168.1.254", "10.0.0.252"]


def test_two_labs_have_nothing_in_common_in_libvirt(topology: Topology) -> None:
    one = plan_guests(topology, Settings(), directory="/one/labs/seed-vm")
    other = plan_guests(topology, Settings(), directory="/other/labs/seed-vm")

    assert not {guest.uuid for guest in one.guests} & {guest.uuid for guest in other.guests}
    assert not {n.bridge for n in one.networks} & {n.bridge for n in other.networks}


def test_interface_names_are_short_enough_for_the_kernel(topology: Topology) -> None:
    for one in plan_guests(topology, Settings(), directory=DIRECTORY).networks:
        assert len(one.bridge) <= 15
        assert len(one.cable) <= 15
        assert one.bridge != one.cable


def test_a_domain_of_the_same_name_that_somebody_else_made_is_not_ours() -> None:
    identity = Identity("seed", DIRECTORY)
    name = "meshctl-seed-client-node-1"

    assert identity.owns("domain", name, identity.uuid("domain", name).upper() + "\n")
    assert not identity.owns("domain", name, "11111111-2222-3333-4444-555555555555")
    assert not identity.owns("domain", "client-node-1", identity.uuid("domain", "client-node-1"))
    assert not identity.owns("network", name, identity.uuid("domain", name))
    # A lab whose name begins like ours has another directory.
    assert not identity.owns(
        "domain", "meshctl-seed-two-x", Identity("seed-two", DIRECTORY + "-two").uuid("domain", "meshctl-seed-two-x")
    )


def test_the_lab_builds_no_guest(topology: Topology) -> None:
    script = plan.build_script(with_guests(topology))

    assert "machine seed-vm relay" in script
    assert "machine seed-vm router-subnet-a" in script
    assert "machine seed-vm client-node-1" not in script
    assert {cable.machine for cable in network.cables(with_guests(topology))} == {
        "relay",
        "router-subnet-a",
        "router-subnet-b",
        "printer",
        "nas",
        "web",
    }
    # The router still forwards to the guest.
    assert "dnat ip to 192.168.1.5:443" in script


def test_an_impairment_of_a_guests_own_line_is_refused(inventory: dict[str, Any]) -> None:
    inventory["children"]["clients"]["hosts"]["client-node-1"]["mesh_link"] = {"rate": "1mbit"}

    with pytest.raises(
        BadInput, match=r"client-node-1: .* own line cannot have mesh_link; give the link to its subnet"
    ):
        with_guests(topology_of(inventory))


def test_mac_addresses_are_locally_administered_and_unicast() -> None:
    first = int(mac("10.0.0.10").split(":", maxsplit=1)[0], 16)

    assert first & 0b10
    assert not first & 0b01


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("debian", "mesh_libvirt must be a mapping, not 'debian'"),
        ({"colour": "red"}, "unknown setting 'colour'; use uri"),
        ({"image": "arch"}, "unknown image 'arch'; use one of debian, nixos"),
        ({"accelerator": "xen"}, "unknown accelerator 'xen'; use one of auto, kvm, tcg"),
        ({"memory_mb": "lots"}, "memory_mb 'lots' must be a whole number"),
        ({"memory_mb": 64}, "memory_mb 64 is too little"),
        ({"uri": "qemu:///session"}, "qemu:///session cannot be used"),
        ({"uri": "qemu+ssh://elsewhere/system"}, "is not on this machine"),
        ({"image": "nixos"}, "image nixos needs image_path"),
        ({"disks": None}, "disks has no value; give it one, or leave it out"),
        ({"disks": "images"}, "disks 'images' must be the absolute path of a directory"),
        ({"disks": "/"}, "disks '/' must be the absolute path of a directory"),
        ({"suite": "../etc"}, "suite '../etc' is not a release of Debian"),
        ({1: 2, "x": 3}, "unknown setting '1'"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_sentence(raw: object, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_settings(raw)

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_have_defaults() -> None:
    assert read_settings(None) == read_settings({}) == Settings()
    assert read_settings({"memory_mb": "512"}).memory_mb == 512


def _record(topology: Topology) -> Record:
    alive = Process.of(os.getpid())
    assert alive
    machines = {name: alive for name, machine in topology.machines.items() if machine.kind != "guest"}
    return Record("now", recorded(topology), {}, machines)


def test_a_lab_whose_guests_are_elsewhere_stands_as_asked(topology: Topology) -> None:
    asked = with_guests(topology)

    assert difference(_record(asked), asked).sentences() == []


def test_a_guest_that_comes_changes_the_routers_and_starts_no_machine(inventory: dict[str, Any]) -> None:
    before = with_guests(topology_of(inventory))
    inventory["children"]["clients"]["hosts"]["client-node-9"] = {"mesh_subnet": "subnet-a"}

    differs = difference(_record(before), with_guests(topology_of(inventory)))

    assert differs.sentences() == ["guest client-node-9 changed"]
    assert differs.added == differs.again == differs.removed == []


def test_a_lab_of_namespaces_does_not_become_one_of_guests_in_place(topology: Topology) -> None:
    alive = Process.of(os.getpid())
    assert alive
    record = Record("now", recorded(topology), {}, dict.fromkeys(topology.machines, alive))

    with pytest.raises(
        LabError, match=r"kind host, but the inventory says guest; take it down with `meshctl down --lab seed-vm` first"
    ):
        difference(record, with_guests(topology))
