# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that physical addresses cannot be reached outside the mesh; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from secrets import choice, randbelow, token_hex
from typing import TYPE_CHECKING, Any, Final

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, lifted, unpacked
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations.subnets import no_ports, public_addresses, published
from ..plugin_utils._judge.answer import Json, address, items, mapping, text
from ..plugin_utils._judge.arrived import judge_arrived
from ..plugin_utils._judge.context import Node
from ..plugin_utils._judge.isolated import OTHER, SOURCES, Isolated, Wall, answered, doubtful, judge_isolated
from ..plugin_utils._judge.observations import ICMP, KNOCK, ROUTES, STEPS, WIRE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..plugin_utils._judge.check import Check

_PROTOCOLS: Final = ("sctp", "gre", "esp", "ipip", "6in4")
# Numbers of protocols that are nothing to the kernel: neither a header of IPv6 nor one of those above, ICMP, TCP or UDP.
_OTHERS: Final = [89, 115, *range(145, 253)]
_SSH, _FIRST_CHOSEN, _LAST_PORT = 22, 1024, 65535
# Ports chosen at random: one of each equal part of all ports, on all walls together no more than this.
_PARTS, _MOST_CHOSEN = 16, 160
# Of a host on the ports of all others.
_MOST_ATTEMPTS = 800
# Before silence proves something next to an ICMP refusal.
_LOOKS = 2


class ActionModule(Assertion):
    """Try the physical addresses of hosts in other subnets."""

    ASSERTION = "isolated"
    DEADLINE_S = 6.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        "targets": {"type": "raw"},
        "nodes": {"type": "raw"},
        "ports": {"type": "list", "elements": "int", "aliases": ["port"]},
        "noted": {"type": "bool", "default": False},
    }

    _watched = False
    _looks = 0

    def prepare(self) -> None:
        """Decide which addresses must not answer, and over what."""
        if wrong := [port for port in self.options["ports"] or [] if not 0 < port <= _LAST_PORT]:
            raise BadInput(f"ports has {wrong[0]}: ports are 1 to {_LAST_PORT}")
        in_lab = self.setting("backend") != "hosts"
        untried = no_ports(self)
        self._nonce = token_hex(8)
        # Between runs the ports are the same, except one that no rule can foresee.
        walls = self._walls()
        chosen = chosen_ports(_MOST_CHOSEN // len(walls)) if in_lab and not self.options["ports"] else ()
        self._expect = Isolated(
            walls=tuple(self._with_ports(wall, turn, len(walls), chosen) for turn, wall in enumerate(walls)),
            protocols=() if untried else (*_PROTOCOLS, *([f"{OTHER}{choice(_OTHERS)}"] if chosen else [])),
            chosen=chosen,
            untried=untried,
        )

    def _with_ports(self, wall: Wall, turn: int, walls: int, chosen: tuple[int, ...]) -> Wall:
        """Return a wall with its ports. A large mesh tries some of them on each host, and each of them on some hosts."""
        given: list[int] = self.options["ports"] or []
        if self.setting("backend") == "hosts":
            named = given or self.setting("probe_ports")
            return replace(wall, tcp=_distinct(given or [_SSH, *named]), udp=() if no_ports(self) else _distinct(named))
        known = _distinct(given or self.setting("isolated_ports"))
        count = max(1, min(len(known), _MOST_ATTEMPTS // max(1, 2 * walls)))
        start = turn * count % max(1, len(known))
        some = [*known, *known][start : start + count]
        tcp, udp = (
            [port for port in some if not wall.drops or port not in published(self, wall.name, protocol)]
            for protocol in ("tcp", "udp")
        )
        return replace(wall, tcp=_distinct([*tcp, *chosen]), udp=_distinct([*udp, *chosen]))

    def _walls(self) -> tuple[Wall, ...]:
        given = self.options.get("targets")
        topology = self.topology()
        if isinstance(given, dict):
            named = {str(name): address(value) for name, value in given.items()}
        else:
            hosts = [str(name) for name in given] if isinstance(given, list) else self._elsewhere()
            named = {name: address(mapping(topology.get(name)).get("address")) for name in hosts}
        if bad := [name for name, known in named.items() if not known]:
            raise BadInput(f"the physical address of {', '.join(bad)} is not known: pass targets as name: address")
        if not named:
            raise BadInput(f"every host is in the subnet of {self.host}: pass targets as name: address")
        records = mapping(self.options.get("nodes")) or mapping(self.shared("mesh_nodes"))
        mesh = {name: Node.read(name, records.get(name)).first_address for name in named}
        walls = [Wall(name=name, address=known, mesh=mesh[name]) for name, known in named.items()]
        if isinstance(given, dict):
            return tuple(walls)
        others = [("ipv6", name, known) for name in named if (known := self._ipv6(name))]
        # Its silence proves something only for hosts of the mesh, which see the peer behind it answer.
        routers = public_addresses(self) if self.variable("mesh_client") else {}
        others += [("public", name, known) for name, known in routers.items() if name in named]
        return (
            *walls,
            *(
                Wall(name=name, address=known, mesh=mesh[name], other=other, drops=other == "public")
                for other, name, known in others
            ),
        )

    def _ipv6(self, host: str) -> str:
        """Return an IPv6 address of a host outside the mesh, as assert_addressed found it: inventories state IPv4 only."""
        own = items(self.variable("mesh_physical_ipv6"))
        found = [address(entry) for entry in items(self.of_host(host, "mesh_physical_ipv6")) if entry not in own]
        return next(filter(None, found), "")

    def _elsewhere(self) -> list[str]:
        """Return the members of the mesh in other subnets, except those that a lab's routers do not hide."""
        topology = self.topology()
        own = text(mapping(topology.get(self.host)).get("subnet"))
        records = mapping(self.options.get("nodes")) or mapping(self.shared("mesh_nodes"))
        subnets = {name: text(mapping(topology.get(name)).get("subnet")) for name in records}
        if not own:
            raise BadInput(f"the topology does not contain {self.host}: pass targets as name: address")
        hidden = self.setting("backend") == "hosts"
        open_ = {name for name in subnets if not hidden and text(mapping(topology.get(name)).get("nat")) == "none"}
        return [name for name, subnet in subnets.items() if subnet and subnet != own and name not in open_]

    @property
    def _outside(self) -> bool:
        """Whether this host is outside the mesh, so that it cannot ask nodes over the mesh what has reached them."""
        return not self.variable("mesh_client")

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Try the physical addresses, and the mesh addresses too: silence proves something only while those answer."""
        self._looks += 1
        if self.options["noted"]:
            return []
        walls = [wall for wall in self._expect.walls if pending is None or wall.name in pending]
        targets = [known for wall in walls for known in (wall.address, wall.mesh) if known and not wall.drops]
        witnesses = {wall.name: self._witness(wall) for wall in walls}
        tried = [
            {
                "host": wall.address,
                "protocol": protocol,
                "port": port,
                **witnesses[wall.name],
            }
            for wall in walls
            for protocol, ports in (
                ("tcp", wall.tcp),
                ("udp", wall.udp),
                *((name, (0,)) for name in self._expect.over(wall)),
            )
            for port in ports
        ]
        tried += [
            {"host": wall.address, "protocol": protocol, "port": self._expect.chosen[0], "source": source}
            for wall in walls
            for protocol in SOURCES
            if (source := self._expect.source(wall, protocol))
        ]
        told = [wall for wall in walls if not wall.drops and (self._outside or witnesses[wall.name])]
        tried += [{"host": wall.address, "protocol": "icmp", **witnesses[wall.name]} for wall in told]
        # One after the other: a router that limits its refusals must not spend them on ports before it has refused an echo.
        steps: list[Request] = [
            {"id": ICMP, "kind": "icmp", "targets": targets, "count": 1, "try_timeout_s": 0.8},
            {
                "id": KNOCK,
                "kind": "knock",
                "targets": tried,
                "try_timeout_s": 1.0,
                "sparing": True,
                "nonce": self._nonce if self._outside or any(witnesses.values()) else "",
            },
        ]
        requests: list[Request] = [{"id": STEPS, "kind": "sequence", "steps": steps}]
        return [{"id": WIRE, "kind": "capture", "optional": True, "during": requests}] if self._watched else requests

    def _witness(self, wall: Wall) -> Request:
        """Return where to ask over the mesh what has reached a host; empty if it does not note that."""
        if self._outside:
            return {}
        serving = mapping(self.of_host(wall.name, "mesh_serving"))
        found = mapping(mapping(mapping(serving.get("ports")).get(wall.mesh)).get("tcp"))
        if not (serving.get("witness") is True and found.get("port")):
            return {}
        return {"witness": {"host": wall.mesh, "port": found["port"], "token": serving.get("token")}}

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the kernel for its routes to the addresses."""
        known = [wall.address for wall in self._expect.walls if wall.name in failing]
        return [{"id": ROUTES, "kind": "routes", "get": known}]

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return the nonce of a host outside the mesh, with which nodes tell its datagrams from others."""
        return {"ansible_facts": {"mesh_knocked": self._nonce}} if self._outside and not self.options["noted"] else {}

    def judge(self, answer: Json) -> list[Check]:
        """Judge the refusals; silent addresses are tried again while there is time."""
        if self.options["noted"]:
            noted = {wall.name: self.of_host(wall.name, "mesh_noted") for wall in self._expect.walls}
            return judge_arrived(noted, text(self.variable("mesh_knocked")), self.context, self._expect.walls)
        patient = self.elapsed_s < self.deadline_s
        observed = unpacked(lifted(answer, WIRE, (STEPS,)), STEPS, (ICMP, KNOCK))
        reached = {**self._expect.reached, **answered(observed)}
        self._expect = replace(self._expect, patient=patient, hasty=patient and self._looks < _LOOKS, reached=reached)
        checks = judge_isolated(observed, self.context, self._expect)
        self._watched = self._watched or any(map(doubtful, checks))
        return checks


def chosen_ports(count: int) -> tuple[int, ...]:
    """Return ports above those of servers, in any order, one chosen at random from each part of them."""
    parts = max(1, min(_PARTS, count))
    step = (_LAST_PORT - _FIRST_CHOSEN) // parts
    found = [_FIRST_CHOSEN + number * step + randbelow(step) for number in range(parts)]
    return tuple(sorted(found, key=lambda _port: randbelow(1 << 16)))


def _distinct(ports: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(ports))
