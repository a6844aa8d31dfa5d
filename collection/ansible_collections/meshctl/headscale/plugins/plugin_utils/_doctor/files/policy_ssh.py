# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the rules of Tailscale SSH come into play: they need a rule that lets packets to port 22 pass. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..._judge.answer import items, mapping, text
from ..._policy import Evaluation
from ..._policy.aliases import Resolver

if TYPE_CHECKING:
    from ..._policy import Node, Policy

_PORT = 22
_SELF = "autogroup:self"
_FAMILIES = ("ipv4", "ipv6")


def without_packets(policy: Policy, parts: dict[str, Any], nodes: Sequence[Node]) -> Iterator[tuple[int, str]]:
    """Return the number of each rule whose sources reach port 22 of none of its targets, and its names."""
    rules = [mapping(rule) for rule in items(parts.get("ssh"))]
    if not rules or policy.unrestricted:
        return
    # What a user's own devices may do cannot be seen on one node per user.
    by_owner = any(_SELF in rule.targets for rule in policy.rules)
    resolver, evaluation = Resolver(policy.names, nodes), Evaluation(policy, nodes)
    for number, rule in enumerate(rules):
        sources, targets = (list(map(text, items(rule.get(key)))) for key in ("src", "dst"))
        if _SELF in targets or (by_owner and not all(name.startswith("tag:") for name in targets)):
            continue
        pairs = [(one, other) for one in _named(sources, nodes, resolver) for other in _named(targets, nodes, resolver)]
        if pairs and not any(_reaches(evaluation, one, other) for one, other in pairs):
            yield number, f"{', '.join(sources)} to {', '.join(targets)}"


def _named(names: Sequence[str], nodes: Sequence[Node], resolver: Resolver) -> list[Node]:
    known = [resolver.resolve(name) for name in names]
    return [
        node for node in nodes
        if any((found := node.address(family)) is not None and found in one for family in _FAMILIES for one in known)
    ]  # fmt: skip


def _reaches(evaluation: Evaluation, source: Node, target: Node) -> bool:
    return any(evaluation.decide(source, target, "tcp", _PORT, family) for family in _FAMILIES)
