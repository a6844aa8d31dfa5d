# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find rules of a policy that never match, match less than they seem to, or allow everything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..._judge.answer import items, mapping
from ..._policy.addresses import EVERYTHING, TAILNET, AddressSet
from ..._policy.aliases import Resolver
from ..._policy.ports import ALL_PORTS, DEFAULT_PROTOCOLS
from .finding import Severity
from .policy_text import Path

if TYPE_CHECKING:
    from ..._policy import Node, Policy
    from ..._policy.document import Rule

_Found = tuple[Severity, str, Path, str, str]
_FAMILIES = {4: "IPv4", 6: "IPv6"}
_SPECIAL = ("autogroup:self", "autogroup:internet")


def rule_findings(policy: Policy, parts: dict[str, Any], nodes: Sequence[Node]) -> Iterator[_Found]:
    """Return severity, kind, path, problem and remedy of each finding."""
    yield from _without_targets(parts)
    resolver = Resolver(policy.names, nodes)
    seen: set[tuple[object, ...]] = set()
    for rule in policy.rules:
        path = _path(rule)
        found = list(_never(rule, resolver, path)) or [*_everything(rule, path), *_one_family(rule, resolver, path)]
        yield from found
        same = (rule.sources, rule.targets, rule.services, rule.via, rule.capabilities)
        if same in seen:
            yield "info", "repeated", path, f"{_name(rule)} repeats an earlier rule", "remove it"
        seen.add(same)


def _path(rule: Rule) -> Path:
    match = re.match(r"(acl|grant) (\d+)", rule.label)
    return (f"{match[1]}s", str(int(match[2]) - 1)) if match else ()


def _name(rule: Rule) -> str:
    return rule.label.partition(":")[0]


def _without_targets(parts: dict[str, Any]) -> Iterator[_Found]:
    for part in ("acls", "grants"):
        for number, rule in enumerate(items(parts.get(part))):
            for key in ("src", "dst"):
                if not items(mapping(rule).get(key)):
                    path = (part, str(number))
                    yield (
                        "medium",
                        "never",
                        path,
                        f"{part[:-1]} {number + 1} never matches: its {key} is empty",
                        "fill it, or remove the rule",
                    )


def _never(rule: Rule, resolver: Resolver, path: Path) -> Iterator[_Found]:
    """Return why no packet can match a rule."""
    if not rule.sources or not rule.targets or set(rule.targets) & set(_SPECIAL) or rule.via:
        return
    sources, targets = _addresses(rule.sources, resolver), _addresses(rule.targets, resolver)
    for side, names, found in (("source", rule.sources, sources), ("target", rule.targets, targets)):
        if not found:
            yield (
                "medium",
                "never",
                path,
                f"{_name(rule)} never matches: its {side} {', '.join(names)} matches no node",
                "correct it",
            )
            return
    # The ICMP of the other family is no such case: Tailscale lets echo requests pass for a rule of any protocol.
    if not sources.versions & targets.versions:
        have = " and ".join(_FAMILIES[min(one.versions)] for one in (sources, targets))
        yield (
            "medium", "never", path,
            f"{_name(rule)} never matches: its sources and targets have only addresses of different families ({have})",
            "name both addresses of the host, or its user or tag",
        )  # fmt: skip


def _everything(rule: Rule, path: Path) -> Iterator[_Found]:
    if "autogroup:danger-all" in rule.sources:
        yield (
            "medium", "outside", path, f"{_name(rule)} allows packets from any address, even outside the mesh",
            "use * for the mesh, or the subnets that need access",
        )  # fmt: skip
    all_nodes = "*" in rule.sources or {"autogroup:member", "autogroup:tagged"} <= set(rule.sources)
    complete = any(
        ALL_PORTS[0] in service.ports and service.protocols >= DEFAULT_PROTOCOLS for service in rule.services
    )
    if all_nodes and "*" in rule.targets and complete:
        yield (
            "low",
            "everything",
            path,
            f"{_name(rule)} lets every node reach every other node on all ports",
            "allow only what each user or tag needs",
        )


def _one_family(rule: Rule, resolver: Resolver, path: Path) -> Iterator[_Found]:
    """Return names of the mesh that stand for an address of one family only."""
    for name in (*rule.sources, *rule.targets):
        if name not in resolver.names.hosts and not name[:1].isdigit() and ":" not in name:
            continue
        if name.startswith(("tag:", "group:", "autogroup:")) or "@" in name:
            continue
        found = resolver.resolve(name)
        if len(found.versions) == 1 and TAILNET.covers(found):
            family, other = (
                _FAMILIES[version] for version in (sorted(found.versions) + sorted({4, 6} - found.versions))
            )
            yield (
                "low", "family", path, f"{_name(rule)} names {name}, an {family} address: the node's {other} address is not covered",
                "name the node's user or tag, or add its other address",
            )  # fmt: skip


def _addresses(names: Sequence[str], resolver: Resolver) -> AddressSet:
    return AddressSet.union(EVERYTHING if name == "*" else resolver.resolve(name) for name in names)
