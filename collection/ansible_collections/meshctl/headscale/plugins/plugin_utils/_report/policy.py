# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summarize what the policy allows and denies, and where packets do otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import pairs
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report

_PROTOCOLS = ("tcp", "udp")
_MOST_PORTS = 65536
_MOST_NODES = 60


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The ports that were tried, by what the policy says of them and what they did."""

    allowed: int = 0
    denied: int = 0
    wrong: int = 0
    hidden: int = 0
    """Pairs that no rule joins."""
    established: int = 0
    """Connections that went on although the policy had closed their port."""

    @property
    def text(self) -> str:
        """Return this in a few words."""
        parts = [f"{self.allowed} allowed and answered", f"{self.denied} denied and silent", f"{self.wrong} wrong"]
        if self.hidden:
            parts.append(f"{self.hidden} pairs hidden")
        if self.established:
            parts.append(f"{self.established} open connections went on after their port was closed")
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Square:
    """What one node may do on another."""

    text: str
    style: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The policy, by source and target."""

    title: str
    tried: Tried
    names: list[str]
    rows: list[tuple[str, list[Square]]]


def tried(checks: Iterable[Check]) -> Tried | None:
    """Return what checks of the policy tried, None if there are none."""
    counted: Counter[str] = Counter()
    for check in checks:
        kind = _kind(check)[1]
        if kind == "hidden":
            counted["hidden"] += 1
            counted["wrong"] += check["verdict"] in BAD
        elif kind == "established":
            counted["established"] += check["verdict"] == "passed"
        elif kind in _PROTOCOLS and isinstance(check["observed"], dict):
            wrong = _wrong(check)
            counted["wrong"] += len(wrong)
            counted["allowed"] += len(_ports(check, "expected", "open") - wrong)
            counted["denied"] += len(_ports(check, "expected", "closed") - wrong)
    return Tried(**counted) if counted else None


def pictures(report: Report) -> Iterator[Picture]:
    """Yield a picture of each policy that differs from the one before, the first and those that the story installed."""
    before: Any = None
    for phase, checks in _phases(report).items():
        found = tried(checks)
        meant = [
            (check["source"], check["target"], check["aspect"].rpartition(".")[2], check["expected"])
            for check in checks
        ]
        if found is None or (meant == before and not found.wrong):
            continue
        before = meant
        yield _picture(phase or "as it was", checks, found, report)


def _phases(report: Report) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in report.checks:
        phase, kind = _kind(check)
        if kind in (*_PROTOCOLS, "hidden") and check["target"]:
            found.setdefault(phase, []).append(check)
    return {
        phase: sorted(checks, key=lambda one: (one["source"], str(one["target"]))) for phase, checks in found.items()
    }


def _kind(check: Check) -> tuple[str, str]:
    """Return the phase and the kind of a check of the policy."""
    if check["assertion"] != "policy" or check["verdict"] == "skipped":
        return "", ""
    phase, _dot, kind = check["aspect"].rpartition(".")
    return phase, kind


def _picture(phase: str, checks: list[Check], found: Tried, report: Report) -> Picture:
    by_pair: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        by_pair.setdefault((check["source"], str(check["target"])), []).append(check)
    order = {name: number for number, name in enumerate(report.hosts)}
    names = sorted({name for pair in by_pair for name in pair}, key=lambda name: (order.get(name, len(order)), name))
    if len(names) > _MOST_NODES:
        return Picture(title=phase, tried=found, names=[], rows=[])
    rows = [(source, [_square(source, target, by_pair.get((source, target))) for target in names]) for source in names]
    return Picture(title=phase, tried=found, names=names, rows=rows)


def _square(source: str, target: str, checks: list[Check] | None) -> Square:
    if source == target:
        return Square(text="", style="self", title="")
    if not checks:
        return Square(text="", style="none", title=f"{source} → {target}: not asserted")
    where = f"{source} → {target}: "
    worst = pairs.worst_verdict(checks)
    if worst in BAD:
        wrong = sum(len(_wrong(check)) for check in checks)
        said = "; ".join(_said(check) for check in checks if check["verdict"] in BAD)
        return Square(
            text=f"✕ {wrong}" if wrong else "✕" if worst == "failed" else "!", style=worst, title=where + said
        )
    if any(_kind(check)[1] == "hidden" for check in checks):
        return Square(text="-", style="hidden", title=f"{where}no peers, because no rule joins them")
    opened, closed = (sum(len(_ports(check, "expected", what)) for check in checks) for what in ("open", "closed"))
    style = "allowed" if not closed else "some" if opened else "denied"
    return Square(text=f"{opened}/{opened + closed}", style=style, title=where + "; ".join(map(_said, checks)))


def _said(check: Check) -> str:
    expected: Any = check["expected"]
    what = f"{_kind(check)[1]} {check['family'] or ''}".strip()
    if not isinstance(expected, dict) or "open" not in expected:
        return f"{what}: {check['verdict']}"
    return f"{what} open: {expected['open'] or 'none'}"


def _wrong(check: Check) -> set[int]:
    """Return the ports that did otherwise than the policy says."""
    if check["verdict"] not in BAD or not isinstance(check["observed"], dict):
        return set()
    answered, let_in = _ports(check, "observed", "open"), _ports(check, "observed", "let_in")
    return (_ports(check, "expected", "open") - answered) | (_ports(check, "expected", "closed") & (answered | let_in))


def _ports(check: Check, side: str, what: str) -> set[int]:
    """Return the ports of a text such as `80,443-445`."""
    value = check[side].get(what) if isinstance(check[side], dict) else None
    found: set[int] = set()
    for part in value.split(",") if isinstance(value, str) else ():
        first, _dash, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first), _MOST_PORTS) + 1))
    return found
