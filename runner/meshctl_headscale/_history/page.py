# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw the history as one page without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from meshctl_headscale._history.summary import Incident, PairHistory, Summary

# A page of a thousand nodes would be too large for a browser; --json has everything.
_MOST_INCIDENTS = 200
_MOST_PAIRS = 300
_MOST_NODES = 300
_MOST_BARS = 30
_COLUMNS = 120
_WIDTH, _HEIGHT = 240.0, 36.0
_WORST = ("failed", "error", "interrupted", "passed")


@dataclass(frozen=True, kw_only=True)
class _Bar:
    """A bar on the time axis, in percent."""

    left: float
    width: float
    verdict: str
    title: str


def render(summary: Summary, *, title: str) -> str:
    """Return the page."""
    import jinja2

    source = Path(__file__).with_name("history.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        clock=clock,
        duration=duration,
        percent=percent,
        ms=milliseconds,
        chart=_chart,
        bar=lambda item: _bar(item, summary),
    )
    worst_first = sorted(summary.pairs, key=lambda pair: (pair.availability is None, pair.availability or 0.0))
    return environment.from_string(source).render(
        title=title,
        summary=summary,
        runs=_runs(summary),
        incidents=summary.incidents[:_MOST_INCIDENTS],
        bars=summary.incidents[:_MOST_BARS],
        pairs=worst_first[:_MOST_PAIRS],
        nodes=sorted(summary.nodes, key=lambda node: (node.availability is None, node.availability or 0.0))[
            :_MOST_NODES
        ],
        flapping=[
            *(node.node for node in summary.nodes if node.flapping),
            *(f"{pair.source} → {pair.target}" for pair in summary.pairs if pair.flapping),
        ],
    )


def _runs(summary: Summary) -> list[_Bar]:
    """Return the runs as columns of equal width, each in the worst verdict of its time."""
    columns: dict[int, list[str]] = {}
    length = max(summary.until - summary.since, 1.0)
    for run in summary.runs:
        place = min(int(_COLUMNS * (run.finished - summary.since) / length), _COLUMNS - 1)
        columns.setdefault(place, []).append(run.verdict)
    width = 100 / _COLUMNS
    return [
        _Bar(
            left=round(place * width, 3),
            width=round(width, 3),
            verdict=next((worst for worst in _WORST if worst in verdicts), "error"),
            title=f"{clock(summary.since + place * length / _COLUMNS)}: {len(verdicts)} runs, "
            f"{sum(verdict == 'passed' for verdict in verdicts)} passed",
        )
        for place, verdicts in sorted(columns.items())
    ]


def _bar(incident: Incident, summary: Summary) -> _Bar:
    length = max(summary.until - summary.since, 1.0)
    began = max(incident.since, summary.since)
    ended = summary.until if incident.until is None else incident.until
    left = min(100 * (began - summary.since) / length, 99.4)
    width = max(min(100 * (ended - began) / length, 100 - left), 0.6)
    return _Bar(left=round(left, 2), width=round(width, 2), verdict=incident.verdict, title=incident.hint)


def _chart(pair: PairHistory) -> list[str]:
    """Return the latency of a pair as lines of a drawing; a gap is a time without a measurement."""
    values = [value for value in pair.slices if value is not None]
    if not values:
        return []
    top = max(*values, 0.001)
    step = _WIDTH / max(len(pair.slices) - 1, 1)
    lines: list[list[str]] = [[]]
    for place, value in enumerate(pair.slices):
        if value is None:
            lines.append([])
        else:
            lines[-1].append(f"{place * step:.1f},{_HEIGHT - 2 - (_HEIGHT - 4) * value / top:.1f}")
    # One point alone is drawn as a short line.
    return [" ".join(points if len(points) > 1 else [points[0], points[0]]) for points in lines if points]


def clock(seconds: float | None) -> str:
    """Return a time for people."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return a duration for people, in its two largest units."""
    rest, parts = round(seconds), []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if rest >= size:
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " ".join(parts[:2]) or "0 s"


def percent(share: float | None) -> str:
    """Return a share in percent, never rounded up to 100."""
    if share is None:
        return "unknown"
    return "100 %" if share == 1 else f"{min(100 * share, 99.99):.2f} %"


def milliseconds(seconds: float | None) -> str:
    """Return a latency."""
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"
