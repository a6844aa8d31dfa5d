# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sum up a history: what failed when, availability, latency and what flaps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from meshctl_headscale._history import flapping
from meshctl_headscale._history.store import Store

_PERCENTILES = (50, 90, 99)
_SLICES = 60


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A check that failed, from its first bad run to the first good one."""

    id: str
    source: str
    target: str
    verdict: str
    hint: str
    since: float
    until: float | None
    ended: str
    """`passed` (or was looked for again and not found), `removed` (the host left the inventory), or nothing while it goes on."""
    runs: int
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class PairHistory:
    """How a node reached another one over time."""

    source: str
    target: str
    runs: int
    availability: float | None
    latency_s: dict[str, float]
    """Percentiles of the median round trips of the runs."""
    worst_loss: float | None
    direct: float | None
    """Share of the runs in which the path was direct."""
    flapping: bool
    slices: tuple[float | None, ...]
    """The median latency in each of equal parts of the time, for a chart."""


@dataclass(frozen=True, kw_only=True)
class NodeHistory:
    """How a node was over time."""

    node: str
    runs: int
    availability: float | None
    changes: int
    flapping: bool
    online: bool | None
    last_seen: float | None
    expiry: float | None
    version: str
    slices: tuple[float | None, ...]
    """In which share of the runs it was online, in each of equal parts of the time."""


@dataclass(frozen=True, kw_only=True)
class StoryHistory:
    """How a story ended over time."""

    story: str
    runs: int
    passed: int
    last_verdict: str
    last_finished: float
    median_duration_s: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, for the timeline."""

    run_id: str
    finished: float
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The documented object of `meshctl history --json`."""

    since: float
    until: float
    runs: tuple[Run, ...]
    incidents: tuple[Incident, ...]
    stories: tuple[StoryHistory, ...]
    nodes: tuple[NodeHistory, ...]
    pairs: tuple[PairHistory, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        return asdict(self)


def summarize(store: Store, since: float, until: float) -> Summary:
    """Return what a history says of a span of time."""
    span = (since, until)
    runs = store.rows(
        "SELECT run_id, finished, verdict FROM run WHERE finished BETWEEN ? AND ? ORDER BY finished", *span
    )
    return Summary(
        since=since,
        until=until,
        runs=tuple(Run(run_id=key, finished=at, verdict=verdict) for key, at, verdict in runs),
        incidents=tuple(_incidents(store, *span)),
        stories=tuple(_stories(store, *span)),
        nodes=tuple(_nodes(store, *span)),
        pairs=tuple(_pairs(store, *span)),
    )


def _incidents(store: Store, since: float, until: float) -> Iterator[Incident]:
    """Yield the incidents that touch the span, newest first."""
    rows = store.rows(
        "SELECT check_id, source, target, verdict, hint, since, until, ended, runs, seen FROM incident "
        "WHERE since <= ? AND coalesce(until, ?) >= ? ORDER BY since DESC, id DESC",
        until, until, since,
    )  # fmt: skip
    for check, source, target, verdict, hint, began, ended, how, runs, seen in rows:
        yield Incident(
            id=check, source=source, target=target, verdict=verdict, hint=hint, since=began, until=ended, ended=how,
            runs=runs, duration_s=round((seen if ended is None else ended) - began, 3),
        )  # fmt: skip


def _stories(store: Store, since: float, until: float) -> Iterator[StoryHistory]:
    rows = store.rows(
        "SELECT story, s.verdict, s.finished, s.duration_s FROM story_run s JOIN run ON run.id = s.run "
        "WHERE run.finished BETWEEN ? AND ? ORDER BY story, s.finished",
        since, until,
    )  # fmt: skip
    for story, group in groupby(rows, key=lambda row: str(row[0])):
        found = list(group)
        yield StoryHistory(
            story=story,
            runs=len(found),
            passed=sum(row[1] == "passed" for row in found),
            last_verdict=found[-1][1],
            last_finished=found[-1][2],
            median_duration_s=percentile(sorted(row[3] for row in found), 50),
        )


def _nodes(store: Store, since: float, until: float) -> Iterator[NodeHistory]:
    rows = store.rows(
        "SELECT name.text, s.online, node.online, node.last_seen, node.expiry, node.version, run.finished FROM node_sample s "
        "JOIN run ON run.id = s.run JOIN name ON name.id = s.node LEFT JOIN node ON node.node = s.node "
        "WHERE run.finished BETWEEN ? AND ? ORDER BY name.text, run.finished",
        since, until,
    )  # fmt: skip
    for name, group in groupby(rows, key=lambda row: str(row[0])):
        found = list(group)
        states = [bool(row[1]) for row in found if row[1] is not None]
        _name, _online, online, last_seen, expiry, version, _finished = found[-1]
        parts = _slices([(row[6], row[1]) for row in found if row[1] is not None], since, until)
        yield NodeHistory(
            node=name,
            runs=len(found),
            availability=_share(states),
            changes=flapping.changes(states),
            flapping=flapping.flaps(states),
            online=None if online is None else bool(online),
            last_seen=last_seen,
            expiry=expiry,
            version=version or "",
            slices=tuple(map(_share, parts)),
        )


def _pairs(store: Store, since: float, until: float) -> Iterator[PairHistory]:
    rows = store.rows(
        "SELECT a.text, b.text, p.reachable, p.latency_s, p.loss, path.text, run.finished FROM pair_sample p "
        "JOIN run ON run.id = p.run JOIN name a ON a.id = p.source JOIN name b ON b.id = p.target "
        "LEFT JOIN name path ON path.id = p.path WHERE run.finished BETWEEN ? AND ? "
        "ORDER BY a.text, b.text, run.finished",
        since, until,
    )  # fmt: skip
    for (source, target), group in groupby(rows, key=lambda row: (str(row[0]), str(row[1]))):
        found = list(group)
        states = [bool(row[2]) for row in found if row[2] is not None]
        measured = sorted(row[3] for row in found if row[3] is not None)
        paths = [row[5] == "direct" for row in found if row[5]]
        yield PairHistory(
            source=source,
            target=target,
            runs=len(found),
            availability=_share(states),
            latency_s={f"p{share}": percentile(measured, share) for share in _PERCENTILES} if measured else {},
            worst_loss=max((row[4] for row in found if row[4] is not None), default=None),
            direct=_share(paths),
            flapping=flapping.flaps(states),
            slices=tuple(
                percentile(sorted(part), 50) if part else None
                for part in _slices([(row[6], row[3]) for row in found if row[3] is not None], since, until)
            ),
        )


def _slices(points: Sequence[tuple[float, float]], since: float, until: float) -> list[list[float]]:
    """Return the values of each part of the time."""
    parts: list[list[float]] = [[] for _ in range(_SLICES)]
    width = max(until - since, 1.0) / _SLICES
    for at, value in points:
        parts[min(int((at - since) / width), _SLICES - 1)].append(value)
    return parts


def _share(states: Iterable[float]) -> float | None:
    found = list(states)
    return sum(found) / len(found) if found else None


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    return ordered[max(math.ceil(share / 100 * len(ordered)), 1) - 1]
