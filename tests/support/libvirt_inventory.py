# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The project's inventories, as data."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.topology import read_topology
from project import ROOT


def read(name: str) -> dict[str, Any]:
    """Return the group `all` of the inventory `lab` or `libvirt`."""
    seed = _load("lab.yml")
    if name == "libvirt":
        guests = _load("libvirt/20-guests.yml")
        seed["vars"] |= guests["vars"]
        for group, members in guests["children"].items():
            for host, variables in members["hosts"].items():
                seed["children"][group]["hosts"][host] |= variables
    return seed


def _load(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "inventory" / path).read_text(encoding="utf-8"))["all"]
    return found


def topology_of(inventory: dict[str, Any]) -> Topology:
    """Return the topology of an inventory's group `all`."""
    children = inventory["children"]
    hosts = {name: {**inventory["vars"], **own} for group in children.values() for name, own in group["hosts"].items()}
    return read_topology(hosts=hosts, groups={name: list(group["hosts"]) for name, group in children.items()})
