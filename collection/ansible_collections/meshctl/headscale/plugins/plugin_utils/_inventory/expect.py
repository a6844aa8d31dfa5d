# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from `mesh_expect` which hosts are expected to reach each other.

By default every host is expected to reach every other host. A later entry overrides an earlier one, so that an exception
follows its rule: `[{from: guests, to: all, reach: false}, {from: guests, to: printer, reach: true}]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_KEYS = ("from", "to", "reach")
_ALL_HOSTS = ("all", "*")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One entry; None means all hosts."""

    sources: frozenset[str] | None
    targets: frozenset[str] | None
    reach: bool

    def about(self, source: str, target: str) -> bool:
        """Whether the entry is about this pair."""
        return (self.sources is None or source in self.sources) and (self.targets is None or target in self.targets)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """All entries; a later one overrides an earlier one."""

    rules: tuple[Rule, ...] = ()

    def reaches(self, source: str, target: str) -> bool:
        """Whether one host is expected to reach another."""
        if source == target:
            return True
        return next((rule.reach for rule in reversed(self.rules) if rule.about(source, target)), True)

    def sees(self, source: str, target: str) -> bool:
        """Whether the server shows two hosts to each other, which it does if either may reach the other."""
        return self.reaches(source, target) or self.reaches(source=target, target=source)


def read_expect(value: Any, groups: Mapping[str, Sequence[str]]) -> Expectation:  # noqa: ANN401 - an inventory's data
    """Return the entries of `mesh_expect`, which name hosts and groups of the inventory. Raise `BadInput`."""
    if value in (None, ""):
        return Expectation()
    if not isinstance(value, list):
        raise BadInput(
            f"mesh_expect is {value!r}: write a list of entries like {{from: guests, to: all, reach: false}}"
        )
    hosts = frozenset(host for members in groups.values() for host in members)
    return Expectation(rules=tuple(_rule(number, entry, groups, hosts) for number, entry in enumerate(value, start=1)))


def _rule(number: int, entry: Any, groups: Mapping[str, Sequence[str]], hosts: frozenset[str]) -> Rule:  # noqa: ANN401
    where = f"entry {number} of mesh_expect"
    if not isinstance(entry, dict) or set(entry) != set(_KEYS):
        raise BadInput(f"{where} is {entry!r}: it needs {', '.join(_KEYS)}, and nothing else")
    if not isinstance(entry["reach"], bool):
        raise BadInput(f"{where}: reach is {entry['reach']!r}; write true or false")
    return Rule(
        sources=_members(f"{where}, from", entry["from"], groups, hosts),
        targets=_members(f"{where}, to", entry["to"], groups, hosts),
        reach=entry["reach"],
    )


def _members(
    where: str,
    named: Any,  # noqa: ANN401
    groups: Mapping[str, Sequence[str]],
    hosts: frozenset[str],
) -> frozenset[str] | None:
    names = [str(name) for name in (named if isinstance(named, list) else [named])]
    if any(name in _ALL_HOSTS for name in names):
        return None
    if unknown := [name for name in names if name not in groups and name not in hosts]:
        raise BadInput(f"{where}: {', '.join(unknown)} is neither a host nor a group of the inventory")
    return frozenset(host for name in names for host in groups.get(name, (name,)))


def propose(pairs: Iterable[tuple[str, str]], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the shortest `mesh_expect` by which these pairs do not reach each other, and all others do."""
    wanted = list(hosts)
    silent: dict[str, list[str]] = {}
    for source, target in pairs:
        silent.setdefault(source, []).append(target)
    # Hosts with the same view share an entry.
    views: dict[tuple[str, ...], list[str]] = {}
    for source in wanted:
        if targets := tuple(host for host in wanted if host in silent.get(source, ())):
            views.setdefault(targets, []).append(source)
    return [_entry(sources, targets, wanted) for targets, sources in views.items()]


def _entry(sources: list[str], targets: tuple[str, ...], hosts: list[str]) -> dict[str, Any]:
    reaches_none = len(sources) == 1 and set(targets) == set(hosts) - set(sources)
    return {
        "from": sources[0] if len(sources) == 1 else sources,
        "to": "all" if reaches_none else targets[0] if len(targets) == 1 else list(targets),
        "reach": False,
    }
