# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide through which subnet router the server routes a node to a subnet, as Headscale's `RoutesForPeer` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .addresses import AddressSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .aliases import Resolver
    from .document import Rule
    from .nodes import Node

# Headscale resolves these to no addresses here.
_NO_SUBNETS = ("autogroup:internet", "autogroup:self")


class Steering:
    """The rules that route nodes through routers with certain tags (`via`)."""

    def __init__(self, rules: Sequence[Rule], resolver: Resolver, nodes: Sequence[Node]) -> None:
        """Keep the rules; the nodes are in the order of their ids, as the server lists them."""
        self._rules, self._resolver, self._nodes = rules, resolver, nodes

    def leads(self, source: Node, router: Node, route: str, *, primary: bool) -> bool:
        """Whether the server gives a route through a router to a node; `primary` is its choice where no `via` applies."""
        rules = self._about(source, route)
        steering = [rule for rule in rules if rule.via]
        if not steering:
            return primary
        tagged = [rule for rule in steering if set(rule.via) & set(router.tags)]
        chosen = bool(tagged) and all(self._elected(rule, route) in (None, router) for rule in steering)
        # With another rule about the subnet, the server routes as if there were no `via`.
        plain = len(rules) > len(steering)
        kept_from = not plain and not (chosen and len(tagged) == len(steering))
        return (primary and not kept_from) or (chosen and (primary or not plain))

    def tags(self, source: Node, route: str) -> list[str]:
        """Return the tags of the routers through which the rules route a node to a subnet; empty if they name none."""
        return list(dict.fromkeys(tag for rule in self._about(source, route) for tag in rule.via))

    def missing(self, source: Node, router: Node, route: str) -> list[str]:
        """Return these tags if a router has none of them, and no other rule leads to the subnet without."""
        tags = self.tags(source, route)
        return [] if set(tags) & set(router.tags) or self.leads(source, router, route, primary=True) else tags

    def _about(self, source: Node, route: str) -> list[Rule]:
        """Return the rules from a node to any part of a subnet."""
        subnet = AddressSet.of(route)
        return [rule for rule in self._rules if self._is_from(rule, source) and self._is_to(rule, subnet)]

    def _is_from(self, rule: Rule, source: Node) -> bool:
        return any(ip in self._resolver.resolve(name) for name in self._known(rule.sources) for ip in source.ips)

    def _is_to(self, rule: Rule, subnet: AddressSet) -> bool:
        names = self._known(name for name in rule.targets if name not in _NO_SUBNETS)
        return any(self._resolver.resolve(name).overlaps(subnet) for name in names)

    def _known(self, names: Iterable[str]) -> Iterator[str]:
        """Return the names that Headscale counts here: none with an unknown user."""
        return (name for name in names if self._resolver.is_complete(name))

    def _elected(self, rule: Rule, route: str) -> Node | None:
        """Return the one of several routers with the tags that the server uses."""
        tags = set(rule.via)
        return next((node for node in self._nodes if tags & set(node.tags) and route in node.routes), None)
