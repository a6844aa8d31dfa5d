# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that a host is where the inventory has it; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plugin_utils._assertion import COMMON, Ask, Assertion, BadInput
from ..plugin_utils._judge.addressed import Place, judge_addressed
from ..plugin_utils._judge.seen import Json, mapping, text

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Reads the host's interfaces and routes."""

    ASSERTION = "addressed"
    DEADLINE_S = 3.0
    ARGUMENTS = {**COMMON}  # noqa: RUF012

    def prepare(self) -> None:
        """Find out where the host should be."""
        topology = self.topology()
        own = mapping(topology.get(self.host))
        if not own:
            raise BadInput(f"no topology says where {self.host} is: run meshctl.headscale.topology before")
        others = {text(mapping(place).get("cidr")) for place in topology.values()} - {text(own.get("cidr")), ""}
        self._place = Place(
            address=text(own.get("address")),
            cidr=text(own.get("cidr")),
            gateway=text(own.get("gateway")),
            elsewhere=tuple(sorted(others)),
        )

    def observe(self, pending: frozenset[str | None] | None) -> list[Ask]:
        """Ask the kernel."""
        return [
            {"id": "addresses", "kind": "addresses"},
            {"id": "routes", "kind": "routes", "get": list(self._place.samples)},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge what the kernel says."""
        return judge_addressed(answer, self.frame, self._place)
