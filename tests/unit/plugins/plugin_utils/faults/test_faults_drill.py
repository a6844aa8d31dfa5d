# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The course of a drill: what it runs, when it stops, and what it hands on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.actors import Actors
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.catalogue import Fault, Step
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.drill import Drill, State
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.playbooks import story_run
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.record import Active, FaultError, Faults
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import Outcome, StoryRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import Process

STEP = (Step(at="a", run="true"),)
RED = Fault(
    id="f", family="x", title="F", story="us1", verdict="red", red=("path: {a}",), cause="cut", inject=STEP, undo=STEP
)  # fmt: skip
REFUSED = Fault(id="r", family="x", title="R", story="us1", verdict="refused", cause="no")
BAD = {"id": "us1.path", "assertion": "path", "source": "one", "target": None, "verdict": "failed", "hint": "cut"}
GOOD = {**BAD, "verdict": "passed", "hint": ""}
ALARM = {**BAD, "id": "us1.loss", "assertion": "loss"}
PASSED = StoryRun(exit_code=0, checks=[GOOD])
CAUGHT = StoryRun(exit_code=1, checks=[BAD])


class FakePlaybooks:
    """Plays what it is told, and remembers what was asked."""

    directory = Path("/nowhere")
    lab = "drill"

    def __init__(self, *runs: StoryRun) -> None:
        """Take the runs that it returns, in order."""
        self.runs = list(runs)
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def run(self, name: str, _label: str, variables: Mapping[str, Any], _environment: Any = None) -> StoryRun:
        """Return the next run."""
        self.asked.append((name, variables))
        return self.runs.pop(0)

    @property
    def names(self) -> list[str]:
        """Return the names of the playbooks so far, without their folder."""
        return [name for name, _variables in self.asked]


class FakeEngine:
    """Has a fault while it is injected."""

    actors = Actors(a="one", b="two", c="three", server="s", relay="r", router_a="ra", router_b="rb")

    def __init__(self, problem: str = "") -> None:
        """Keep the problem of the undo."""
        self.problem = problem
        self.left: list[Active] = []

    def active(self) -> list[Active]:
        """Return what could not be undone."""
        return self.left

    @contextlib.contextmanager
    def injected(self, fault: Fault) -> Iterator[None]:
        """Have the fault in no lab at all."""
        try:
            yield
        finally:
            if self.problem:
                self.left = [Active(id=fault.id, title="", since="", undo=(), problem=self.problem)]


def drilled(
    playbooks: FakePlaybooks, state: State, fault: Fault = RED, *, engine: FakeEngine | None = None, **more: Any
) -> Outcome:
    drill = Drill(engine or FakeEngine(), playbooks, state, deadline=5)  # type: ignore[arg-type]
    return drill.fault(fault, dict, **{"keep_going": True, **more})


def test_the_first_fault_brings_up_a_lab_and_proves_it_sound() -> None:
    playbooks, state = FakePlaybooks(PASSED, PASSED, CAUGHT, PASSED, CAUGHT, PASSED), State()
    assert drilled(playbooks, state).good
    assert playbooks.names == ["up", "us1", "us1", "us1"]
    assert [asked.get("mesh_deadline_s") for _name, asked in playbooks.asked] == [None, None, 5, None]
    assert drilled(playbooks, state).good
    assert playbooks.names == ["up", "us1", "us1", "us1", "us1", "us1"]
    assert [outcome["good"] for outcome in state.outcomes] == [True, True]


def test_a_story_that_fails_without_a_fault_stops_the_drill() -> None:
    with pytest.raises(FaultError, match=r"us1 does not pass without a fault: us1\.path"):
        drilled(FakePlaybooks(PASSED, CAUGHT), State())


def test_a_lab_that_has_a_fault_is_refused() -> None:
    engine = FakeEngine()
    engine.left = [Active(id="other", title="", since="", undo=())]
    with pytest.raises(BadInput, match="already has a fault: other"):
        drilled(FakePlaybooks(PASSED), State(), engine=engine)


def test_a_false_alarm_must_last_as_long_as_a_story() -> None:
    hasty = StoryRun(exit_code=1, checks=[BAD, ALARM])
    playbooks = FakePlaybooks(hasty, CAUGHT, PASSED)
    assert drilled(playbooks, State(sound=["us1"])).good
    assert "mesh_deadline_s" not in playbooks.asked[1][1]
    outcome = drilled(FakePlaybooks(hasty, hasty, PASSED), State(sound=["us1"]))
    assert outcome.false_alarms == ["us1.loss: one: cut"]


def test_a_miss_gets_no_second_chance() -> None:
    playbooks = FakePlaybooks(PASSED, PASSED)
    assert not drilled(playbooks, State(sound=["us1"])).caught
    assert playbooks.names == ["us1", "us1"]


def test_a_run_that_changes_nothing_needs_no_confirmation() -> None:
    playbooks = FakePlaybooks(StoryRun(exit_code=3, reasons=["no"]))
    assert drilled(playbooks, State(sound=["us1"]), REFUSED).good


@pytest.mark.parametrize("own", [True, False])
def test_a_lab_that_does_not_recover_is_rebuilt_if_it_is_the_drills(own: bool) -> None:
    playbooks, state = FakePlaybooks(CAUGHT, CAUGHT, PASSED), State(own=own, sound=["us1"])
    assert drilled(playbooks, state).problems == ["the story does not pass again: us1.path"]
    assert playbooks.names[2:] == (["down"] if own else [])
    assert (state.sound == [], bool(state.stopped)) == (own, not own)


def test_a_fault_that_cannot_be_undone_is_no_recovery() -> None:
    state = State(sound=["us1"])
    outcome = drilled(FakePlaybooks(CAUGHT, PASSED), state, engine=FakeEngine(problem="it is stuck"))
    assert (outcome.recovered, outcome.problems) == (False, ["it was not undone: it is stuck"])


def test_a_drill_that_does_not_keep_going_stops() -> None:
    state = State(sound=["us1"])
    drilled(FakePlaybooks(PASSED, PASSED), state, keep_going=False)
    assert state.stopped == "f was not caught as expected"


def test_the_state_survives_between_tasks(tmp_path: Path) -> None:
    state = State(own=True, sound=["us1"], runs=3, outcomes=[Outcome.of(RED).as_dict()])
    state.save(tmp_path / "labs" / "drill.json")
    assert State.load(tmp_path / "labs" / "drill.json") == state
    assert State.load(tmp_path / "none.json") is None


def test_a_fault_is_abandoned_when_its_drill_is_gone(tmp_path: Path) -> None:
    me = Process.of(1)
    assert me
    faults = Faults(tmp_path)
    entries = [
        Active(id="running", title="", since="", undo=STEP, drill=(me.pid, me.started)),
        Active(id="killed", title="", since="", undo=STEP, drill=(me.pid, me.started + 1)),
        Active(id="by-hand", title="", since="", undo=STEP),
    ]
    faults.write(entries)
    assert faults.active() == entries
    assert [entry.abandoned for entry in faults.active()] == [False, True, False]
    faults.write([])
    assert faults.active() == []


@pytest.mark.parametrize("text", ["{", '[{"id": 1}]', "5"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "faults.json").write_text(text)
    with pytest.raises(FaultError, match=r"faults\.json cannot be read"):
        Faults(tmp_path).active()


LOST = {"id": "us1.host_reachable", "assertion": "host_reachable", "verdict": "error", "hint": "two is gone"}


@pytest.mark.parametrize(
    ("code", "checks", "output", "expected", "reasons"),
    [
        (0, [GOOD], "", 0, []),
        (2, [GOOD, BAD], "", 1, []),
        (4, [BAD, LOST], "", 1, []),
        (4, [GOOD, LOST], "", 3, ["two is gone"]),
        (2, [], "ok\nfatal: [one]: FAILED! the disk is full\n", 3, ["fatal: [one]: FAILED! the disk is full"]),
        (1, [], "", 3, ["ansible-playbook ended with code 1"]),
    ],
)
def test_a_run_ends_as_with_meshctl_run(
    code: int, checks: list[dict[str, Any]], output: str, expected: int, reasons: list[str]
) -> None:
    found = story_run(code, checks, output)
    assert (found.exit_code, found.reasons) == (expected, reasons or found.reasons)
