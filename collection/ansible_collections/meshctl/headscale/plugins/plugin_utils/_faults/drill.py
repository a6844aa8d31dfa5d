# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drill one fault after another in one lab: inject it, run its story, undo it, and see the story pass again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...module_utils._errors import BadInput
from .catalogue import Fault
from .engine import Engine
from .playbooks import Playbooks
from .record import FaultError
from .verdict import Outcome, StoryRun, judge

# Folder of a drill's directory that holds the state of each lab.
STATES = "labs"
# What an inventory says of a network.
_DECLARED = ("cidr", "cidr6", "gateway", "nat", "wan_address", "wan_address6")
# Only faults that need it let the story watch for a while, or disturb nodes.
_QUICK = {"mesh_deploy": False, "mesh_allow_disruptive": False, "mesh_hold_s": 0}


@dataclass(kw_only=True)
class State:
    """What one fault's drill hands on to the next."""

    own: bool = False
    """Whether the drill brought up the lab."""
    sound: list[str] = field(default_factory=list)
    """Stories that have passed in this lab without a fault."""
    runs: int = 0
    stopped: str = ""
    """Why no more faults are drilled."""
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State | None:
        """Return the state at `path`; None before the first fault."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def save(self, path: Path) -> None:
        """Write the state."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


class Drill:
    """Drills faults in one lab."""

    def __init__(self, engine: Engine, playbooks: Playbooks, state: State, *, deadline: float) -> None:
        """Prepare; `deadline` is the seconds that an assertion has, 0 for its own deadline."""
        self._engine = engine
        self._playbooks = playbooks
        self._state = state
        self._deadline = deadline

    def fault(self, fault: Fault, topology: Callable[[], Mapping[str, Any]], *, keep_going: bool) -> Outcome:
        """Return how one fault went; raise `FaultError` or `BadInput` when the lab is not fit for it."""
        self._make_sound(fault.story)
        began = time.monotonic()
        outcome = self._injected(fault, topology)
        if fault.inject or fault.undo:
            self._confirm(fault, outcome)
        else:
            outcome.recovered = True
        outcome.seconds = round(time.monotonic() - began, 1)
        self._hand_on(outcome, keep_going=keep_going)
        return outcome

    def _make_sound(self, story: str) -> None:
        """Run a story without a fault, unless it has passed in this lab: a fault in a broken mesh proves nothing."""
        if not self._state.sound:
            self._bring_up()
        if story in self._state.sound:
            return
        seen = self._run(story, _QUICK)
        if seen.exit_code:
            raise FaultError(f"the story {story} does not pass without a fault: {', '.join(seen.complaints)}")
        self._state.sound.append(story)

    def _bring_up(self) -> None:
        seen = self._run("up", {})
        if seen.exit_code:
            raise FaultError(f"the lab '{self._playbooks.lab}' could not be brought up: {' '.join(seen.reasons)}")
        if active := self._engine.active():
            names = ", ".join(entry.id for entry in active)
            raise BadInput(
                f"the lab '{self._playbooks.lab}' already has a fault: {names}; run `meshctl faults clear` first"
            )

    def _injected(self, fault: Fault, topology: Callable[[], Mapping[str, Any]]) -> Outcome:
        actors = self._engine.actors
        try:
            with self._engine.injected(fault):
                # A story that passes takes no longer with its own deadlines.
                deadline = 0 if fault.verdict == "green" else self._deadline
                outcome = judge(fault, self._run_story(fault, topology, deadline), actors)
                if deadline and not fault.deadline and outcome.hasty:
                    # A check that turns green within the deadlines of a story is not a false alarm.
                    outcome = judge(fault, self._run_story(fault, topology, 0), actors)
        except FaultError as exc:
            return Outcome.of(fault, problems=[str(exc)])
        return outcome

    def _run_story(self, fault: Fault, topology: Callable[[], Mapping[str, Any]], deadline: float) -> StoryRun:
        variables: dict[str, Any] = {**_QUICK, "mesh_allow_disruptive": fault.disruptive, **fault.vars}
        if fault.declare_nat:
            variables["mesh_subnets"] = declared_nat(topology(), fault.declare_nat, vars(self._engine.actors))
        if seconds := fault.deadline or deadline:
            variables["mesh_deadline_s"] = seconds
        return self._run(fault.story, variables, fault.environment)

    def _confirm(self, fault: Fault, outcome: Outcome) -> None:
        """See the story pass again, with all the time that it has."""
        left = [entry for entry in self._engine.active() if entry.id == fault.id]
        outcome.problems += [f"it was not undone: {entry.problem}" for entry in left]
        seen = self._run(fault.story, _QUICK)
        outcome.recovered = seen.exit_code == 0 and not left
        if seen.exit_code:
            outcome.problems.append(f"the story does not pass again: {', '.join(seen.complaints)}")

    def _hand_on(self, outcome: Outcome, *, keep_going: bool) -> None:
        self._state.outcomes.append(outcome.as_dict())
        if not outcome.recovered:
            if self._state.own:
                self._state.sound.clear()
                self._run("down", {})
            else:
                self._state.stopped = (
                    f"the lab '{self._playbooks.lab}' did not recover from {outcome.id}; examine it, or run "
                    "`meshctl down` and `meshctl up`"
                )
        if not (keep_going or outcome.good):
            self._state.stopped = self._state.stopped or f"{outcome.id} was not caught as expected"

    def _run(
        self, name: str, variables: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> StoryRun:  # fmt: skip
        self._state.runs += 1
        # The lab is up: the plays that bring it up would only take time.
        stories = self._playbooks.directory / "stories"
        label = f"{self._playbooks.lab}-{self._state.runs:03d}-{name}"
        if variables.get("mesh_deploy") is False and (stories / f"{name}.yml").is_file():
            name = f"stories/{name}"
        return self._playbooks.run(name, label, variables, environment)


def declared_nat(
    topology: Mapping[str, Any], kinds: Mapping[str, str], actors: Mapping[str, str]
) -> dict[str, Any]:  # fmt: skip
    """Return `mesh_subnets` with another kind of NAT than the lab has in the subnets of these actors."""
    subnets = {
        name: {key: subnet[key] for key in _DECLARED if key in subnet} for name, subnet in topology["subnets"].items()
    }
    for actor, kind in kinds.items():
        subnets[topology["facts"][actors[actor]]["subnet"]]["nat"] = kind
    return subnets
