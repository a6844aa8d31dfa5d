# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Incidents that belong together are one outage, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

import watch_week
from meshctl_headscale._history import outages, page, store, summary
from meshctl_headscale._history.summary import Incident, Run, Summary
from watch_reports import START

HOUR = 3600.0


def incident(since: float, hours: float, *, hint: str = "", ended: bool = True, **fields: str) -> Incident:
    named = {"id": "us1.reachable.ipv4", "source": "one", "target": "two", "verdict": "failed", **fields}
    until = since + hours * HOUR if ended else None
    return Incident(hint=hint, since=since, until=until, ended="", runs=1, duration_s=hours * HOUR, **named)


def seen(*incidents: Incident, since: float = START, until: float = START + 24 * HOUR) -> list[outages.Outage]:
    runs = tuple(Run(run_id=str(hour), finished=START + hour * HOUR, verdict="failed") for hour in range(25))
    return outages.outages(
        Summary(since=since, until=until, runs=runs, incidents=incidents, stories=(), nodes=(), pairs=())
    )


def test_what_begins_in_one_run_is_one_outage_named_by_what_most_checks_say() -> None:
    (outage,) = seen(
        incident(START + 100, 2, hint="two does not answer"),
        incident(START + 200, 3, hint="two does not answer", source="three"),
        incident(START + 300, 1, hint="one does not answer", source="two", target="one"),
    )
    assert outage.cause == "two does not answer"
    assert [(span.since, span.until, span.open) for span in outage.spans] == [
        (START + 100, START + 200 + 3 * HOUR, False)
    ]
    assert len(outage.incidents) == 3


def test_a_finding_of_the_doctor_says_more_than_checks_and_than_its_consequences() -> None:
    (outage,) = seen(
        incident(START + 1, 1, hint="two does not answer"),
        incident(START + 2, 1, hint="because of doctor.relay on relay", id="doctor.client", target=""),
        incident(START + 3, 1, hint="UDP port 3478 is closed", id="doctor.relay", source="relay", target=""),
    )
    assert (outage.main.id, outage.cause) == ("doctor.relay", "UDP port 3478 is closed")


def test_a_later_problem_is_another_outage_and_what_goes_on_comes_first() -> None:
    first, second = seen(
        incident(START + 5 * HOUR, 1, hint="the disk is full", source="three", target=""),
        incident(START + 1, 20, hint="the key has expired", ended=False, target=""),
    )
    assert (first.cause, first.open) == ("the key has expired", True)
    assert (second.cause, second.open) == ("the disk is full", False)


def test_the_same_cause_again_is_one_outage_with_two_times() -> None:
    (outage,) = seen(
        incident(START + 10 * HOUR, 1, hint="two does not answer"),
        incident(START + HOUR, 2, hint="two does not answer"),
    )
    assert [span.since for span in outage.spans] == [START + HOUR, START + 10 * HOUR]
    assert outage.duration_s == 3 * HOUR


def test_what_began_before_the_first_run_is_not_thought_to_be_related() -> None:
    before = START - HOUR
    assert len(seen(incident(before, 2, hint="a"), incident(before, 2, hint="b"))) == 2


def test_without_a_hint_the_check_names_the_outage() -> None:
    (outage,) = seen(incident(START + 1, 1))
    assert outage.cause == "us1.reachable.ipv4"


def test_the_page_of_a_week_is_short_and_has_a_time_axis(tmp_path: Path) -> None:
    file = tmp_path / "week.sqlite"
    watch_week.write(file, every_s=HOUR)
    with store.Store(file) as history:
        found = summary.summarize(history, START, START + watch_week.WEEK)
    html = page.render(found, title="week")
    assert len(found.incidents) > 40
    assert re.findall(r"<b>(\d+)</b>outages", html) == ["1", "3"]
    assert re.findall(r">(Mar \d+)<", html) == [f"Mar {day}" for day in range(2, 9)]
    assert "<b>laptop</b>" in html
    assert len(html) < 100_000
    (laptop,) = [node for node in found.nodes if node.node == "laptop"]
    assert len(laptop.slices) == 60
    assert 0.9 < (laptop.availability or 0) < 1
    assert {share for share in laptop.slices if share is not None} > {0.0, 1.0}


def test_the_time_axis_fits_a_phone_for_every_length() -> None:
    for hours in (0.1, 1, 3, 12, 24, 72, 168, 720, 24 * 365):
        ticks = list(page.Axis(START, START + hours * HOUR).ticks())
        assert 1 <= len(ticks) <= 8, hours
        assert all(0 <= tick.left <= 100 for tick in ticks)
