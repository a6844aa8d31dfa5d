# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summarize the checks of a report by pairs of hosts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report
from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

# With one node down, each other node is in half as many bad checks; with one bad pair, both are in the same.
_SUSPECT = 0.75


@dataclass(kw_only=True)
class Cell:
    """All that was asserted of one directed pair in one respect."""

    value: float | None = None
    verdict: str = "skipped"
    checks: list[Check] = field(default_factory=list)


Matrix = dict[tuple[str, str], Cell]


@dataclass(frozen=True, kw_only=True)
class Link:
    """How two hosts reach each other, both directions together."""

    a: str
    b: str
    path: str
    detail: str
    bad: bool


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The latencies of all pairs in three numbers, and the pair that is worst."""

    median_ms: float
    worst_ms: float
    worst_pair: tuple[str, str]
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The rates of all transfers in three numbers, and the pair that is slowest."""

    median_mbit: float
    slowest_mbit: float
    slowest_pair: tuple[str, str]
    pairs: int


def by_id(checks: Iterable[Check]) -> dict[str, list[Check]]:
    """Group checks by id, in the order of their first check."""
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(check["id"], []).append(check)
    return found


def alike(checks: Sequence[Check]) -> list[list[Check]]:
    """Group bad checks with the same id, verdict and cause: one fault fails many pairs."""
    found: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        found.setdefault((check["id"], check["verdict"], check["hint"]), []).append(check)
    order = {name: index for index, name in enumerate(dict.fromkeys(check["id"] for check in checks))}
    return sorted(found.values(), key=lambda group: order[group[0]["id"]])


def suspects(report: Report) -> set[str]:
    """Return the hosts that most of the bad checks have to do with."""
    bad = report.bad_checks
    involved = Counter(host for check in bad for host in dict.fromkeys((check["source"], check["target"])) if host)
    most = max(involved.values(), default=0)
    return {host for host, number in involved.items() if number >= most * _SUSPECT}


def latencies(report: Report, family: str | None = None) -> Matrix:
    """Return the round trips of all pairs; a pair's cell is bad when any of its checks is."""

    def wanted(check: Check) -> bool:
        return check["assertion"] == "reachable" and family in (None, check["family"])

    return _matrix(filter(wanted, report.checks), round_trip)


def resolutions(report: Report) -> Matrix:
    """Return how long each host took to resolve each other's name."""
    found = (check for check in report.checks if check["assertion"] == "resolves")
    return _matrix(found, lambda check: number(check["observed"], "ms"))


def transfers(report: Report) -> Matrix:
    """Return the lowest rate at which data went from each host to each other one, in Mbit/s.

    A check measures both directions, so each direction of a pair may have been measured from both ends.
    """
    matrix: Matrix = {}
    for check in report.checks:
        if check["assertion"] != "reachable" or check["aspect"] != "bulk" or not check["target"]:
            continue
        there = (check["source"], check["target"])
        for pair, key in ((there, "up_mbit_s"), (there[::-1], "down_mbit_s")):
            rate = number(check["observed"], key)
            if pair != there and rate is None:
                continue
            cell = matrix.setdefault(pair, Cell())
            cell.checks.append(check)
            cell.value = min((known for known in (cell.value, rate) if known is not None), default=None)
    for cell in matrix.values():
        cell.verdict = worst_verdict(cell.checks)
    return matrix


def rates(report: Report) -> Rates | None:
    """Return the summary of all transfers, or None where none was made."""
    found = {pair: cell.value for pair, cell in transfers(report).items() if cell.value is not None}
    if not found:
        return None
    slowest = min(found, key=lambda pair: found[pair])
    return Rates(
        median_mbit=median(found.values()), slowest_mbit=found[slowest], slowest_pair=slowest, pairs=len(found)
    )


def families(report: Report) -> list[str]:
    """Return the address families that the pairs were reached by."""
    found = {check["family"] for check in report.checks if check["assertion"] == "reachable"}
    return sorted(found - {None})


def links(report: Report) -> list[Link]:
    """Return the path of each pair that was asked for it; relayed one way counts as relayed."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in report.checks:
        if check["assertion"] == "path" and check["target"] and path_of(check):
            first, second = sorted((check["source"], check["target"]))
            found.setdefault((first, second), []).append(check)
    return [_link(a, b, checks) for (a, b), checks in found.items()]


def nodes(matrix: Matrix, report: Report) -> list[str]:
    """Return the hosts of a matrix, in the order of the topology, else as they came."""
    names = list(dict.fromkeys(name for pair in matrix for name in pair))
    order = {name: index for index, name in enumerate(report.hosts)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), _natural(name)))


def latency(report: Report) -> Latency | None:
    """Return the summary of all latencies, or None where none was measured."""
    matrix = {pair: cell for pair, cell in latencies(report).items() if cell.value is not None}
    if not matrix:
        return None
    worst = {
        pair: max(found for check in cell.checks if (found := worst_trip(check)) is not None)
        for pair, cell in matrix.items()
    }
    pair = max(worst, key=lambda key: worst[key])
    middle = median(cell.value for cell in matrix.values() if cell.value is not None)
    return Latency(median_ms=middle, worst_ms=worst[pair], worst_pair=pair, pairs=len(matrix))


def number(document: Json, key: str) -> float | None:
    """Return a number of an observation, if it has one."""
    value = document.get(key) if isinstance(document, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def round_trip(check: Check) -> float | None:
    """Return the median round trip that a check saw: it says it, or has the round trips of one family."""
    said = number(check["observed"], "median_ms")
    return said if said is not None else median(trips) if (trips := _trips(check)) else None


def worst_trip(check: Check) -> float | None:
    """Return the worst round trip that a check saw."""
    said = number(check["observed"], "worst_ms")
    return said if said is not None else max(_trips(check), default=None)


def _trips(check: Check) -> list[float]:
    """Return the round trips of a check's echo requests."""
    observed: Any = check["observed"]
    found = observed.get("rtt_ms") if isinstance(observed, dict) else None
    return [trip for trip in found if isinstance(trip, int | float)] if isinstance(found, list) else []


def _matrix(checks: Iterable[Check], value: Callable[[Check], float | None]) -> Matrix:
    """Gather checks by pair. The pair's number is the worst that was seen."""
    matrix: Matrix = {}
    for check in checks:
        if not check["target"]:
            continue
        cell = matrix.setdefault((check["source"], check["target"]), Cell())
        cell.checks.append(check)
    for cell in matrix.values():
        cell.value = max((found for check in cell.checks if (found := value(check)) is not None), default=None)
        cell.verdict = worst_verdict(cell.checks)
    return matrix


def worst_verdict(checks: Iterable[Check]) -> str:
    """Return the verdict that counts for several checks together."""
    found = {check["verdict"] for check in checks}
    return next((verdict for verdict in ("failed", "error", "passed") if verdict in found), "skipped")


def _link(a: str, b: str, checks: list[Check]) -> Link:
    """Return the link that the checks of both directions describe."""
    paths = [path_of(check) for check in checks]
    path = next((kind for kind in ("relay", "peer-relay") if kind in paths), "direct")
    detail = "; ".join(dict.fromkeys(_path_text(check) for check in checks))
    return Link(a=a, b=b, path=path, detail=detail, bad=any(check["verdict"] in BAD for check in checks))


def path_of(check: Check) -> str:
    """Return the kind of path that was observed, or nothing."""
    observed: Any = check["observed"]
    path = observed.get("path") if isinstance(observed, dict) else None
    return path if path in ("direct", "relay", "peer-relay") else ""


def _path_text(check: Check) -> str:
    """Return a path in words."""
    observed = check["observed"]
    via = observed.get("endpoint") or observed.get("derp") or ""
    return f"{check['source']} to {check['target']}: {observed['path']}" + (f" via {via}" if via else "")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort node-2 before node-10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(int(part), "") if number % 2 else (-1, part) for number, part in enumerate(parts)]
