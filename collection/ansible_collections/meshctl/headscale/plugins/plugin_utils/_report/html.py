# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Render the report as one HTML page. It is whole without JavaScript, which only adds a search field."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations.pairs import sentence
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import (
    drawing,
    heat,
    lines,
    model,
    pairs,
    policy,
    routes,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import seconds_between

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report, Story
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

_CARDS = 60
_MORE = 600
_LISTED = 8
_GROUP_FROM = 400
_ROWS_OF_BAD = 500
_EVIDENCE_LIMIT = 6000
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_TICKS = 9
# The page runs this script and no other, whatever hosts have said.
_SCRIPT = Path(__file__).with_name("report.js").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'"
_NODE = dict.fromkeys(("node_id", "mesh_name", "subnet", "address", "public_address", "nat"), "")


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Bad checks that assert the same thing and have the same cause."""

    check: Check
    others: list[Check]
    hidden: int


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
        short=_short, pretty=_pretty, seconds=_seconds, who=lines.pair, mark=heat.MARKS.get, clock=_clock
    )
    return environment.from_string(source).render(
        report=report,
        groups=groups[:_CARDS],
        more=groups[_CARDS:_MORE],
        rest=max(len(groups) - _MORE, 0),
        search=_search(report),
        script=_SCRIPT,
        policy_of_script=_POLICY,
        drawing=drawing.draw(report),
        sample=sentence(report.pairs) if report.pairs else "",
        grids=list(heat.grids(report)),
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
    """Yield the rows of a story's table; where there are too many to read, those alike are put together."""
    checks = report.of_story(story.id)
    grouped = len(checks) > _GROUP_FROM
    together: dict[tuple[str, str, str], list[Check]] = {}
    bad = 0
    for check in checks:
        kind = check["verdict"] if check["verdict"] in BAD else ""
        bad += bool(kind)
        if grouped and (not kind or bad > _ROWS_OF_BAD):
            together.setdefault((check["id"], check["source"], kind), []).append(check)
        else:
            yield _row(check)
    for alike in together.values():
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
    """Return the row of many checks from one host which are alike."""
    values = [value for check in checks if (value := pairs.round_trip(check)) is not None]
    worst = f", worst median {heat.number(max(values))} ms" if values else ""
    return _Row(
        verdict=pairs.worst_verdict(checks),
        id=checks[0]["id"],
        who=f"{checks[0]['source']} → {len(checks)} hosts",
        expected=_short(checks[0]["expected"], 90),
        observed=f"{len(checks)} checks alike{worst}",
        duration=_duration(max(check["duration_ms"] for check in checks)),
    )


def _search(report: Report) -> str:
    """Return the pairs of a large report as JSON for the search: source, target, verdict, round trip in ms and path."""
    names = {name: number for number, name in enumerate(report.hosts)}
    if len(names) <= heat.MOST_NODES:
        return ""
    paths = {pair: link.path for link in pairs.links(report) for pair in ((link.a, link.b), (link.b, link.a))}
    found = [
        [
            names[source],
            names[target],
            cell.verdict,
            None if cell.value is None else round(cell.value, 1),
            paths.get((source, target), ""),
        ]
        for (source, target), cell in pairs.latencies(report).items()
        if source in names and target in names
    ]
    text = json.dumps({"names": list(names), "pairs": found}, ensure_ascii=False, separators=(",", ":"))
    # Nothing in it can end the element.
    return text.replace("<", "\\u003c")


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
