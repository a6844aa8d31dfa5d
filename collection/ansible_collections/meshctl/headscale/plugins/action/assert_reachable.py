# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that nodes reach each other over the mesh; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plugin_utils._assertion import COMMON, MEMBERS, Ask, Assertion, families, positive, wanted
from ..plugin_utils._judge.reachable import Reachable, judge_reachable

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.seen import Json


class ActionModule(Assertion):
    """Pings every peer's mesh addresses from the node's kernel."""

    ASSERTION = "reachable"
    DEADLINE_S = 20.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "families": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"], "default": ["ipv4", "ipv6"]},
        "count": {"type": "int", "default": 3},
        "latency_budget_ms": {"type": "float"},
    }

    def prepare(self) -> None:
        """Find out whom to ping."""
        positive("count", self.options["count"])
        self._expect = Reachable(
            peers=self.peers(),
            families=families(self.options["families"]),
            latency_budget_ms=self.number_of("latency_budget_ms", "mesh_latency_budget_ms", 50),
        )

    def observe(self, pending: frozenset[str | None] | None) -> list[Ask]:
        """Ping the peers that have not all answered yet."""
        targets = self._addresses(pending)
        return [{"id": "icmp", "kind": "icmp", "targets": targets, "count": self.options["count"], "interval_s": 0.1}]

    def _addresses(self, pending: frozenset[str | None] | None) -> list[str]:
        peers = wanted(self._expect.peers, pending)
        known = [peer.address(family) for peer in peers for family in self._expect.families]
        return [address for address in known if address]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the replies."""
        return judge_reachable(answer, self.frame, self._expect)

    def diagnose(self, failing: frozenset[str | None]) -> list[Ask]:
        """Ask the client what it knows of the peers, and try the layers below."""
        targets = self._addresses(failing)
        pings: Ask = {"targets": targets, "tries": 2, "try_timeout_s": 1.5}
        return [
            {"id": "status", "kind": "status"},
            {"id": "disco", "kind": "disco", **pings},
            {"id": "tsmp", "kind": "tsmp", **pings},
        ]
