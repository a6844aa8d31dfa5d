# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The XML that libvirt is given, whole: what changed in it is seen in the golden files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import xml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.model import Plan, Settings, plan_guests

GOLDEN = Path(__file__).parent / "golden"
FILES = ["network-subnet-a.xml", "network-subnet-b.xml", "domain-client-node-2.xml", "domain-client-node-2-kvm.xml"]


@pytest.fixture
def plan(topology: Topology) -> Plan:
    return plan_guests(topology, Settings(), directory="/var/lib/meshctl/labs/seed-vm")


@pytest.fixture
def documents(plan: Plan) -> dict[str, str]:
    node = next(guest for guest in plan.guests if guest.host == "client-node-2")
    return {f"network-{network.subnet}.xml": xml.network_xml(network) for network in plan.networks} | {
        "domain-client-node-2.xml": xml.domain_xml(plan, node, accelerated=False),
        "domain-client-node-2-kvm.xml": xml.domain_xml(plan, node, accelerated=True),
    }


@pytest.mark.parametrize("name", FILES)
def test_the_xml_is_as_agreed(documents: dict[str, str], name: str) -> None:
    if os.environ.get("MESHCTL_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(documents[name], encoding="utf-8")

    assert documents[name] == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_libvirts_own_schema_accepts_it(documents: dict[str, str], name: str, tmp_path: Path) -> None:
    if not (shutil.which("virt-xml-validate") and shutil.which("xmllint")):
        pytest.skip("virt-xml-validate needs libvirt-clients and libxml2-utils")
    if not Path("/usr/share/libvirt/schemas/domain.rng").exists():
        pytest.skip("libvirt's schemas are not installed (libvirt0)")
    document = tmp_path / name
    document.write_text(documents[name], encoding="utf-8")

    done = subprocess.run(
        ["virt-xml-validate", str(document), name.partition("-")[0]], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_address_is_reserved_for_every_guest_and_for_nobody_else(plan: Plan) -> None:
    for network in plan.networks:
        document = xml.network_xml(network)

        assert document.count("<host ") == len(network.guests)
        assert "<range" not in document
        assert 'forward mode="open"' in document


def test_an_image_adds_what_its_kernel_must_be_told(plan: Plan) -> None:
    document = xml.domain_xml(plan, plan.guests[0], accelerated=False, arguments="init=/nix/store/system/init")

    assert "init=/nix/store/system/init</cmdline>" in document


def test_a_guest_knows_its_name_from_the_kernels_command_line(plan: Plan) -> None:
    lines = {xml.cmdline(guest) for guest in plan.guests}

    assert len(lines) == len(plan.guests)
    assert all("systemd.hostname=" in line and "systemd.machine_id=" in line for line in lines)
