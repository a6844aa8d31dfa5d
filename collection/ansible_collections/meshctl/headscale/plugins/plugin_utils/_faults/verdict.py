# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges the judge: what a story made of a fault, against what it had to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .._judge.check import BAD
from .actors import Roles
from .catalogue import Fault

_PASSED, _COULD_NOT_RUN, BAD_INPUT = 0, 3, 2


@dataclass(frozen=True, kw_only=True)
class StoryRun:
    """What a run of the story left."""

    exit_code: int
    checks: Sequence[Mapping[str, Any]] = ()
    reasons: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(kw_only=True)
class Outcome:
    """How one fault went."""

    id: str
    family: str
    story: str
    verdict: str
    caught: bool = False
    named: bool = False
    false_alarms: list[str] = field(default_factory=list)
    recovered: bool = False
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    run_dir: str = ""

    @property
    def good(self) -> bool:
        """Whether the judge did all that it had to."""
        return self.caught and self.named and not self.false_alarms and self.recovered and not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "good": self.good}


def judge(fault: Fault, seen: StoryRun, roles: Roles) -> Outcome:
    """Return what the story made of the fault; whether it recovered is for another run to say."""
    outcome = Outcome(id=fault.id, family=fault.family, story=fault.story, verdict=fault.verdict, seconds=seen.seconds)
    if fault.verdict == "green":
        _green(outcome, fault, seen, roles)
    elif fault.verdict == "refused":
        _refused(outcome, fault, seen)
    else:
        _red(outcome, fault, seen, roles)
    return outcome


def matches(selector: str, check: Mapping[str, Any], roles: Roles) -> bool:
    """Whether a selector (`assertion[.aspect][: SOURCE[ -> TARGET]]`) is about a check."""
    what, _colon, whom = roles.filled(selector).partition(": ")
    source, _arrow, target = whom.partition(" -> ")
    name = ".".join(filter(None, (check.get("assertion"), check.get("aspect"))))
    pairs = (
        (name, what),
        (str(check.get("source") or ""), source or "*"),
        (str(check.get("target") or ""), target or "*"),
    )
    return all(fnmatchcase(value, pattern) for value, pattern in pairs)


def _red(outcome: Outcome, fault: Fault, seen: StoryRun, roles: Roles) -> None:
    wanted = {selector: [check for check in seen.checks if matches(selector, check, roles)] for selector in fault.red}
    for selector, found in wanted.items():
        passed = [check for check in found if check.get("verdict") == "passed"]
        if passed:
            outcome.problems.append(f"{len(passed)} of {len(found)} {roles.filled(selector)} passed")
        elif not any(check.get("verdict") in BAD for check in found):
            outcome.problems.append(f"{roles.filled(selector)} was not made")
    outcome.caught = not outcome.problems and seen.exit_code != _PASSED
    red = [check for found in wanted.values() for check in found if check.get("verdict") in BAD]
    outcome.hints = list(dict.fromkeys(str(check.get("hint") or "") for check in red))
    outcome.named = any(re.search(fault.cause, hint, re.IGNORECASE) for hint in outcome.hints)
    _alarms(outcome, fault, seen, roles)


def _green(outcome: Outcome, fault: Fault, seen: StoryRun, roles: Roles) -> None:
    outcome.caught = seen.exit_code == _PASSED and any(check.get("verdict") == "passed" for check in seen.checks)
    outcome.named = True
    outcome.problems += [] if outcome.caught else [f"exit code {seen.exit_code}", *seen.reasons]
    _alarms(outcome, fault, seen, roles)


def _refused(outcome: Outcome, fault: Fault, seen: StoryRun) -> None:
    outcome.caught = seen.exit_code in (_COULD_NOT_RUN, BAD_INPUT)
    outcome.problems += [] if outcome.caught else [f"exit code {seen.exit_code}, and not 3 or 2"]
    outcome.hints = list(seen.reasons)
    outcome.named = any(re.search(fault.cause, reason, re.IGNORECASE) for reason in seen.reasons)


def _alarms(outcome: Outcome, fault: Fault, seen: StoryRun, roles: Roles) -> None:
    for check in seen.checks:
        known = any(matches(selector, check, roles) for selector in (*fault.red, *fault.tolerated))
        if check.get("verdict") in BAD and not known:
            whom = f" -> {check['target']}" if check.get("target") else ""
            outcome.false_alarms.append(f"{check.get('id')}: {check.get('source')}{whom}: {check.get('hint')}")
    for selector in fault.green:
        if not any(matches(selector, check, roles) and check.get("verdict") == "passed" for check in seen.checks):
            outcome.false_alarms.append(f"{roles.filled(selector)} did not pass")
