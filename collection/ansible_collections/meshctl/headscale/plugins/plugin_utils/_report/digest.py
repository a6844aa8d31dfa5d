# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sum up the checks of each assertion in one line: how many there are, and the figure that tells most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import lines, model, pairs

Check: TypeAlias = dict[str, Any]
Checks: TypeAlias = Sequence[Check]

_NOTABLE_MS = 1000.0
_ORDER = ("passed", "failed", "error", "skipped")


def texts(checks: Iterable[Check]) -> list[str]:
    """Return a line for each assertion, in the order in which they were first made; one for a story that cannot run."""
    groups: dict[str, list[Check]] = {}
    found = list(checks)
    if reason := model.unsupported(found):
        return [f"{lines.MARKS['skipped']} not run: {reason}"]
    for check in found:
        groups.setdefault(str(check.get("assertion") or check["id"]), []).append(check)
    return [_text(name, group) for name, group in groups.items()]


def _text(assertion: str, checks: Checks) -> str:
    """Return the line of one assertion: its mark, name, subjects, counts and figure."""
    counts = Counter(str(check["verdict"]) for check in checks)
    counted = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if counts[verdict])
    mark = lines.MARKS[pairs.worst_verdict(checks)]
    return f"{mark} {assertion:<11} {_subjects(checks):>8}  {counted:<9}  {_figure(checks)}".rstrip()


def _subjects(checks: Checks) -> str:
    """Return the number of pairs, or of nodes where there is no target."""
    found = {(check["source"], check["target"]) for check in checks if check.get("target")}
    count, what = (len(found), "pair") if found else (len({check["source"] for check in checks}), "node")
    return f"{count} {what}{'' if count == 1 else 's'}"


def _figure(checks: Checks) -> str:
    """Return why nothing was checked, else the figures that the observations have, else the longest check."""
    if all(check["verdict"] == "skipped" for check in checks):
        return "; ".join(dict.fromkeys(str(check.get("hint") or "") for check in checks))
    made = [check for check in checks if check["verdict"] == "passed"]
    return ", ".join(filter(None, (figure(made) for figure in _FIGURES))) or _longest(made)


def _round_trips(checks: Checks) -> str:
    worst = _most(checks, pairs.worst_trip)
    return worst and f"worst {worst}"


def _losses(checks: Checks) -> str:
    worst = _most(checks, lambda check: pairs.number(check["observed"], "lost_percent") or None, "{:g} %".format)
    return worst and f"worst loss {worst}"


def _paths(checks: Checks) -> str:
    kinds = Counter(kind for check in checks if (kind := pairs.path_of(check)))
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) if len(kinds) > 1 else "".join(kinds)


def _answers(checks: Checks) -> str:
    worst = _most(checks, lambda check: pairs.number(check["observed"], "ms"))
    return worst and f"slowest {worst}"


def _returns(checks: Checks) -> str:
    worst = _most(checks, lambda check: pairs.number(check["observed"], "after_s"), "{:.1f} s".format)
    return worst and f"slowest {worst}"


_FIGURES: tuple[Callable[[Checks], str], ...] = (_round_trips, _losses, _paths, _answers, _returns)


def _longest(checks: Checks) -> str:
    """Return the check that took longest, if that is long enough to matter."""
    worst = _most(checks, lambda check: found if (found := float(check["duration_ms"])) >= _NOTABLE_MS else None)
    return worst and f"longest {worst}"


def _most(
    checks: Checks, measure: Callable[[Check], float | None], form: Callable[[float], str] = lines.milliseconds
) -> str:
    """Return the largest measure and the pair that it belongs to, empty where nothing was measured."""
    found = [(value, lines.pair(check)) for check in checks if (value := measure(check)) is not None]
    if not found:
        return ""
    value, pair = max(found)
    return f"{form(value)} ({pair})"
