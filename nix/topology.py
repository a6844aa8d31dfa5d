#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the topology of inventory/lab.yml for Nix: `python nix/topology.py > nix/topology.json`.

The routers' rules are those of the embedded lab, so that NAT is the same in a NixOS test. A unit test fails when
the file is not what this prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collection"))

from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.topology import (  # noqa: E402
    Machine,
    Topology,
    read_topology,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import network  # noqa: E402


def document(inventory: dict[str, Any]) -> dict[str, Any]:
    """Return what Nix needs to know, from the inventory's group `all`."""
    shared, children = inventory["vars"], inventory["children"]
    hosts = {name: {**shared, **own} for group in children.values() for name, own in group["hosts"].items()}
    topology = read_topology(hosts=hosts, groups={name: list(group["hosts"]) for name, group in children.items()})
    return {
        "comment": "Made by nix/topology.py from inventory/lab.yml; do not edit.",
        "serverUrl": shared["mesh_server_url"],
        "domain": shared["mesh_domain"],
        "outsideNames": shared["mesh_outside_names"],
        "wan": {"cidr": topology.wan_cidr, "prefixLength": _length(topology.wan_cidr)},
        "resolver": topology.resolver,
        "names": {name: host.public_address for host in topology.hosts() for name in host.names},
        "subnets": {
            name: {
                "cidr": subnet.cidr,
                "prefixLength": _length(subnet.cidr),
                "gateway": subnet.gateway,
                "nat": subnet.nat,
                "router": subnet.router,
                "wanAddress": subnet.wan_address,
                "rules": network.router_rules(topology, subnet),
            }
            for name, subnet in topology.subnets.items()
        },
        "hosts": {host.name: _host(topology, host) for host in topology.hosts()},
    }


def _host(topology: Topology, host: Machine) -> dict[str, Any]:
    subnet = topology.subnets.get(host.subnet)
    return {
        "group": host.groups[0],
        "subnet": host.subnet,
        "address": host.address,
        "prefixLength": _length(subnet.cidr if subnet else topology.wan_cidr),
        "gateway": subnet.gateway if subnet else None,
        "names": list(host.names),
        "port": host.port,
    }


def _length(cidr: str) -> int:
    return int(cidr.partition("/")[2])


def rendered() -> str:
    """Return the text of nix/topology.json."""
    inventory = yaml.safe_load((ROOT / "inventory/lab.yml").read_text(encoding="utf-8"))["all"]
    return json.dumps(document(inventory), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
