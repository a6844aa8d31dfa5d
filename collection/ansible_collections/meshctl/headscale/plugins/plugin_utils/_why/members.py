# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold the server's nodes, and what its policy means for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .._doctor.records import Record, Server, given_name, texts
from .._judge.answer import addresses, text
from .._policy import Evaluation, Node


@dataclass(frozen=True)
class Members:
    """The members of the mesh."""

    server: Server

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """Return every node of the server as a policy names it, by its id."""
        return {text(node.get("id")): self.server.member(node, given_name(node)) for node in self.server.nodes}

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """Return what the policy means, None if that is not known."""
        policy = self.server.policy[0]
        if policy is None or not self.server.names_are_known:
            return None
        try:
            return Evaluation(policy, list(self.nodes.values()), self.server.owners())
        except ValueError:  # a route or an address of the server's records
            return None

    @property
    def withheld(self) -> dict[str, str]:
        """Return the IPv4 addresses that the policy takes away, with the names of their nodes."""
        taken = set(map(str, self.evaluation.withheld)) if self.evaluation else set()
        return {
            known: given_name(node)
            for node in self.server.nodes
            for known in addresses(node.get("ipAddresses"))
            if known in taken
        }

    def leads(self, source: Record, router: Record, route: str) -> bool:
        """Whether the server gives a route through a router to a node; without the policy, its primary router counts."""
        primary = route in texts(router, "subnetRoutes")
        here, there = self._pair(source, router)
        if self.evaluation is None or here is None or there is None:
            return primary
        return self.evaluation.steering.leads(here, there, route, primary=primary)

    def tags(self, source: Record, route: str) -> list[str]:
        """Return the tags of the routers through which the policy sends a node to a subnet; empty if it names none."""
        node = self.nodes.get(text(source.get("id")))
        return self.evaluation.steering.tags(node, route) if self.evaluation and node else []

    def missing(self, source: Record, router: Record, route: str) -> list[str]:
        """Return the tags that the policy requires of a router to this subnet; empty if it has one, or if they are not required."""
        here, there = self._pair(source, router)
        return self.evaluation.steering.missing(here, there, route) if self.evaluation and here and there else []

    def _pair(self, one: Record, other: Record) -> tuple[Node | None, Node | None]:
        return self.nodes.get(text(one.get("id"))), self.nodes.get(text(other.get("id")))
