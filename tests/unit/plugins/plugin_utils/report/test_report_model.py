# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's model: reading, verdicts, the schema, and questions to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model


@pytest.fixture
def data() -> dict[str, Any]:
    return builder.failing().as_dict()


@pytest.mark.parametrize("report", [builder.passing(), builder.failing(), builder.passing(25, ("client-node-3",))])
def test_reports_follow_the_published_schema_and_survive_a_round_trip(report: model.Report) -> None:
    data = json.loads(json.dumps(report.as_dict()))
    model.validate(data)
    assert model.parse(data).as_dict() == data


def test_the_verdicts_follow_from_the_checks() -> None:
    assert builder.passing().verdict == "passed"
    failing = builder.failing()
    assert failing.verdict == "failed"
    assert [(story.id, story.verdict) for story in failing.stories] == [("us1", "failed"), ("us4", "failed")]
    assert failing.not_run == ["us2", "us3"]


@pytest.mark.parametrize(
    ("counts", "incomplete", "verdict"),
    [
        ({"passed": 3}, False, "passed"),
        ({"passed": 3, "skipped": 1}, False, "passed"),
        ({"passed": 3, "error": 1}, False, "error"),
        ({"passed": 3, "error": 1, "failed": 1}, False, "failed"),
        ({"skipped": 3}, False, "error"),
        ({}, False, "error"),
        ({"passed": 3}, True, "error"),
        ({"failed": 3}, True, "failed"),
    ],
)
def test_a_run_that_proves_nothing_does_not_pass(counts: dict[str, int], incomplete: bool, verdict: str) -> None:
    stories = [model.Story(id="us1")]
    assert model.run_verdict(stories, model.Counts(**counts), incomplete=incomplete) == verdict


def test_an_interrupted_run_is_interrupted_whatever_it_found() -> None:
    assert model.run_verdict([], model.Counts(failed=1), interrupted=True) == "interrupted"


def test_a_check_of_the_wrong_form_is_an_error_and_not_a_pass() -> None:
    check = model.check({"verdict": "ok", "evidence": "text", "duration_ms": float("nan")}, story="us1")
    assert check["verdict"] == "error"
    assert "'ok'" in check["hint"]
    assert check["id"] == "us1.unnamed"
    assert check["evidence"] == {"evidence": "text"}
    assert check["duration_ms"] == 0


def test_data_from_tasks_becomes_strict_json() -> None:
    class Tagged(str):
        pass

    value = model.plain({Tagged("a"): Tagged("b"), 1: (float("inf"), {"x"}), "p": Path("/p"), "n": True})
    assert value == {"a": "b", "1": [None, ["x"]], "p": "/p", "n": True}
    assert type(value["a"]) is str


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path, data: dict[str, Any]) -> None:
    (tmp_path / "report.json").write_text(json.dumps({**data, "schema_version": 3}))
    with pytest.raises(CouldNotRun, match=r"schema 3, and this meshctl reads schema 2; .*newer"):
        model.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[]", "no schema_version"),
        ('{"schema_version": 1}', "is damaged"),
        ('{"schema_version": 1, "stories": 3, "notes": [], "counts": {}}', "is damaged"),
    ],
)
def test_a_damaged_report_gets_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(content)
    with pytest.raises(CouldNotRun, match=message) as caught:
        model.load(file)
    assert str(file) in str(caught.value)


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(CouldNotRun, match="There is no report at"):
        model.load(tmp_path)


def test_a_wrong_verdict_does_not_follow_the_schema(data: dict[str, Any]) -> None:
    data["checks"][3]["verdict"] = "ok"
    with pytest.raises(CouldNotRun, match=r"\$\.checks\[3\]\.verdict"):
        model.validate(data)


def test_a_query_asks_the_report() -> None:
    found = model.query(builder.failing(), "checks[?id=='us4.resolves' && verdict=='failed'].[source, target] | [0]")
    assert found == ["client-node-1", "client-node-3"]


@pytest.mark.parametrize("expression", [
        "checks[", "nonsense(checks)", "length(`3`)",
        # jmespath itself fails with a TypeError, ValueError, OverflowError and RecursionError.
        "checks[?contains(id, target)]", "checks[?duration_ms > 'abc'].id", "checks[::0]", "ceil(to_number('1e999'))", "!" * 5000 + "a",
    ],
)  # fmt: skip
def test_a_wrong_query_gets_one_sentence(expression: str) -> None:
    with pytest.raises(BadInput, match="not a JMESPath that fits"):
        model.query(builder.passing(), expression)


def test_secrets_do_not_survive_as_dict() -> None:
    report = builder.passing()
    secret = "hskey-auth-AbCdEf012345-" + "x" * 64
    report.checks[0]["evidence"] = {"log": f"used {secret}"}
    report.notes.append(model.Note(story="us1", host="h", task="t", message=secret))
    report.command = f"meshctl run --key {secret}"
    assert secret not in json.dumps(report.as_dict())
