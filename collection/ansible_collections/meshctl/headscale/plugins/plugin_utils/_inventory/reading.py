# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the inventory of a running play."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleError

from ...module_utils._errors import BadInput
from ...module_utils._plain import plain
from .existing import existing_topology
from .places import Topology
from .settings import check_settings, checked_names, slips
from .topology import read_topology

# No other variable is templated, so that secrets stay where they are.
_VARIABLES = (
    "lab_name",
    "mesh_address",
    "mesh_address6",
    "mesh_link",
    "mesh_names",
    "mesh_port",
    "mesh_publish",
    "mesh_subnet",
    "mesh_subnets",
    "mesh_wan",
)


def read_inventory(task_vars: dict[str, Any]) -> Topology:
    """Return the topology of the inventory of a running play.

    :raises BadInput: see `read_topology`.
    """
    hosts, groups = _described(task_vars)
    return read_topology(hosts=hosts, groups=groups)


def read_existing(task_vars: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the places of existing hosts, as far as the inventory gives them.

    :raises BadInput: see `existing_topology`.
    """
    hosts, groups = _described(task_vars)
    return existing_topology(hosts=hosts, groups=groups)


def check_inventory(task_vars: dict[str, Any]) -> list[str]:
    """Check the inventory's variables, and return oddities that are not errors.

    :raises BadInput: see `check_settings`.
    """
    hosts, groups = _described(task_vars, (*_VARIABLES, *checked_names()))
    check_settings(hosts, groups)
    hostvars = task_vars["hostvars"]
    return list(slips({host: hostvars[host] for host in hosts}))


def _described(
    task_vars: dict[str, Any], names: Sequence[str] = _VARIABLES
) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Return the named variables of every host, and the groups."""
    groups: dict[str, list[str]] = task_vars["groups"]
    hosts = {str(host): _variables(str(host), task_vars["hostvars"][host], names) for host in groups["all"]}
    return hosts, {str(name): [str(host) for host in members] for name, members in groups.items()}


def _variables(host: str, own: Any, names: Sequence[str]) -> dict[str, Any]:
    found = {}
    for name in names:
        try:
            if name in own:
                found[name] = plain(own[name])
        except AnsibleError as exc:
            raise BadInput(f"host {host}: {name} cannot be read: {exc}; correct its template") from None
    return found
