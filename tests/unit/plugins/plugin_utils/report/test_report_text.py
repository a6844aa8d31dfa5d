# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the terminal shows of a report and of a comparison, and what a comparison finds."""

from __future__ import annotations

import io
from typing import Any

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import compare, model, text
from rich.console import Console

DETAILS: tuple[text.Detail, ...] = ("headline", "digest", "checks")


def shown(comparison: compare.Comparison, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    text.comparison(comparison, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def find(report: model.Report, name: str) -> dict[str, Any]:
    return next(check for check in report.checks if check["id"] == name)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("report", [builder.passing(), builder.failing(), builder.failing(20)])
def test_the_summary_keeps_to_the_width(report: model.Report, width: int) -> None:
    lines = text.as_text(report, run_dir="runs/20261122T213000Z-all", width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[-1] == "report   runs/20261122T213000Z-all/report.html"


def test_the_summary_tells_stories_addresses_and_latency() -> None:
    page = text.as_text(builder.passing(), width=160, detail="checks")
    assert "us2     Paths across networks are direct and encrypted   passed" in page
    assert "100.64.0.2 fd7a:115c:a1e0::2   10.0.0.10" in page
    assert "median 2.2 ms, worst 5.3 ms (client-node-3 → client-node-1), 6 pairs" in page
    assert "PASSED  53 passed, 0 failed, 1 skipped" in page
    assert "\x1b" not in page


def test_the_summary_has_a_line_for_each_assertion_or_each_check_or_neither() -> None:
    report = builder.passing()
    sizes = {detail: len(text.as_text(report, detail=detail, width=200).splitlines()) for detail in DETAILS}
    assertions = {(check["story"], check["assertion"]) for check in report.checks}
    stories = 2 * len(report.stories)
    assert sizes["digest"] - sizes["headline"] in range(len(assertions) + stories, len(assertions) + stories + 2)
    assert sizes["checks"] - sizes["headline"] > len(report.checks) + stories


def test_a_story_that_the_inventory_cannot_run_is_one_line() -> None:
    play = builder.Builder()
    play.collector.enter("us6", "US6 routes", play.tick(0.1))
    play.task([play.check("us6.supported", "client-node-1", verdict="skipped", hint="no route: set mesh_routes")])
    play.task([play.check("us6.registered", "headscale-server", "client-node-1")])
    report = play.report()
    assert [story.verdict for story in report.stories] == ["skipped"]
    assert text.as_text(report).splitlines()[:2] == ["US6 routes", "– not run: no route: set mesh_routes"]  # noqa: RUF001
    play.task([play.check("us6.registered", "headscale-server", "client-node-2", verdict="failed")])
    report = play.report()
    assert [story.verdict for story in report.stories] == ["failed"]
    assert "FAILED us6.registered" in text.as_text(report)


def test_hostile_text_is_shown_and_does_nothing() -> None:
    report = builder.failing()
    for field in ("id", "source", "hint", "assertion", "reproduce"):
        report.bad_checks[0][field] = "[bold][/] \x1b[2J \u202e \x9b"
    report.stories[0].title = report.not_run[0] = report.notes[0].message = "[/] \x1b[2J"
    for detail in DETAILS:
        page = text.as_text(report, width=300, detail=detail)
        assert r"[bold][/] \x1b[2J \u202e \x9b" in page
        assert not {"\x1b", "\u202e", "\x9b"} & set(page)


def test_the_summary_shows_each_cause_once() -> None:
    page = text.as_text(builder.failing(20), width=160)
    assert page.count("FAILED us1.reachable.ipv4") == 1
    assert "/etc/hosts on client-node-1 answers in place of MagicDNS" in page
    assert "us3                                          not run" in page or "not run" in page
    assert "'Wait for the old key' on client-node-3 (us4.yml:31): Timeout" in page


def test_brackets_in_values_are_no_markup() -> None:
    report = builder.failing()
    report.bad_checks[0]["hint"] = "look at [bold]this[/bold] and [/nonsense]"
    assert "[bold]this[/bold] and [/nonsense]" in text.as_text(report, width=160)


def test_the_same_run_twice_has_no_difference() -> None:
    found = compare.compare(builder.passing(), builder.passing())
    assert not found.worse
    assert "Nothing changed" in shown(found)


def test_what_broke_what_was_fixed_and_what_still_fails() -> None:
    good, bad = builder.passing(), builder.failing()
    broke = compare.compare(good, bad)
    assert broke.worse
    assert {change.id for change in broke.broke} == {check["id"] for check in bad.bad_checks}
    assert {change.id.partition(".")[0] for change in broke.removed} == {"us2", "us3"}
    fixed = compare.compare(bad, good)
    assert not fixed.worse
    assert len(fixed.fixed) == len(bad.bad_checks)
    assert len(compare.compare(bad, bad).still_failing) == len(bad.bad_checks)


def test_a_new_check_that_fails_makes_it_worse_and_a_skipped_one_is_unproven() -> None:
    old, new = builder.passing(), builder.passing()
    old.checks = [check for check in old.checks if check["id"] != "us3.listening"]
    find(new, "us3.listening")["verdict"] = "failed"
    find(new, "us2.encrypted")["verdict"] = "skipped"
    found = compare.compare(old, new)
    assert found.worse and [change.id for change in found.added] == ["us3.listening"]
    assert [change.id for change in found.unproven] == ["us2.encrypted"]
    page = shown(found)
    assert "New, and bad (1)" in page and "No longer proven (1)" in page


def test_repeated_checks_are_compared_one_by_one() -> None:
    old, new = builder.passing(), builder.passing()
    for report in (old, new):
        report.checks.append({**find(report, "us1.rejoins.down"), "duration_ms": 1.0})
    new.checks[-1]["verdict"] = "failed"
    assert len(compare.compare(old, new).broke) == 1


def test_slower_is_more_than_noise_and_more_than_the_threshold() -> None:
    old, new = builder.passing(), builder.passing()
    first, second = [check for check in new.checks if check["id"] == "us1.reachable.latency"][:2]
    first["observed"]["median_ms"] = 48.0
    second["observed"]["median_ms"] *= 1.9
    find(new, "us1.rejoins.link")["duration_ms"] = 14000.0
    new.stories[0].duration_s = 40.0
    found = compare.compare(old, new)
    assert [(item.what, item.id) for item in found.slower] == [
        ("latency", "us1.reachable.latency"),
        ("story", "us1"),
        ("check", "us1.rejoins.link"),
    ]
    assert not found.worse
    assert not compare.compare(old, new, threshold=100).slower
    assert "latency us1.reachable.latency" in shown(found)


def test_other_versions_are_named() -> None:
    old, new = builder.passing(), builder.passing()
    new.versions["headscale"] = "0.30.0"
    found = compare.compare(old, new)
    assert found.versions == {"headscale": ("0.29.3", "0.30.0")}
    assert "headscale: 0.29.3 → 0.30.0" in shown(found)
