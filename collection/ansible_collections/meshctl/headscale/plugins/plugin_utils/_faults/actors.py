# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assign the machines of a lab to the actors of the catalogue. Pure.

The catalogue has no host names: `a` is a client that runs the service, `b` and `c` are clients of one other subnet.
`target_a`, `target_b` and `web` are hosts outside the mesh: in the subnet of `a`, in that of `b`, and on the WAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...module_utils._errors import BadInput
from .._judge.answer import mapping


@dataclass(frozen=True, kw_only=True)
class Actors:
    """Machine names by actor."""

    a: str
    b: str
    c: str
    server: str
    relay: str
    router_a: str
    router_b: str
    spare: str = ""
    target_a: str = ""
    target_b: str = ""
    web: str = ""

    def filled(self, text: str) -> str:
        """Return `text` with `{a}`, `{server}`... replaced by names."""
        for actor, name in vars(self).items():
            text = text.replace("{" + actor + "}", name)
        return text

    def variables(self, topology: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables of each actor for scripts: `$B`, `$B_ADDRESS`, `$B_GATEWAY`, `$B_CIDR`, `$B_PORT`.

        `$B_ADDRESS6` and `$B_CIDR6` are those of IPv6, where there are any.
        """
        found: dict[str, str] = {}
        for actor, name in vars(self).items():
            machine = topology["machines"].get(name) or {}
            fact = topology["facts"].get(name) or {}
            known = {
                "": name,
                "_ADDRESS": machine.get("address"),
                "_ADDRESS6": machine.get("address6"),
                "_PUBLIC": machine.get("public_address"),
                "_GATEWAY": fact.get("gateway"),
                "_CIDR": fact.get("cidr"),
                "_CIDR6": mapping(topology["subnets"].get(fact.get("subnet"))).get("cidr6"),
                "_PORT": topology["ports"].get(name),
            }
            found |= {f"{actor.upper()}{suffix}": str(value) for suffix, value in known.items() if value}
        return found


def assign_actors(topology: Mapping[str, Any]) -> Actors:
    """Return the actors of a lab from its recorded topology; raise `BadInput` when a machine is missing."""
    facts: Mapping[str, Mapping[str, Any]] = topology["facts"]
    groups: dict[str, list[str]] = {}
    for name, fact in facts.items():
        groups.setdefault(str(fact["group"]), []).append(name)
    clients = groups.get("clients", [])
    a = clients[0] if clients else ""
    elsewhere: dict[str, list[str]] = {}
    for name in clients:
        if facts[name]["subnet"] != facts[a]["subnet"]:
            elsewhere.setdefault(str(facts[name]["subnet"]), []).append(name)
    pair = next((names for names in elsewhere.values() if len(names) > 1), [])
    if not a or not pair or not groups.get("headscale") or not groups.get("relays"):
        raise BadInput(
            "faults need a client in one subnet and two in another, a control server and a relay, as in the seed lab"
        )
    b, c = pair[:2]
    outside = {str(facts[name]["subnet"]): name for name in reversed(groups.get("lan", []))}
    return Actors(
        a=a, b=b, c=c, server=groups["headscale"][0], relay=groups["relays"][0],
        router_a=str(facts[a]["router"] or ""), router_b=str(facts[b]["router"] or ""),
        spare=next(iter(groups.get("spare", [])), ""), web=outside.get("wan", ""),
        target_a=outside.get(str(facts[a]["subnet"]), ""), target_b=outside.get(str(facts[b]["subnet"]), ""),
    )  # fmt: skip
