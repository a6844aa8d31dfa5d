# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 of a topology: the hosts that have an address, the routers that let them out, and bad input."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from lab_inventory import Inventory, with_ipv6


def test_only_the_named_hosts_have_ipv6() -> None:
    topology = with_ipv6().read()
    known = {name: machine.address6 for name, machine in topology.machines.items() if machine.address6}
    assert known == {
        "relay": "2001:db8:1::10",
        "client-node-1": "fd00:a::10",
        "client-node-2": "fd00:b::10",
        "router-subnet-b": "fd00:b::1",
    }
    facts = topology.facts()
    assert (facts["client-node-2"]["address6"], facts["client-node-2"]["public_address6"]) == (
        "fd00:b::10",
        "2001:db8:1::3",
    )
    # No router leads this one outside, and that one has no address.
    assert (facts["client-node-1"]["public_address6"], facts["client-node-3"]["public_address6"]) == ("", "")
    assert facts["relay"]["public_address6"] == "2001:db8:1::10"


def test_without_ipv6_there_is_none() -> None:
    topology = Inventory().read()
    assert not any(machine.address6 or machine.public_address6 for machine in topology.machines.values())


@pytest.mark.parametrize(
    ("subnet", "host", "sentence"),
    [
        ({"cidr6": "fd00::/8x"}, {}, "mesh_subnets.subnet-a.cidr6: 'fd00::/8x' is not an IPv6 network"),
        ({"cidr6": "10.9.0.0/24"}, {}, "is not an IPv6 network"),
        ({"cidr6": "fd00:a::/126"}, {}, "is too small for a router and hosts; use a /120 or larger"),
        ({"cidr6": "fe80::/64"}, {}, "cannot be a network of hosts"),
        ({"cidr6": "fd7a:115c:a1e0::/64"}, {}, "which Headscale gives to mesh addresses"),
        ({"cidr6": "fd00:b::/64"}, {}, "mesh_subnets.subnet-b: cidr6 fd00:b::/64 overlaps that of mesh_subnets.subnet-a"),
        ({"cidr6": "2001:db8:1::/64"}, {}, "overlaps that of mesh_wan"),
        ({"wan_address6": "fd00::1"}, {}, "mesh_subnets.subnet-a.wan_address6: fd00::1 is not a host address of its network"),
        ({"cidr6": "", "wan_address6": "2001:db8:1::2"}, {"mesh_address6": ""}, "has a wan_address6 and no cidr6"),
        ({"wan_address6": "2001:db8:1::3"}, {}, "router-subnet-a and router-subnet-b both have the address 2001:db8:1::3"),
        ({}, {"mesh_address6": "ten"}, "host client-node-1: mesh_address6: 'ten' is not an IPv6 address"),
        ({}, {"mesh_address6": "fd00:b::9"}, "fd00:b::9 is not a host address of its network fd00:a::/64"),
        ({}, {"mesh_address6": "fd00:a::9%eth0"}, "is not a host address of its network"),
        ({"cidr6": ""}, {}, "fd00:a::10 is in no network: add cidr6 to mesh_subnets.subnet-a, or remove the address"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence(subnet: dict[str, Any], host: dict[str, Any], sentence: str) -> None:
    inventory = with_ipv6()
    inventory.subnets["subnet-a"].update(subnet)
    inventory.host("client-node-1").update(host)
    with pytest.raises(BadInput) as caught:
        inventory.read()
    assert sentence in str(caught.value)


def test_two_hosts_cannot_have_one_address() -> None:
    inventory = with_ipv6()
    inventory.host("client-node-3")["mesh_address6"] = "fd00:b::10"
    with pytest.raises(BadInput, match="client-node-2 and client-node-3 both have the address fd00:b::10; change one"):
        inventory.read()
