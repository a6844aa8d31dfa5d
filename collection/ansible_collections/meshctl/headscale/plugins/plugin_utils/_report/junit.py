# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Render the report as JUnit XML: a suite for each story, a case for each check, and a suite for what the run lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import lines, model

if TYPE_CHECKING:
    import junitparser
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report, Story
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json


_MOST_CASES = 2000
_MOST_BAD = 500


def render(report: Report) -> str:
    """Return the report as JUnit XML."""
    import junitparser

    report = model.visible(report)
    document = junitparser.JUnitXml(name=f"meshctl {report.run_id}")
    suites = [_suite(report, story) for story in report.stories]
    for suite in suites:
        document.add_testsuite(suite)
    if lacking := list(_lacking(report)):
        suite = junitparser.TestSuite("run")
        suite.add_testcases(lacking)
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    # The sum of the cases is not a story's time: checks overlap, and most of a story is waiting.
    for suite, story in zip(suites, report.stories, strict=True):
        suite.time = round(story.duration_s, 3)
    document.time = round(report.duration_s, 3)
    written: bytes | str = document.tostring()  # type: ignore[no-untyped-call]
    return written.decode("utf-8") if isinstance(written, bytes) else written


def _suite(report: Report, story: Story) -> junitparser.TestSuite:
    """Return the suite of one story."""
    import junitparser

    suite = junitparser.TestSuite(story.title or story.id)
    suite.timestamp = story.started.removesuffix("Z")
    for key, value in sorted(report.versions.items()):
        suite.add_property(key, value)
    # One by one each would be counted again with all before it: a minute for fifty nodes.
    suite.add_testcases(list(_cases(report.of_story(story.id))))
    return suite


def _lacking(report: Report) -> Iterator[junitparser.TestCase]:
    """Yield a case for a run that proves less than its checks say, and one for each story that did not start."""
    import junitparser

    if why := _incomplete(report):
        case = junitparser.TestCase("complete", classname="run")
        case.result = [junitparser.Error(why, report.verdict)]
        yield case
    for story in report.not_run:
        case = junitparser.TestCase(story, classname="run")
        case.result = [junitparser.Skipped("The story did not start.")]
        yield case


def _incomplete(report: Report) -> str:
    """Return why the run is not a pass although no check says so, empty if a check does or it is one."""
    if report.verdict == "interrupted":
        return "The run was interrupted."
    if report.verdict != "error" or report.bad_checks:
        return ""
    said = [note.message for note in report.notes if note.kind == "report"]
    if not said and not report.counts.passed:
        return "No check passed, so the run proved nothing."
    return "; ".join(said) or "The run did not finish, or its report is incomplete."


def _cases(checks: list[Check]) -> Iterator[junitparser.TestCase]:
    """Yield a case for each check; beyond so many, one for all that a host asserted alike, with the same verdict."""
    many = len(checks) > _MOST_CASES
    bad = 0
    alike: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        bad += check["verdict"] in BAD
        if many and (check["verdict"] not in BAD or bad > _MOST_BAD):
            alike.setdefault((check["id"], check["source"], check["verdict"]), []).append(check)
        else:
            yield _case(check)
    yield from (_case(found[0], len(found)) for found in alike.values())


def _case(check: Check, number: int = 1) -> junitparser.TestCase:
    """Return the case of one check, or of a number of checks alike of which it is the first."""
    import junitparser

    pair = lines.pair(check) if number == 1 else f"{check['source']} → {number} hosts"
    name = pair.replace("→", "->")
    case = junitparser.TestCase(name, classname=check["id"], time=round(check["duration_ms"] / 1000, 6))
    if check["verdict"] == "skipped":
        case.result = [junitparser.Skipped(check["hint"])]
    elif check["verdict"] != "passed":
        kind = junitparser.Failure if check["verdict"] == "failed" else junitparser.Error
        result = kind(check["hint"] or f"{check['id']} {check['verdict']}", check["id"])
        result.text = _body(check)
        case.result = [result]
    return case


def _body(check: Check) -> str:
    """Return what a person needs to act on a bad check."""
    lines = [("expected", _json(check["expected"])), ("observed", _json(check["observed"])), ("hint", check["hint"])]
    if check["evidence"]:
        lines.append(("evidence", _json(check["evidence"])))
    lines.append(("reproduce", check["reproduce"]))
    return "\n".join(f"{label}: {value}" for label, value in lines if value)


def _json(value: Json) -> str:
    """Return JSON data on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
