# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Combine the reports of the slices of a run into the report that the run would have had without slices. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.relate import relate
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import SUPPORTED
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Counts, Note, Report, Story

# A check that several slices made has the worst of their verdicts.
_WORST_FIRST = ("failed", "error", "passed", "skipped")
_SERVER = "server_url"
_SAME = ("backend", "lab_name", _SERVER)


def merge(reports: Sequence[Report], *, run_id: str, command: str = "") -> Report:
    """Return one report of all slices; raise `BadInput` if they are not of one mesh."""
    _check(reports)
    checks = relate(_checks(reports))
    stories = [_story(name, reports, checks) for name in _names(reports)]
    began = {story.id for story in stories}
    interrupted = any(report.verdict == "interrupted" for report in reports)
    incomplete = any(map(_incomplete, reports))
    started, finished = min(one.started for one in reports), max(one.finished for one in reports)
    counts = Counts.of(checks)
    return Report(
        run_id=run_id,
        started=started,
        finished=finished,
        duration_s=round(model.seconds_between(started, finished), 3),
        verdict=model.run_verdict(stories, counts, interrupted=interrupted, incomplete=incomplete),
        command=command or reports[0].command,
        playbooks=list(dict.fromkeys(playbook for report in reports for playbook in report.playbooks)),
        versions=_union(report.versions for report in reports),
        inventory=dict(reports[0].inventory),
        topology={"hosts": _hosts(reports)},
        # Each slice that has read the list of nodes describes the sample of the whole mesh.
        pairs=next((dict(report.pairs) for report in reports if report.pairs), {}),
        stories=stories,
        not_run=[one for one in dict.fromkeys(n for report in reports for n in report.not_run) if one not in began],
        notes=_notes(reports),
        counts=counts,
        checks=checks,
    )


def _check(reports: Sequence[Report]) -> None:
    for key in _SAME:
        # Not every inventory states the URL, and older reports lack it.
        first, *rest = [one for one in reports if key != _SERVER or one.inventory.get(key)] or [reports[0]]
        for report in rest:
            ours, theirs = first.inventory.get(key), report.inventory.get(key)
            if ours != theirs:
                raise BadInput(
                    f"{report.run_id} is not a slice of the same mesh as {first.run_id}: its {key} is {theirs!r}, not {ours!r}"
                )


def _incomplete(report: Report) -> bool:
    """Whether a slice is an error although no check says so. A slice that skipped all of its checks is complete."""
    idle = report.counts.total and report.counts.skipped == report.counts.total
    lost = any(note.kind == "report" for note in report.notes)
    return report.verdict == "error" and not report.bad_checks and (lost or not idle)


def _checks(reports: Sequence[Report]) -> list[Check]:
    """Return every check once, in the order of the stories and then of the slices."""
    order = {name: number for number, name in enumerate(_names(reports))}
    found: list[Check] = []
    places: dict[str, int] = {}
    for report in reports:
        before = dict(places)
        for check in report.checks:
            place = before.get(key := _identity(check))
            if place is None:
                places[key] = len(found)
                found.append(check)
            elif _rank(check) < _rank(found[place]):
                found[place] = check
    return sorted(found, key=lambda check: order.get(check["story"], -1))


def _identity(check: Check) -> str:
    """Return what a check is about: two slices may both have asked the control server."""
    # In each slice, another host states that the story cannot run.
    source = "" if check["assertion"] == SUPPORTED else check["source"]
    return json.dumps([check["id"], source, check["target"], check["expected"]], sort_keys=True)


def _rank(check: Check) -> int:
    return _WORST_FIRST.index(check["verdict"])


def _names(reports: Iterable[Report]) -> list[str]:
    return list(dict.fromkeys(story.id for report in reports for story in report.stories))


def _story(name: str, reports: Sequence[Report], checks: Iterable[Check]) -> Story:
    parts = [story for report in reports for story in report.stories if story.id == name]
    own = [check for check in checks if check["story"] == name]
    counts = Counts.of(own)
    started, finished = min(part.started for part in parts), max(part.finished for part in parts)
    return Story(
        id=name,
        title=parts[0].title,
        verdict=model.story_verdict(
            counts,
            interrupted=any(part.verdict == "interrupted" for part in parts),
            supported=not model.unsupported(own),
        ),
        started=started,
        finished=finished,
        duration_s=round(model.seconds_between(started, finished), 3),
        counts=counts,
    )


def _notes(reports: Iterable[Report]) -> list[Note]:
    found: list[Note] = []
    for note in (note for report in reports for note in report.notes):
        if note not in found:
            found.append(note)
    return found


def _hosts(reports: Iterable[Report]) -> dict[str, dict[str, Any]]:
    """Return what the slices know of each host: only its own knows its versions."""
    found: dict[str, dict[str, Any]] = {}
    for host, facts in (item for report in reports for item in report.hosts.items()):
        own = found.setdefault(host, {})
        own |= {key: value for key, value in facts.items() if value or key not in own}
    return found


def _union(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return every version of each program; hosts may have different ones."""
    found: dict[str, set[str]] = {}
    for name, value in (item for part in parts for item in part.items()):
        found.setdefault(name, set()).update(value.split(", "))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}
