# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the rules of Tailscale SSH come into play: they need a rule that lets packets to port 22 pass. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..._judge.answer import items, mapping, text
from ..._policy import Evaluation
from ..._policy.addresses import AddressSet
from ..._policy.aliases import Resolver
from ..._policy.filters import Filters
from ..._policy.ports import NUMBERS
from ..._policy.possible import Possible

if TYPE_CHECKING:
    from ..._policy import Node, Policy

_PORT = 22
_SELF = "autogroup:self"
_FAMILIES = ("ipv4", "ipv6")


def without_packets(policy: Policy, parts: dict[str, Any], nodes: Sequence[Node]) -> Iterator[tuple[int, str, str]]:
    """Return the number of each rule whose sources reach port 22 of none of its targets, its names, and which rules may let them."""
    rules = [mapping(rule) for rule in items(parts.get("ssh"))]
    if not rules or policy.unrestricted:
        return
    # What a user's own devices may do cannot be seen on one node per user.
    by_owner = any(_SELF in rule.targets for rule in policy.rules)
    resolver, evaluation, possible = Resolver(policy.names, nodes), Evaluation(policy, nodes), Possible(nodes)
    entries = Filters(policy, nodes, resolver).common
    for number, rule in enumerate(rules):
        sources, targets = ([text(name).strip() for name in items(rule.get(key))] for key in ("src", "dst"))
        if _SELF in targets or (by_owner and not all(name.startswith("tag:") for name in targets)):
            continue
        ours, theirs = (_named(names, nodes, resolver) for names in (sources, targets))
        if not ours or not theirs or any(_reaches(evaluation, one, other) for one in ours for other in theirs):
            continue
        sides = [(version, _addresses(ours, version), _addresses(theirs, version)) for version in (4, 6)]
        maybe = dict.fromkeys(
            entry.label
            for entry in entries
            for version, here, there in sides
            if entry.allows(NUMBERS["tcp"], _PORT, version)
            and possible.overlap(here, entry.sources)
            and possible.overlap(there, entry.targets)
        )
        yield number, f"{', '.join(sources)} to {', '.join(targets)}", "; ".join(maybe)


def _named(names: Sequence[str], nodes: Sequence[Node], resolver: Resolver) -> list[Node]:
    known = [resolver.resolve(name) for name in names]
    return [
        node for node in nodes
        if any((found := node.address(family)) is not None and found in one for family in _FAMILIES for one in known)
    ]  # fmt: skip


def _addresses(nodes: Sequence[Node], version: int) -> AddressSet:
    return AddressSet.of(*(str(ip) for node in nodes for ip in node.ips if ip.version == version))


def _reaches(evaluation: Evaluation, source: Node, target: Node) -> bool:
    return any(evaluation.decide(source, target, "tcp", _PORT, family) for family in _FAMILIES)
