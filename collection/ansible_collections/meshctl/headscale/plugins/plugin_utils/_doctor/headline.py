# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say in one sentence what is most likely wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._judge.answer import mapping, text
from .._judge.check import BAD
from .cause import because_of
from .control import HEALTH

STORY, HARDENING = "doctor", "hardening"
# What may do harm later: it has done so if another finding refers to it.
_FORESEEN = (HARDENING, "config", "expiry")
_NAMED = 3
_Checks = list[dict[str, Any]]


def headline(checks: Sequence[dict[str, Any]]) -> str:
    """Return the finding that explains most of the others, with the hosts that it affects; empty if nothing is wrong."""
    made = [check for check in checks if check["story"] == STORY]
    groups = _roots(made)
    if not groups:
        return ""
    first = _first(groups, made)
    said = f"{_hosts(first, made)}: {_server(first[0])}{first[0]['hint']} ({first[0]['id']})"
    # What could not be examined is most often a consequence, and no problem that anybody saw.
    others = [group for group in groups if group is not first and _failed(group)]
    if not others:
        return said
    named = ", ".join(f"{group[0]['id']} ({_hosts(group, made)})" for group in others[:_NAMED])
    return f"{said}; and {len(others)} more: {named}{', …' if others[_NAMED:] else ''}"


def blamed(checks: Sequence[dict[str, Any]]) -> frozenset[str]:
    """Return the hosts that the headline is about, as far as it can explain why something else fails."""
    made = [check for check in checks if check["story"] == STORY]
    groups = _roots(made)
    if not groups:
        return frozenset()
    first = _first(groups, made)
    if not _failed(first) or (first[0]["assertion"] in _FORESEEN and not _explained(first, made)):
        return frozenset()
    clients = _clients(made)
    hosts = {_affected(check, clients) for check in first} | {str(check["target"] or "") for check in first}
    return frozenset(hosts - {""})


def _first(groups: Sequence[_Checks], made: Sequence[dict[str, Any]]) -> _Checks:
    return max(groups, key=lambda group: _weight(group, made))


def _roots(made: Sequence[dict[str, Any]]) -> list[_Checks]:
    """Return the bad checks that nothing explains, grouped by what they are about."""
    groups: dict[str, _Checks] = {}
    for check in made:
        if check["verdict"] in BAD and not because_of(check):
            groups.setdefault(check["id"], []).append(check)
    return list(groups.values())


def _weight(group: _Checks, made: Sequence[dict[str, Any]]) -> tuple[bool, bool, int, int]:
    """Return how much a group explains: what was observed before what could not be, then consequences, then hosts.

    What could be attacked explains nothing that fails.
    """
    return group[0]["assertion"] != HARDENING, _failed(group), _explained(group, made), len(group)


def _explained(group: _Checks, made: Sequence[dict[str, Any]]) -> int:
    ours = {(check["id"], check["source"]) for check in group}
    return sum(because_of(check) in ours for check in made)


def _failed(group: _Checks) -> bool:
    """Whether a problem was observed, or a client does not even tell its state."""
    return any(check["verdict"] == "failed" or check["id"] == f"{STORY}.client" for check in group)


def _server(check: dict[str, Any]) -> str:
    """Return the server that a finding of a client speaks of, unless it names it."""
    url = text(mapping(check.get("expected")).get("url")).removesuffix(HEALTH)
    return f"{url}: " if check["id"] == f"{STORY}.server" and url and url not in check["hint"] else ""


def _hosts(group: _Checks, made: Sequence[dict[str, Any]]) -> str:
    clients = _clients(made)
    affected = list(dict.fromkeys(_affected(check, clients) for check in group))
    if len(clients) > 1 and set(affected) == set(clients):
        return f"all {len(clients)} clients"
    return ", ".join(affected)


def _clients(made: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(check["source"] for check in made if check["id"] == f"{STORY}.client"))


def _affected(check: dict[str, Any], clients: list[str]) -> str:
    """Return the host that a finding is about: a server's finding about a node names it as its target."""
    return str(check["source"] if check["source"] in clients else check["target"] or check["source"])
