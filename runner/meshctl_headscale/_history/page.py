# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw the history as one page without JavaScript."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from meshctl_headscale._history import outages
from meshctl_headscale._history.summary import NodeHistory, PairHistory, Summary

# A page of a thousand nodes would be too large for a browser; --json has everything.
_MOST_OUTAGES = 100
_MOST_INCIDENTS = 30
_MOST_PAIRS = 300
_MOST_NODES = 300
# What is shown before the reader opens the rest.
_FIRST = {"outages": 12, "pairs": 40, "nodes": 40}
_COLUMNS = 160
_WIDTH, _HEIGHT = 240.0, 36.0
_WORST = ("failed", "error", "interrupted", "passed")
# Steps of the time axis in seconds, and how many fit a phone.
_STEPS = (300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400)
_MOST_TICKS = 7
_DAY = 86400


@dataclass(frozen=True, kw_only=True)
class _Bar:
    """A bar on the time axis, in percent."""

    left: float
    width: float
    verdict: str
    title: str = ""
    part: float = 1.0
    """How much of the time it is true."""


@dataclass(frozen=True, kw_only=True)
class _Tick:
    """A mark on the time axis."""

    left: float
    label: str


def render(summary: Summary, *, title: str) -> str:
    """Return the page."""
    import jinja2

    source = Path(__file__).with_name("history.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    axis = Axis(summary.since, summary.until)
    environment.filters.update(
        clock=clock,
        duration=duration,
        percent=percent,
        ms=milliseconds,
        chart=_chart,
        bars=axis.outage,
        strip=axis.node,
    )
    found = outages.outages(summary)
    worst_first = sorted(summary.pairs, key=lambda pair: (pair.availability is None, pair.availability or 0.0))
    return environment.from_string(source).render(
        title=title,
        summary=summary,
        ticks=list(axis.ticks()),
        runs=axis.runs(summary),
        first=_FIRST,
        outages=found,
        most_outages=_MOST_OUTAGES,
        most_incidents=_MOST_INCIDENTS,
        pairs=worst_first[:_MOST_PAIRS],
        nodes=sorted(summary.nodes, key=lambda node: (node.availability is None, node.availability or 0.0))[
            :_MOST_NODES
        ],
        flapping=[
            *(node.node for node in summary.nodes if node.flapping),
            *(f"{pair.source} → {pair.target}" for pair in summary.pairs if pair.flapping),
        ],
    )


class Axis:
    """The time axis of a page."""

    def __init__(self, since: float, until: float) -> None:
        """Keep the span of time."""
        self._since = since
        self._length = max(until - since, 1.0)

    def ticks(self) -> Iterator[_Tick]:
        """Yield marks at full hours or days."""
        step = next((step for step in _STEPS if self._length / step <= _MOST_TICKS), _STEPS[-1])
        step *= max(math.ceil(self._length / step / _MOST_TICKS), 1)
        at = math.ceil(self._since / step) * step
        while at <= self._since + self._length:
            form = "%b %-d" if step >= _DAY or at % _DAY == 0 else "%H:%M"
            yield _Tick(left=self._place(at), label=f"{datetime.fromtimestamp(at, tz=UTC):{form}}")
            at += step

    def runs(self, summary: Summary) -> list[_Bar]:
        """Return the runs in columns, each in the worst verdict of its time; equal neighbours are one bar."""
        columns: dict[int, list[str]] = {}
        for run in summary.runs:
            columns.setdefault(self._column(run.finished, _COLUMNS), []).append(run.verdict)
        worst = {place: _worst(verdicts) for place, verdicts in columns.items()}
        return [
            self._bar(begin, end, _COLUMNS, verdict, [one for place in range(begin, end) for one in columns[place]])
            for begin, end, verdict in _joined(worst)
        ]

    def _bar(self, begin: int, end: int, parts: int, verdict: str, verdicts: list[str]) -> _Bar:
        since, until = (self._since + place * self._length / parts for place in (begin, end))
        passed = sum(one == "passed" for one in verdicts)
        return _Bar(
            left=round(100 * begin / parts, 3),
            width=round(100 * (end - begin) / parts, 3),
            verdict=verdict,
            title=f"{clock(since)} to {clock(until)}: {passed} of {len(verdicts)} runs passed",
        )

    def outage(self, outage: outages.Outage) -> list[_Bar]:
        """Return when an outage lasted."""
        bars = []
        for span in outage.spans:
            left = min(self._place(max(span.since, self._since)), 99.5)
            # What goes on has no end yet.
            until = self._since + self._length if span.open else span.until
            width = max(min(self._place(until), 100.0) - left, 0.5)
            title = f"{clock(span.since)}, {duration(span.until - span.since)}{' so far' if span.open else ''}"
            bars.append(_Bar(left=round(left, 2), width=round(width, 2), verdict=outage.main.verdict, title=title))
        return bars

    def node(self, node: NodeHistory) -> list[_Bar]:
        """Return when a node was online, and when not."""
        known = {place: share for place, share in enumerate(node.slices) if share is not None}
        parts = len(node.slices)
        return [
            _Bar(
                left=round(100 * begin / parts, 3),
                width=round(100 * (end - begin) / parts, 3),
                verdict="passed" if share == 1 else "failed",
                part=1.0 if share == 1 else round(max(1 - share, 0.4), 2),
            )
            for begin, end, share in _joined(known)
        ]

    def _column(self, at: float, columns: int) -> int:
        return min(int(columns * (at - self._since) / self._length), columns - 1)

    def _place(self, at: float) -> float:
        return round(100 * (at - self._since) / self._length, 3)


_Value = TypeVar("_Value", str, float)


def _joined(values: Mapping[int, _Value]) -> Iterator[tuple[int, int, _Value]]:
    """Yield begin, end and value of neighbours that are equal."""
    begin = end = -1
    for place, value in sorted(values.items()):
        if place == end and value == values[begin]:
            end += 1
            continue
        if begin >= 0:
            yield begin, end, values[begin]
        begin, end = place, place + 1
    if begin >= 0:
        yield begin, end, values[begin]


def _worst(verdicts: Sequence[str]) -> str:
    return next((worst for worst in _WORST if worst in verdicts), "error")


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
