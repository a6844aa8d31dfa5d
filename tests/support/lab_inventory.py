# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventories for tests, as plain data."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.topology import read_topology

SHARED: dict[str, Any] = {
    "lab_name": "seed",
    "mesh_wan": {"cidr": "203.0.113.0/24"},
    "mesh_subnets": {
        "subnet-a": {"cidr": "192.168.1.0/24", "nat": "easy", "wan_address": "203.0.113.2"},
        "subnet-b": {"cidr": "10.0.0.0/24", "nat": "easy", "wan_address": "203.0.113.3"},
    },
}
SEED: dict[str, dict[str, dict[str, Any]]] = {
    "headscale": {
        "headscale-server": {
            "mesh_subnet": "subnet-a",
            "mesh_address": "192.168.1.5",
            "mesh_publish": [{"proto": "tcp", "port": 443}],
            "mesh_names": ["headscale.lab.test"],
        }
    },
    "relays": {"relay": {"mesh_subnet": "wan", "mesh_address": "203.0.113.10", "mesh_names": ["relay.lab.test"]}},
    "clients": {
        "client-node-1": {"mesh_subnet": "subnet-a", "mesh_address": "192.168.1.10"},
        "client-node-2": {"mesh_subnet": "subnet-b", "mesh_address": "10.0.0.10"},
        "client-node-3": {"mesh_subnet": "subnet-b", "mesh_address": "10.0.0.11"},
    },
    "spare": {"client-node-4": {"mesh_subnet": "subnet-b", "mesh_address": "10.0.0.12"}},
}


IPV6 = {"client-node-1": "fd00:a::10", "client-node-2": "fd00:b::10", "relay": "2001:db8:1::10"}


class Inventory:
    """The seed topology, to be changed."""

    def __init__(self) -> None:
        """Begin with the seed."""
        self.shared = copy.deepcopy(SHARED)
        self.groups = copy.deepcopy(SEED)

    @property
    def subnets(self) -> dict[str, Any]:
        """Return `mesh_subnets`."""
        found: dict[str, Any] = self.shared["mesh_subnets"]
        return found

    def host(self, name: str) -> dict[str, Any]:
        """Return the variables of a host."""
        return next(hosts[name] for hosts in self.groups.values() if name in hosts)

    def read(self) -> Topology:
        """Return the topology, as the lab would read it."""
        hosts = {name: {**self.shared, **own} for members in self.groups.values() for name, own in members.items()}
        return read_topology(hosts=hosts, groups={group: list(members) for group, members in self.groups.items()})


def with_ipv6() -> Inventory:
    """Return the seed with IPv6: some hosts have it, and one subnet's router leads it outside."""
    inventory = Inventory()
    inventory.shared["mesh_wan"]["cidr6"] = "2001:db8:1::/64"
    inventory.subnets["subnet-a"]["cidr6"] = "fd00:a::/64"
    inventory.subnets["subnet-b"].update(cidr6="fd00:b::/64", wan_address6="2001:db8:1::3")
    for host, address in IPV6.items():
        inventory.host(host)["mesh_address6"] = address
    return inventory
