# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from `mesh_expect` which hosts are expected to reach each other.

By default every host is expected to reach every other host. A later entry overrides an earlier one, so that an exception
follows its rule: `[{from: guests, to: all, reach: false}, {from: guests, to: printer, reach: true}]`. An entry may list the
only TCP and UDP ports that the policy opens: `{from: guests, to: printer, reach: true, ports: ["tcp:631"]}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .._policy.ports import read_grant_service

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
    ports: tuple[str, ...] | None = None
    """The only open ports as grants write them, None if the entry does not say."""

    def about(self, source: str, target: str) -> bool:
        """Whether the entry is about this pair."""
        return (self.sources is None or source in self.sources) and (self.targets is None or target in self.targets)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """All entries; a later one overrides an earlier one."""

    rules: tuple[Rule, ...] = ()

    def reaches(self, source: str, target: str) -> bool:
        """Whether one host is expected to reach another."""
        rule = self._deciding(source, target)
        return source == target or rule is None or rule.reach

    def ports(self, source: str, target: str) -> tuple[str, ...] | None:
        """Return the only ports that one host is expected to reach on another, None if no entry says."""
        rule = self._deciding(source, target)
        return rule.ports if rule and rule.reach else None

    def _deciding(self, source: str, target: str) -> Rule | None:
        return next((rule for rule in reversed(self.rules) if rule.about(source, target)), None)

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
    if not isinstance(entry, dict) or set(entry) - {"ports"} != set(_KEYS):
        raise BadInput(f"{where} is {entry!r}: it needs {', '.join(_KEYS)}, may have ports, and nothing else")
    if not isinstance(entry["reach"], bool):
        raise BadInput(f"{where}: reach is {entry['reach']!r}; write true or false")
    return Rule(
        sources=_members(f"{where}, from", entry["from"], groups, hosts),
        targets=_members(f"{where}, to", entry["to"], groups, hosts),
        reach=entry["reach"],
        ports=_ports(where, entry),
    )


def _ports(where: str, entry: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "ports" not in entry:
        return None
    ports = entry["ports"]
    if not entry["reach"]:
        raise BadInput(f"{where} has ports and reach: false; remove one of them")
    if not isinstance(ports, list):
        raise BadInput(f"{where}: ports is {ports!r}; write a list like [443, 'tcp:8000-8100', 'udp:53']")
    for port in map(str, ports):
        try:
            read_grant_service(port)
        except BadInput:
            raise BadInput(f"{where}: ports names {port!r}; write a port like 443, tcp:8000-8100 or udp:53") from None
    return tuple(map(str, ports))


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


def propose(
    forbidden: Iterable[tuple[str, str]],
    hosts: Sequence[str],
    open_ports: Mapping[tuple[str, str], tuple[str, ...]] | None = None,
) -> list[dict[str, Any]]:
    """Return a short `mesh_expect` by which these pairs do not reach each other, and others only these ports."""
    said: dict[tuple[str, str], tuple[str, ...] | None] = dict.fromkeys(forbidden)
    said |= open_ports or {}
    # Sources with the same targets share an entry.
    views: dict[tuple[tuple[str, ...] | None, tuple[str, ...]], list[str]] = {}
    for source in hosts:
        targets: dict[tuple[str, ...] | None, list[str]] = {}
        for target in hosts:
            if (source, target) in said:
                targets.setdefault(said[source, target], []).append(target)
        for ports, named in targets.items():
            views.setdefault((ports, tuple(named)), []).append(source)
    return [_entry(sources, targets, hosts, ports) for (ports, targets), sources in views.items()]


def _entry(
    sources: list[str], targets: tuple[str, ...], hosts: Sequence[str], ports: tuple[str, ...] | None
) -> dict[str, Any]:
    is_about_all = len(sources) == 1 and set(targets) == set(hosts) - set(sources)
    return {
        "from": sources[0] if len(sources) == 1 else sources,
        "to": "all" if is_about_all else targets[0] if len(targets) == 1 else list(targets),
        **({"reach": False} if ports is None else {"reach": True, "ports": list(ports)}),
    }
