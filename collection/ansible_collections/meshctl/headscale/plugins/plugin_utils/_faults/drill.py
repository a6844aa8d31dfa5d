# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault after fault: inject, see what the story says, undo, see it green again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._judge.check import BAD
from .catalogue import Fault
from .engine import Engine, FaultError
from .verdict import Outcome, StoryRun, judge

Story = Callable[[Fault, bool], StoryRun]
"""Runs a fault's story: with the fault in the lab, or (True) to see it green again."""


def drill(faults: Iterable[Fault], engine: Engine, story: Story) -> Iterable[Outcome]:
    """Yield how each fault went; every one is undone, whatever happens."""
    for fault in faults:
        yield one(fault, engine, story)


def one(fault: Fault, engine: Engine, story: Story) -> Outcome:
    """Return how one fault went."""
    began = time.monotonic()
    roles = engine.roles
    try:
        with engine.injected(fault):
            outcome = judge(fault, story(fault, False), roles)
    except FaultError as exc:
        outcome = Outcome(
            id=fault.id, family=fault.family, story=fault.story, verdict=fault.verdict, problems=[str(exc)]
        )
    left = [entry for entry in engine.active() if entry.id == fault.id]
    outcome.problems += [f"it was not undone: {entry.problem}" for entry in left]
    green = story(fault, True)
    outcome.recovered = green.exit_code == 0 and not left
    if green.exit_code:
        bad = sorted({str(check["id"]) for check in green.checks if check.get("verdict") in BAD})
        outcome.problems.append(
            f"not green again: {', '.join([*bad, *green.reasons]) or f'exit code {green.exit_code}'}"
        )
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def promised(
    topology: Mapping[str, Any], declare_nat: Mapping[str, str], assign_actors: Mapping[str, str]
) -> dict[str, Any]:
    """Return `mesh_subnets` with other kinds of NAT than the lab has; `cast` has the machine of each role."""
    subnets = {
        name: {key: subnet[key] for key in ("cidr", "gateway", "nat", "wan_address") if key in subnet}
        for name, subnet in topology["subnets"].items()
    }
    for role, kind in declare_nat.items():
        subnets[topology["facts"][assign_actors[role]]["subnet"]]["nat"] = kind
    return subnets


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of a drill."""
    return {
        "faults": len(outcomes),
        "caught": sum(outcome.caught for outcome in outcomes),
        "named": sum(outcome.named for outcome in outcomes),
        "false_alarms": sum(len(outcome.false_alarms) for outcome in outcomes),
        "recovered": sum(outcome.recovered for outcome in outcomes),
        "good": sum(outcome.good for outcome in outcomes),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
    }
