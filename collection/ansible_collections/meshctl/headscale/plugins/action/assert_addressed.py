# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a host has the address and gateway that the inventory states; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.addressed import Place, judge_addressed, physical_ipv6
from ..plugin_utils._judge.answer import Json, mapping, text
from ..plugin_utils._judge.observations import ADDRESSES, ROUTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Read the host's interfaces and routes."""

    ASSERTION = "addressed"
    DEADLINE_S = 3.0
    ARGUMENTS = {**COMMON}  # noqa: RUF012

    def prepare(self) -> None:
        """Look up the address and subnet that the host should have."""
        self._ipv6: list[str] = []
        topology = self.topology()
        own = mapping(topology.get(self.host))
        if not own:
            raise BadInput(f"the topology does not contain {self.host}: run meshctl.headscale.topology first")
        others = {text(mapping(place).get("cidr")) for place in topology.values()} - {text(own.get("cidr")), ""}
        self._place = Place(
            address=text(own.get("address")),
            cidr=text(own.get("cidr")),
            gateway=text(own.get("gateway")),
            elsewhere=tuple(sorted(others)),
            others={
                known: str(name)
                for name, place in topology.items()
                if name != self.host and (known := text(mapping(place).get("address")))
            },
        )

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask the kernel for addresses and routes."""
        return [
            {"id": ADDRESSES, "kind": "addresses"},
            {"id": ROUTES, "kind": "routes", "get": [*self._place.samples, *filter(None, [self._place.gateway])]},
        ]

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return the host's IPv6 addresses, which no inventory states and which assert_isolated tries as well."""
        return {"ansible_facts": {"mesh_physical_ipv6": self._ipv6}}

    def judge(self, answer: Json) -> list[Check]:
        """Judge the addresses and routes."""
        self._ipv6 = physical_ipv6(answer)
        return judge_addressed(answer, self.context, self._place)
