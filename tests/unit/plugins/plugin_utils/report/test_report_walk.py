# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of `why` on a terminal, as JSON, and as the headline of a report."""

from __future__ import annotations

import io
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model, text, walk

_ANSWER = {"source": "a", "target": "b", "service": "tcp/80", "reachable": False, "headline": "a cannot reach b"}


def steps() -> list[dict[str, Any]]:
    """Return the checks of a walk whose second step fails for one family."""

    def context(name: str) -> CheckContext:
        return CheckContext(story="why", assertion=name, source="a")

    works: dict[str, Any] = {"target": "b", "expected": "works"}
    made = [
        context("registered").check(True, observed="both are", **works),
        context("packet_filter").check(
            False, family=6, observed="fails", hint="shields \x1b[31m are up", command="x", **works
        ),
        context("connection").skipped("not examined, because an earlier step fails", target="b"),
    ]
    made[-1].evidence["answer"] = _ANSWER
    return [check.as_dict() for check in made]


def test_each_step_has_a_line_and_a_failure_its_command() -> None:
    assert walk.rows(steps()) == [
        ("✓", "registered", "both are", ""),
        ("✗", "packet filter (IPv6)", "shields \x1b[31m are up", "bold"),
        ("", "", "again: x", "dim"),
        ("–", "connection", "not examined, because an earlier step fails", "dim"),  # noqa: RUF001
    ]
    out = text.console(io.StringIO(), width=80)
    out.print(text.steps(steps()))
    assert "packet filter (IPv6)" in out.file.getvalue()  # type: ignore[attr-defined]


def test_the_answer_is_json_without_its_repetition() -> None:
    found = walk.as_data(steps())
    assert {key: found[key] for key in _ANSWER} == _ANSWER
    assert found["failed_step"] == "packet_filter"
    assert [step["state"] for step in found["steps"]] == ["passed", "failed", "not_examined"]
    assert "answer" not in found["steps"][-1]["evidence"]


def test_other_stories_have_no_answer() -> None:
    checks = [{**check, "story": "us1"} for check in steps()]
    assert walk.headline(checks) == ""
    assert walk.as_data(checks) == {"failed_step": None, "steps": []}


def test_the_headline_of_the_report_is_the_answer() -> None:
    report = model.Report(run_id="r", started="2026-01-01T00:00:00Z", checks=steps(), stories=[model.Story(id="why")])
    assert report.as_dict()["headline"] == "a cannot reach b"
    drawn = text.as_text(report)
    assert "answer  a cannot reach b" in drawn
    assert "\x1b" not in drawn
