# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Group the incidents that belong together: one node that is down fails many checks, and may do so many times."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshctl_headscale._history.summary import Incident, Summary

CONSEQUENCE = "because of "
_DOCTOR = "doctor."


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time during which an outage lasted."""

    since: float
    until: float
    open: bool
    """Whether it was still going on when it was last seen."""


@dataclass(frozen=True, kw_only=True)
class Outage:
    """Checks that began to fail in the same runs."""

    main: Incident
    """The incident that says most about it."""
    incidents: tuple[Incident, ...]
    """All of them, newest first."""
    spans: tuple[Span, ...]
    """Oldest first, none overlapping another."""

    @property
    def cause(self) -> str:
        """Return what is known of the cause."""
        return self.main.hint or self.main.id

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.spans[-1].open

    @property
    def duration_s(self) -> float:
        """Return how long it lasted in all."""
        return sum(span.until - span.since for span in self.spans)


def outages(summary: Summary) -> list[Outage]:
    """Return the outages of a summary: those that go on first, then the newest."""
    groups: dict[str, list[Incident]] = {}
    for members in _begun_together(summary):
        groups.setdefault(_main(members).hint or _main(members).id, []).extend(members)
    found = [_outage(members) for members in groups.values()]
    return sorted(found, key=lambda outage: (not outage.open, -outage.spans[-1].since))


def _begun_together(summary: Summary) -> Iterator[list[Incident]]:
    """Yield the incidents that began in the same run. Of what began before the first run, nothing is known to be related."""
    ends = [run.finished for run in summary.runs]
    groups: dict[tuple[int, str], list[Incident]] = {}
    for incident in summary.incidents:
        before = incident.since < summary.since
        key = (-1, incident.hint or incident.id) if before else (bisect_left(ends, incident.since), "")
        groups.setdefault(key, []).append(incident)
    yield from groups.values()


def _main(members: Sequence[Incident]) -> Incident:
    """Return the incident that says most: a finding of the doctor, else what most of the checks say."""
    alike = Counter(incident.hint for incident in members)

    def rank(incident: Incident) -> tuple[bool, bool, int, str, str, str]:
        consequence, found = incident.hint.startswith(CONSEQUENCE), incident.id.startswith(_DOCTOR)
        return consequence, not found, -alike[incident.hint], incident.id, incident.source, incident.target

    return min(members, key=rank)


def _outage(members: Sequence[Incident]) -> Outage:
    newest_first = sorted(
        members, key=lambda incident: (-incident.since, incident.id, incident.source, incident.target)
    )
    return Outage(main=_main(newest_first), incidents=tuple(newest_first), spans=tuple(_spans(newest_first)))


def _spans(incidents: Iterable[Incident]) -> Iterator[Span]:
    """Yield the times of incidents, joined where they overlap."""
    joined: Span | None = None
    for incident in sorted(incidents, key=lambda incident: incident.since):
        span = Span(since=incident.since, until=incident.since + incident.duration_s, open=incident.until is None)
        if joined and span.since <= joined.until:
            joined = Span(since=joined.since, until=max(joined.until, span.until), open=joined.open or span.open)
        else:
            if joined:
                yield joined
            joined = span
    if joined:
        yield joined
