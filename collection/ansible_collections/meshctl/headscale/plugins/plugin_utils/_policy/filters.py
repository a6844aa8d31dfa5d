# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compile a policy into the packet filter of each node, as Headscale does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .addresses import EVERYTHING, INTERNET, AddressSet
from .ports import ALL_PORTS, DEFAULT_PROTOCOLS, ICMP, WITH_PORTS, Ports, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .addresses import Address
    from .aliases import Resolver
    from .document import Policy, Rule
    from .nodes import Node

_NOTHING = Service(frozenset(), ())


@dataclass(frozen=True)
class Entry:
    """What one rule allows; an entry without protocols only makes nodes see each other."""

    label: str
    sources: AddressSet
    targets: AddressSet
    service: Service = _NOTHING

    def opens(self, target: Address) -> bool:
        """Whether the entry lets any packet pass to an address."""
        return bool(self.service.protocols) and target in self.targets

    def allows(self, protocol: int, port: int, version: int) -> bool:
        """Whether the entry lets packets of a protocol pass between addresses that it is about."""
        if protocol == ICMP[f"ipv{version}"]:
            # Tailscale lets echo requests pass wherever any port of any protocol is open.
            return True
        return any(first <= port <= last for first, last in self.ports(protocol))

    def ports(self, protocol: int) -> Ports:
        """Return the ports that the entry opens; a protocol without ports passes only if all of them are open."""
        open_ports = self.service.ports if protocol in self.service.protocols else ()
        if protocol in WITH_PORTS:
            return open_ports
        return ALL_PORTS if ALL_PORTS[0] in open_ports else ()


class Filters:
    """The packet filters of all nodes."""

    def __init__(self, policy: Policy, nodes: Sequence[Node], resolver: Resolver) -> None:
        """Compile the rules that are the same for all nodes."""
        self._resolver, self._nodes = resolver, nodes
        self._rules = policy.rules
        self._subnets = AddressSet.union(subnet for node in nodes for subnet in node.subnets)
        allow_all = Entry("no policy restricts anything", EVERYTHING, EVERYTHING, Service(DEFAULT_PROTOCOLS, ALL_PORTS))
        common = [entry for rule in policy.rules if not rule.via for entry in self._common(rule)]
        self._all = [allow_all] if policy.unrestricted else common

    def of(self, node: Node) -> list[Entry]:
        """Return the filter of a node, before the server leaves out what is not about it."""
        return [
            *self._all,
            *(entry for rule in self._rules if rule.via for entry in self._via(rule, node)),
            *(entry for rule in self._rules if not rule.via for entry in self._own(rule, node)),
        ]

    @property
    def common(self) -> list[Entry]:
        """Return what is the same in the filters of all nodes."""
        return self._all

    def _sources(self, rule: Rule) -> AddressSet:
        return AddressSet.union(map(self._resolver.resolve, rule.sources))

    def _with_subnets(self, names: Iterable[str], addresses: AddressSet) -> AddressSet:
        return addresses | self._subnets if "*" in names else addresses

    def _common(self, rule: Rule) -> Iterator[Entry]:
        """Return what a rule allows on all nodes."""
        others = [name for name in rule.targets if name != "autogroup:self"]
        sources = self._sources(rule)
        targets = AddressSet.union(EVERYTHING if name == "*" else self._resolver.resolve(name) for name in others)
        if sources and targets:
            for service in rule.services:
                yield Entry(rule.label, self._with_subnets(rule.sources, sources), targets, service)
        if rule.capabilities and rule.sources:
            # Headscale leaves out the targets of a capability that name an unknown user.
            known = [name for name in others if self._resolver.is_complete(name)]
            granted = AddressSet.union(map(self._resolver.resolve, known))
            yield Entry(rule.label, self._with_subnets(rule.sources, sources), granted)

    def _own(self, rule: Rule, node: Node) -> Iterator[Entry]:
        """Return what a rule allows between the nodes of this node's user."""
        if "autogroup:self" not in rule.targets or node.tags or node.user is None:
            return
        same = [other for other in self._nodes if node.user.is_same(other.user) and not other.tags]
        named = self._sources(rule)
        sources = AddressSet.union(other.owned for other in same if any(ip in named for ip in other.ips))
        targets = AddressSet.union(other.owned for other in same)
        if sources:
            yield from (Entry(rule.label, sources, targets, service) for service in rule.services)
            if rule.capabilities:
                yield Entry(rule.label, sources, targets)

    def _via(self, rule: Rule, node: Node) -> Iterator[Entry]:
        """Return what a rule allows to the subnets behind this node, or through it to the internet."""
        sources = self._sources(rule)
        if not sources or not set(rule.via) & set(node.tags):
            return
        names = [name for name in rule.targets if name not in ("autogroup:internet", "autogroup:self")]
        reached = AddressSet.union(
            part
            for name in names
            if self._resolver.is_complete(name)
            for part in self._resolver.resolve(name).parts()
            if any(part.overlaps(subnet) for subnet in node.subnets)
        )
        if "autogroup:internet" in rule.targets and node.is_exit:
            reached |= INTERNET
        if reached:
            for service in rule.services:
                yield Entry(rule.label, self._with_subnets(rule.sources, sources), reached, service)
