# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answer which packets pass, through which rule, and which nodes see each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .addresses import INTERNET, AddressSet
from .aliases import Resolver
from .filters import Entry, Filters
from .ports import ICMP, NUMBERS, WITH_PORTS, Ports, merged, read_protocol, shown
from .steering import Steering

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .addresses import Address
    from .document import Policy
    from .nodes import Node, User

FAMILIES = ("ipv4", "ipv6")
_DISABLED = ", because the policy's nodeAttrs grant it disable-ipv4"
# Tailscale's own protocol passes between all nodes that see each other.
_TSMP = 99


class Evaluation:
    """A policy's meaning for these nodes."""

    def __init__(self, policy: Policy, nodes: Sequence[Node], users: Iterable[User] = ()) -> None:
        """Compile the policy; pass the server's users, as node records keep the names that owners had before."""
        self.nodes = nodes
        resolver = Resolver(policy.names, nodes, users)
        self._filters = Filters(policy, nodes, resolver)
        self.steering = Steering(policy.rules, resolver, nodes)
        targeted = AddressSet.union(map(resolver.resolve, policy.without_ipv4))
        disabled = [node.address("ipv4") for node in nodes if any(ip in targeted for ip in node.ips)]
        self.withheld = frozenset(filter(None, disabled))
        """The IPv4 addresses that the policy takes from nodes. Its rules still know the nodes by them."""
        self._by_name = {node.name: node for node in nodes}
        self._known: dict[tuple[str, Address], list[Entry]] = {}

    def decide(self, source: Node, target: Node, protocol: str, port: int = 0, family: str = "ipv4") -> bool:
        """Whether a packet opens a connection, or an echo request (`icmp`) arrives."""
        if protocol_number(protocol, family) == _TSMP:
            return self.sees(source, target)
        return bool(self.deciding(source, target, protocol, port, family))

    def deciding(self, source: Node, target: Node, protocol: str, port: int, family: str) -> list[Entry]:
        """Return the entries that let a packet pass."""
        number, version = protocol_number(protocol, family), int(family[-1])
        return [entry for entry in self.joining(source, target, family) if entry.allows(number, port, version)]

    def joining(self, source: Node, target: Node, family: str) -> list[Entry]:
        """Return the entries about packets of a family between two nodes."""
        here, there = self.address(source, family), self.address(target, family)
        if here is None or there is None:
            return []
        return [entry for entry in self._about(target.name, there) if here in entry.sources]

    def address(self, node: Node, family: str) -> Address | None:
        """Return the address that a node has in the mesh; the policy may take away that of IPv4."""
        known = node.address(family)
        return None if known in self.withheld else known

    def reaches(self, source: Node, target: Node) -> bool:
        """Whether an echo request passes by any family."""
        return any(self.joining(source, target, family) for family in FAMILIES)

    def forbidden(self) -> list[tuple[str, str]]:
        """Return the pairs whose first node does not reach the second."""
        return [(source.name, target.name) for source, target in self._pairs() if not self.reaches(source, target)]

    def restricted(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the open ports of each pair that reaches each other on some ports only, as `mesh_expect` writes them."""
        found = {
            (source.name, target.name): _services(joining)
            for source, target in self._pairs()
            if (joining := [entry for family in FAMILIES for entry in self.joining(source, target, family)])
        }
        return {pair: services for pair, services in found.items() if services != ("*",)}

    def ports(self, source: Node, target: Node, protocol: str, family: str) -> Ports:
        """Return the ports that are open."""
        number = protocol_number(protocol, family)
        return _open_ports(self.joining(source, target, family), number)

    def sees(self, one: Node, other: Node) -> bool:
        """Whether the server shows a node to another; only `via` makes this differ by direction."""
        # Headscale selects a node's peers by its own filter, unless that is empty.
        entries = self._filters.of(one) or self._filters.of(other)
        return any(_may_reach(one, other, entry) or _may_reach(other, one, entry) for entry in entries)

    def leaves(self, source: Node, router: Node, protocol: str, port: int, targets: Sequence[Address] = ()) -> bool:
        """Whether an exit node passes packets of a node on to any of these addresses, or to the internet if none are given."""
        sources = [(ip, protocol_number(protocol, f"ipv{ip.version}")) for ip in source.ips]
        return any(
            (any(target in entry.targets for target in targets) if targets else _is_internet(entry.targets))
            and any(ip in entry.sources and entry.allows(number, port, ip.version) for ip, number in sources)
            for entry in self._filters.of(router)
        )

    def explain(self, source: Node, target: Node, protocol: str, port: int = 0, family: str = "ipv4") -> str:
        """Return the rule that lets a packet pass, or why it is dropped."""
        for node in (source, target):
            if self.address(node, family) is None:
                return f"{node.name} has no {family} address in the mesh{_DISABLED if node.address(family) else ''}"
        what = f"{protocol} {port}" if protocol_number(protocol, family) in WITH_PORTS else protocol
        if deciding := self.deciding(source, target, protocol, port, family):
            return f"{deciding[0].label} allows {what} from {source.name} to {target.name}"
        ports = self.ports(source, target, protocol, family)
        rules = dict.fromkeys(entry.label for entry in self.joining(source, target, family))
        if not rules:
            return f"no rule allows {family} packets from {source.name} to {target.name}"
        opened = f"opens only {protocol} {shown(ports)}" if ports else f"opens no {protocol}"
        return f"no rule allows {what} from {source.name} to {target.name}: {'; '.join(rules)} {opened}"

    def _pairs(self) -> Iterator[tuple[Node, Node]]:
        return ((source, target) for source in self.nodes for target in self.nodes if source.name != target.name)

    def _about(self, name: str, address: Address) -> list[Entry]:
        """Return the entries of a node's filter about one of its addresses."""
        if (name, address) not in self._known:
            entries = self._filters.of(self._by_name[name])
            self._known[name, address] = [entry for entry in entries if entry.opens(address)]
        return self._known[name, address]


def protocol_number(protocol: str, family: str) -> int:
    """Return the number of a protocol; `icmp` means the one of the family."""
    return ICMP[family] if protocol in ("icmp", "ipv6-icmp") else read_protocol(protocol)


def _open_ports(entries: Iterable[Entry], protocol: int) -> Ports:
    return merged(tuple(ports for entry in entries for ports in entry.ports(protocol)))


def _services(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the open TCP and UDP ports; `*` if all are open."""
    tcp, udp = (_open_ports(entries, NUMBERS[protocol]) for protocol in ("tcp", "udp"))
    if tcp == udp:
        return tuple(_each(tcp))
    return (*(f"tcp:{text}" for text in _each(tcp)), *(f"udp:{text}" for text in _each(udp)))


def _each(ports: Ports) -> Iterator[str]:
    return (shown((one,)) for one in ports)


def _may_reach(source: Node, target: Node, entry: Entry) -> bool:
    """Whether the server takes one node to have business with the other, by any address and any subnet behind it."""
    sources, targets = entry.sources, entry.targets
    if not any(ip in sources for ip in source.ips) and not any(sources.overlaps(subnet) for subnet in source.subnets):
        return False
    return (
        any(ip in targets for ip in target.ips)
        or any(targets.overlaps(subnet) for subnet in target.subnets)
        or (target.is_exit and _is_internet(targets))
    )


def _is_internet(targets: AddressSet) -> bool:
    return any(targets.covers(AddressSet.of(every)) for every in ("0.0.0.0/0", "::/0")) or targets.covers(INTERNET)
