# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever an inventory holds: a lab that can be built, or one sentence that says what is wrong."""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.values import read_link
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import plan
from hypothesis import given
from hypothesis import strategies as st
from lab_inventory import Inventory
from sample import examples

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["10.0.0.0/24", "10.0.0.10", "192.168.1.0/24", "203.0.113.2", "hard", "easy", "none", "wan", "subnet-a",
                       "1%", "20ms", "50mbit", "100.64.0.0/10", "1.2.3.4/33", "::/0", "a.b", "-"])
)  # fmt: skip
KEYS = st.sampled_from(
    ["cidr", "nat", "wan_address", "gateway", "link", "proto", "port", "to_port", "delay", "loss", "mtu", "rate"]
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
SHARED = st.sampled_from(["lab_name", "mesh_wan", "mesh_subnets"])
OWN = st.sampled_from(["mesh_subnet", "mesh_address", "mesh_names", "mesh_publish", "mesh_link", "mesh_port"])
HOSTS = st.sampled_from(["headscale-server", "relay", "client-node-1", "client-node-2", "client-node-4"])


def judge(inventory: Inventory) -> None:
    """A topology that is read is one whose plan can be made, in which all addresses differ and are in their subnets."""
    try:
        topology = inventory.read()
    except BadInput as exc:
        assert str(exc)
        assert "\n" not in str(exc)
        return
    plan.build_script(topology)
    places = [(machine.subnet, machine.address) for machine in topology.machines.values()]
    assert len(set(places)) == len(places)
    for machine in topology.hosts():
        network = topology.wan_cidr if machine.subnet == "wan" else topology.subnets[machine.subnet].cidr
        assert ipaddress.ip_address(machine.address) in ipaddress.ip_network(network)


@given(name=SHARED, value=ANY)
@examples(300)
def test_any_shared_variable(name: str, value: Any) -> None:
    inventory = Inventory()
    inventory.shared[name] = value
    judge(inventory)


@given(host=HOSTS, name=OWN, value=ANY)
@examples(400)
def test_any_variable_of_a_host(host: str, name: str, value: Any) -> None:
    inventory = Inventory()
    inventory.host(host)[name] = value
    judge(inventory)


@given(name=st.sampled_from(["subnet-a", "subnet-b", "third"]), value=ANY | st.dictionaries(KEYS, ANY, max_size=4))
@examples(300)
def test_any_subnet(name: str, value: Any) -> None:
    inventory = Inventory()
    inventory.subnets[name] = value
    judge(inventory)


@given(value=ANY | st.dictionaries(KEYS, ANY, max_size=5))
@examples(300)
def test_any_link(value: Any) -> None:
    try:
        link = read_link("host x", value)
    except BadInput as exc:
        assert str(exc).startswith("host x")
    else:
        assert 0 <= link.loss <= 1
        assert 0 <= link.jitter_ms <= link.delay_ms
        assert link.rate_bit >= 0
