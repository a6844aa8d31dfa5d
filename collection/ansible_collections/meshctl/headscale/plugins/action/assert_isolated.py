# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that physical addresses cannot be reached outside the mesh; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, lifted
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import Json, address, items, mapping, text
from ..plugin_utils._judge.context import Node
from ..plugin_utils._judge.isolated import Isolated, Wall, doubtful, judge_isolated
from ..plugin_utils._judge.observations import ICMP, ROUTES, TCP, WIRE

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Try the physical addresses of hosts in other subnets."""

    ASSERTION = "isolated"
    DEADLINE_S = 6.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        "targets": {"type": "raw"},
        "nodes": {"type": "raw"},
        "port": {"type": "int", "default": 22},
    }

    _watched = False

    def prepare(self) -> None:
        """Decide which addresses must not answer."""
        self._expect = Isolated(walls=self._walls(), port=self.options["port"])

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
        mesh = {name: Node.read(name, records.get(name)).address(4) for name in named}
        walls = [Wall(name=name, address=known, mesh=mesh[name]) for name, known in named.items()]
        others = [] if isinstance(given, dict) else [(name, known) for name in named if (known := self._ipv6(name))]
        return (*walls, *(Wall(name=name, address=known, mesh=mesh[name], other="ipv6") for name, known in others))

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
            raise BadInput(f"no topology says where {self.host} is: pass targets as name: address")
        hidden = self.setting("backend") == "hosts"
        open_ = {name for name in subnets if not hidden and text(mapping(topology.get(name)).get("nat")) == "none"}
        return [name for name, subnet in subnets.items() if subnet and subnet != own and name not in open_]

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Try the physical addresses, and the mesh addresses too: silence proves something only while those answer."""
        walls = [wall for wall in self._expect.walls if pending is None or wall.name in pending]
        targets = [known for wall in walls for known in (wall.address, wall.mesh) if known]
        tried = [{"host": wall.address, "port": self._expect.port} for wall in walls]
        requests: list[Request] = [
            {"id": ICMP, "kind": "icmp", "targets": targets, "count": 1, "try_timeout_s": 0.8},
            {"id": TCP, "kind": "tcp", "targets": tried, "try_timeout_s": 1.0},
        ]
        return [{"id": WIRE, "kind": "capture", "optional": True, "during": requests}] if self._watched else requests

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the kernel for its routes to the addresses."""
        known = [wall.address for wall in self._expect.walls if wall.name in failing]
        return [{"id": ROUTES, "kind": "routes", "get": known}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the refusals; silent addresses are tried again while there is time."""
        expect = replace(self._expect, patient=self.elapsed_s < self.deadline_s)
        checks = judge_isolated(lifted(answer, WIRE, (ICMP, TCP)), self.context, expect)
        self._watched = self._watched or any(map(doubtful, checks))
        return checks
