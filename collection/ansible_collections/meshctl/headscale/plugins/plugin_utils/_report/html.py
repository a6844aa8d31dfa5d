# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Render the report as one HTML page without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import (
    drawing,
    lines,
    model,
    pairs,
    policy,
    routes,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import seconds_between

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report, Story
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.pairs import Cell, Matrix
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.scrub import Json

# Upper bounds of the heat map's steps. They are the same in every report, so that two can be laid side by side.
HEAT_MS = (1, 2, 5, 10, 20, 50)
# Lower bounds, in Mbit/s.
HEAT_MBIT = (500, 200, 100, 50, 10, 1)
_CARDS = 60
_LISTED = 8
_GROUP_FROM = 400
_EVIDENCE_LIMIT = 6000
_DENSE_FROM = 13
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_TICKS = 9
_NODE = dict.fromkeys(("node_id", "mesh_name", "subnet", "address", "public_address", "nat"), "")
_MARKS = {"failed": "✕", "error": "!", "skipped": "·", "passed": "✓"}


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Bad checks that assert the same thing and have the same cause."""

    check: Check
    others: list[Check]
    hidden: int


@dataclass(frozen=True, kw_only=True)
class _Square:
    """One cell of a matrix."""

    text: str
    style: str
    title: str


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """A matrix that is ready to be written."""

    title: str
    names: list[str]
    rows: list[tuple[str, list[_Square]]]
    dense: bool
    note: str
    unit: str
    keys: list[str]


@dataclass(frozen=True, kw_only=True)
class _Bar:
    """A span on the time axis, in percent of the run."""

    label: str
    left: float
    width: float
    verdict: str
    text: str
    story: bool = False


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of the table of checks: one check, or many that passed alike."""

    verdict: str
    id: str
    who: str
    expected: str
    observed: str
    duration: str


def render(report: Report) -> str:
    """Return the report as a self-contained page."""
    import jinja2

    report = model.visible(report)
    groups = list(_groups(report))
    # `FileSystemLoader` would want the folder to be one for templates alone.
    source = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        short=_short, pretty=_pretty, seconds=_seconds, who=lines.pair, mark=_MARKS.get, clock=_clock
    )
    return environment.from_string(source).render(
        report=report,
        groups=groups[:_CARDS],
        more=groups[_CARDS:],
        drawing=drawing.draw(report),
        grids=list(_grids(report)),
        ways=routes.ways(report),
        latency=pairs.latency(report),
        rates=pairs.rates(report),
        policies=list(policy.pictures(report)),
        axis=_axis(report),
        bars=list(_bars(report)),
        tables=[(story, list(_rows(report, story))) for story in report.stories],
        nodes=[(name, _NODE | host) for name, host in report.hosts.items() if host.get("mesh_addresses")],
    )


def _groups(report: Report) -> Iterator[_Group]:
    """Yield a card for each group of similar bad checks."""
    for checks in pairs.alike(report.bad_checks):
        rest = checks[1:]
        yield _Group(check=checks[0], others=rest[:_LISTED], hidden=max(len(rest) - _LISTED, 0))


def _grids(report: Report) -> Iterator[_Grid]:
    """Yield the matrices that the report has data for."""
    families = pairs.families(report)
    names = {"ipv4": "IPv4", "ipv6": "IPv6"}
    for family in families or [""]:
        title = f"Latency, {names[family]}" if family else "Latency"
        yield from _grid(report, title, pairs.latencies(report, family or None), "median round trip in ms")
    yield from _grid(report, "Name resolution", pairs.resolutions(report), "time to the answer in ms")
    yield from _grid(report, "Transfers", pairs.transfers(report), "lowest rate of a transfer in Mbit/s", rates=True)


def _grid(report: Report, title: str, matrix: Matrix, note: str, *, rates: bool = False) -> Iterator[_Grid]:
    """Yield a matrix, if anything is in it."""
    if not matrix:
        return
    names = pairs.nodes(matrix, report)
    # A name that is only asked for has a column and no row.
    sources = {source for source, _target in matrix}
    rows = [
        (source, [_square(source, target, matrix.get((source, target)), rates=rates) for target in names])
        for source in names
        if source in sources
    ]
    keys = [f"≥ {bound}" for bound in HEAT_MBIT] if rates else [f"≤ {bound}" for bound in HEAT_MS]
    yield _Grid(
        title=title, names=names, rows=rows, dense=len(names) >= _DENSE_FROM, note=note,
        unit="Mbit/s" if rates else "ms", keys=[*keys, "less" if rates else "more"],
    )  # fmt: skip


def _square(source: str, target: str, cell: Cell | None, *, rates: bool) -> _Square:
    """Return one cell: a number in its heat, or the mark of what went wrong."""
    if source == target:
        return _Square(text="", style="self", title="")
    if cell is None:
        return _Square(text="", style="none", title=f"{source} → {target}: not asserted")
    value = "" if cell.value is None else f", {_number(cell.value)} {'Mbit/s' if rates else 'ms'}"
    title = f"{source} → {target}: {cell.verdict}{value}"
    if cell.verdict != "passed" or cell.value is None:
        return _Square(text=_MARKS[cell.verdict], style=cell.verdict, title=title)
    step = sum(cell.value < bound for bound in HEAT_MBIT) if rates else sum(cell.value > bound for bound in HEAT_MS)
    return _Square(text=_number(cell.value), style=f"h{step}", title=title)


def _axis(report: Report) -> list[tuple[float, str]]:
    """Return the ticks of the time axis: some eight of them, at round seconds."""
    total = max(report.duration_s, 0.001)
    step = next((step for step in _STEPS_S if total / step <= _TICKS), _STEPS_S[-1] * max(total // 36000, 1))
    return [(round(100 * step * index / total, 2), f"{step * index:g}") for index in range(int(total / step) + 1)]


def _bars(report: Report) -> Iterator[_Bar]:
    """Yield a bar for each story, and below it one for each thing that it asserted."""
    for story in report.stories:
        yield _bar(report, story)
        for name, checks in pairs.by_id(report.of_story(story.id)).items():
            ends = [seconds_between(report.started, check["at"]) for check in checks if check["at"]]
            if not ends:
                continue
            start = min(end - check["duration_ms"] / 1000 for end, check in zip(ends, checks, strict=False))
            left, width = _span(report, max(start, 0), max(ends))
            text = f"{len(checks)} check{'s' if len(checks) != 1 else ''}, {_seconds(max(ends) - start)}"
            yield _Bar(label=name, left=left, width=width, verdict=pairs.worst_verdict(checks), text=text)


def _bar(report: Report, story: Story) -> _Bar:
    """Return the bar of a story."""
    start, end = (seconds_between(report.started, moment) for moment in (story.started, story.finished))
    left, width = _span(report, start, end)
    text = _seconds(story.duration_s)
    return _Bar(label=story.id, left=left, width=width, verdict=story.verdict, text=text, story=True)


def _span(report: Report, start: float, end: float) -> tuple[float, float]:
    """Return where a bar begins and how wide it is, in percent of the run; nothing is too short to be seen."""
    total = max(report.duration_s, 0.001)
    left = min(100 * start / total, 99.6)
    return round(left, 2), round(max(min(100 * (end - start) / total, 100 - left), 0.4), 2)


def _rows(report: Report, story: Story) -> Iterator[_Row]:
    """Yield the rows of a story's table; passes are put together where there are too many to read."""
    checks = report.of_story(story.id)
    grouped = len(checks) > _GROUP_FROM
    passed: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if grouped and check["verdict"] not in BAD:
            passed.setdefault((check["id"], check["source"]), []).append(check)
        else:
            yield _row(check)
    for alike in passed.values():
        yield _row(alike[0]) if len(alike) == 1 else _row_of(alike)


def _row(check: Check) -> _Row:
    """Return the row of one check."""
    return _Row(
        verdict=check["verdict"],
        id=check["id"],
        who=lines.pair(check),
        expected=_short(check["expected"], 90),
        observed=check["hint"] if check["verdict"] == "skipped" else _short(check["observed"], 140),
        duration=_duration(check["duration_ms"]),
    )


def _row_of(checks: list[Check]) -> _Row:
    """Return the row of many checks from one host which did not fail."""
    values = [value for check in checks if (value := pairs.round_trip(check)) is not None]
    worst = f", worst median {_number(max(values))} ms" if values else ""
    return _Row(
        verdict=pairs.worst_verdict(checks),
        id=checks[0]["id"],
        who=f"{checks[0]['source']} → {len(checks)} hosts",
        expected=_short(checks[0]["expected"], 90),
        observed=f"{len(checks)} checks alike{worst}",
        duration=_duration(max(check["duration_ms"] for check in checks)),
    )


def _short(value: Json, limit: int = 400) -> str:
    """Return JSON data as people write it, not too long."""
    if value is None:
        return ""
    if isinstance(value, dict):
        line = ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    else:
        line = _plain(value)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return one JSON value without needless quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _pretty(value: Json) -> str:
    """Return JSON data over several lines: one for each fact."""
    if isinstance(value, dict):
        text = "\n".join(f"{key}: {_plain(item)}" for key, item in value.items())
    else:
        text = json.dumps(value, ensure_ascii=False, indent=2)
    return text if len(text) <= _EVIDENCE_LIMIT else f"{text[:_EVIDENCE_LIMIT]}\n… the rest is in report.json"


def _number(value: float) -> str:
    """Return a measure in three characters or so."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits are enough


def _seconds(value: float) -> str:
    """Return a duration for people."""
    minutes, seconds = divmod(value, 60)
    if minutes:
        return f"{int(minutes)} min {seconds:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004


def _duration(milliseconds: float) -> str:
    """Return a check's duration for people."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"  # noqa: PLR2004


def _clock(moment: str) -> str:
    """Return a time of the report for people."""
    try:
        return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return moment
