# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the places of existing hosts from the inventory, which may leave them out.

A host that names its network (`mesh_subnet`) has a place. Its address and the cidr, gateway, NAT and public address of
its network are used if the inventory gives them; meshctl neither guesses nor asserts what is missing.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .places import NAT_KINDS
from .topology import GROUPS
from .values import read_address6, read_network6

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SUBNET_KEYS = ("cidr", "cidr6", "gateway", "nat", "wan_address")


def existing_topology(
    *, hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Return the fact `mesh_topology` for the hosts that name their network.

    :raises BadInput: naming the host or network, the value and the remedy.
    """
    found: dict[str, dict[str, Any]] = {}
    for group in GROUPS:
        for host in groups.get(group, ()):
            if host not in found and (name := hosts[host].get("mesh_subnet")):
                found[host] = _place(host, str(name), hosts[host], group)
            elif not hosts[host].get("mesh_subnet") and (
                stated := next((key for key in ("mesh_address", "mesh_address6") if hosts[host].get(key)), None)
            ):
                raise BadInput(f"host {host} has a {stated} but no mesh_subnet; name its network as well")
    return found


def _place(host: str, name: str, variables: Mapping[str, Any], group: str) -> dict[str, Any]:
    subnets = variables.get("mesh_subnets") or {}
    if not isinstance(subnets, dict):
        raise BadInput(f"mesh_subnets must be a mapping, not '{subnets}'")
    if subnets and name not in subnets:
        raise BadInput(
            f"host {host}: unknown subnet '{name}'; use one of {', '.join(subnets)}, or add it to mesh_subnets"
        )
    subnet = _subnet(f"mesh_subnets.{name}", subnets.get(name) or {})
    address = variables.get("mesh_address")
    if address is not None:
        _inside(f"host {host}: mesh_address", str(address), subnet["cidr"])
    where = f"mesh_subnets.{name}"
    network6 = read_network6(f"{where}.cidr6", subnet.pop("cidr6"))
    address6 = read_address6(f"host {host}: mesh_address6", variables.get("mesh_address6"), network6, where=where)
    known = {"address": None if address is None else str(address), "address6": address6}
    return {"group": group, "subnet": name, **known, **subnet}


def _subnet(where: str, raw: Any) -> dict[str, Any]:  # noqa: ANN401 - an inventory's data
    if not isinstance(raw, dict):
        raise BadInput(f"{where} must be a mapping, not '{raw}'")
    if unknown := sorted(set(raw) - set(_SUBNET_KEYS)):
        raise BadInput(
            f"{where}: unknown setting '{unknown[0]}'; networks of existing hosts have {', '.join(_SUBNET_KEYS)}"
        )
    if (nat := raw.get("nat")) not in (None, *NAT_KINDS):
        raise BadInput(f"{where}: unknown NAT kind '{nat}'; use one of {', '.join(NAT_KINDS)}, or leave it out")
    cidr = None
    if raw.get("cidr") is not None:
        try:
            cidr = str(ipaddress.ip_network(str(raw["cidr"])))
        except ValueError as exc:
            raise BadInput(
                f"{where}: '{raw['cidr']}' is not a network ({exc}); write one such as 192.168.1.0/24"
            ) from None
    if (gateway := raw.get("gateway")) is not None:
        _inside(f"{where}.gateway", str(gateway), cidr)
    if (public := raw.get("wan_address")) is not None:
        _inside(f"{where}.wan_address", str(public), None)
    return {
        "cidr": cidr, "cidr6": raw.get("cidr6"), "gateway": gateway, "nat": nat or "unknown", "public_address": public,
    }  # fmt: skip


def _inside(what: str, value: str, cidr: str | None) -> None:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise BadInput(f"{what}: '{value}' is not an IP address") from None
    if cidr is not None and address not in ipaddress.ip_network(cidr):
        raise BadInput(f"{what}: {value} is not in its network {cidr}")
