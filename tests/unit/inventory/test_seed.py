# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two inventories of the seed topology differ in their backend alone, as Ansible reads them."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.drill import declared_nat
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.topology import read_topology
from project import ROOT

# What the backend decides: how hosts are reached, and how slow they may be.
BACKEND = {
    "ansible_connection",
    "ansible_control_path_dir",
    "ansible_ssh_common_args",
    "ansible_user",
    "emulated",
    "lab_name",
    "mesh_backend",
    "mesh_latency_budget_ms",
    "mesh_libvirt",
    "mesh_loss_budget_percent",
    "mesh_patience",
    "mesh_propagation_budget_s",
    "mesh_rejoin_budget_s",
    "mesh_rate_budget_mbit",
    "mesh_resolution_budget_ms",
}


@cache
def _inventory(name: str) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(ROOT / "inventory" / name)])
    variables = VariableManager(loader=loader, inventory=manager)
    ours = ("mesh_", "ansible_", "lab_name", "emulated")
    hosts = {
        str(host): {
            key: value
            for key, value in variables.get_vars(host=host, include_hostvars=False).items()
            if key.startswith(ours)
        }
        for host in manager.get_hosts()
    }
    groups = manager.get_groups_dict()
    return hosts, {str(group): list(map(str, members)) for group, members in groups.items()}


@pytest.mark.parametrize("name", ["libvirt", "libvirt.yml"])
def test_virtual_machines_have_the_hosts_and_variables_of_the_seed(name: str) -> None:
    (seed, seed_groups), (guests, guest_groups) = _inventory("lab.yml"), _inventory(name)
    assert guest_groups == seed_groups
    for host, variables in seed.items():
        differs = {key for key in variables.keys() | guests[host].keys() if variables.get(key) != guests[host].get(key)}
        assert differs - BACKEND - {"ansible_ssh_password"} == set(), host
        assert guests[host]["mesh_backend"] == "libvirt"


def test_both_have_the_same_topology_policy_and_families() -> None:
    (seed, groups), (guests, _groups) = _inventory("lab.yml"), _inventory("libvirt")
    one, other = read_topology(hosts=seed, groups=groups), read_topology(hosts=guests, groups=groups)
    assert replace(other, lab_name=one.lab_name) == one
    for host in seed:
        assert guests[host]["mesh_policy"] == seed[host]["mesh_policy"]
        assert guests[host]["mesh_resolved_families"] == seed[host]["mesh_resolved_families"] == ["ipv4", "ipv6"]


@pytest.mark.parametrize("name", ["lab.yml", "libvirt.yml"])
def test_a_drill_declares_another_nat_and_leaves_the_rest_of_the_topology_as_it_is(name: str) -> None:
    hosts, groups = _inventory(name)
    before = read_topology(hosts=hosts, groups=groups)
    recorded = {
        "subnets": {subnet: asdict(known) for subnet, known in before.subnets.items()},
        "facts": {"client-node-2": {"subnet": "subnet-b"}},
    }
    declared = declared_nat(recorded, {"b": "hard"}, {"b": "client-node-2"})
    after = read_topology(hosts={host: {**own, "mesh_subnets": declared} for host, own in hosts.items()}, groups=groups)
    assert after.subnets["subnet-b"] == replace(before.subnets["subnet-b"], nat="hard")
    assert replace(after, subnets=before.subnets) == before
