# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl why` shows every step, also those that passed, which report.json keeps in columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import columns, lines
from meshctl_headscale._commands import why
from meshctl_headscale._events import Tally
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._play import Ended
from meshctl_headscale._run import Result

ANSWER = {"headline": "a reaches b (icmp)", "reachable": True}


def step(name: str, verdict: str = "passed", **more: Any) -> dict[str, Any]:
    """Return the check of a step."""
    return {
        "id": f"why.{name}", "story": "why", "assertion": name, "aspect": "", "family": None, "source": "a", "target": "b",
        "verdict": verdict, "expected": None, "observed": f"{name} is right", "duration_ms": 1.0, "evidence": {}, "hint": "",
        "reproduce": None, "at": "2026-01-01T00:00:00.000Z", **more,
    }  # fmt: skip


@pytest.fixture
def result(tmp_path: Path, request: pytest.FixtureRequest) -> Result:
    """Return the result of a run whose report has these checks."""
    (tmp_path / "report.json").write_text(json.dumps(columns.pack({"checks": request.param})))
    ended = Ended(rc=0, interrupted=False, stats=None)
    return Result(code=ExitCode.PASSED, run_dir=tmp_path, tally=Tally(), ended=ended, seconds=1.0)


REACHED = [step("registered"), step("connection", evidence={"answer": ANSWER})]
BLOCKED = [
    step("registered"),
    step("firewall", "failed", hint="packets are dropped", evidence={"answer": {"headline": "blocked"}}),
    step("connection", "skipped", hint="not examined, because an earlier step fails"),
]


@pytest.mark.parametrize(
    ("result", "verdicts"),
    [(REACHED, ["passed", "passed"]), (BLOCKED, ["passed", "failed", "skipped"])],
    indirect=["result"],
    ids=["reached", "blocked"],
)
def test_every_step_is_shown(result: Result, verdicts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    why._show(result, as_json=False)
    shown = capsys.readouterr().out
    marks = [line[0] for line in shown.splitlines() if line[:1] in lines.MARKS.values()]
    assert marks == [lines.MARKS[verdict] for verdict in verdicts]
    assert "registered is right" in " ".join(shown.split())


@pytest.mark.parametrize("result", [REACHED], indirect=True)
def test_json_is_the_answer_with_its_steps(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    why._show(result, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["headline"] == ANSWER["headline"]
    assert [entry["state"] for entry in found["steps"]] == ["passed", "passed"]
