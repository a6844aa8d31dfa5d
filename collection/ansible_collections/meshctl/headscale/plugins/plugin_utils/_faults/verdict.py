# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the judges: compare what a story reported of a fault with what the catalogue expects. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .._judge.check import BAD
from .actors import Actors
from .catalogue import Fault

_UNMADE = " was not made"
_PASSED, _BAD_INPUT, _COULD_NOT_RUN = 0, 2, 3


@dataclass(frozen=True, kw_only=True)
class StoryRun:
    """What a run of a story found."""

    exit_code: int
    checks: Sequence[Mapping[str, Any]] = ()
    reasons: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def complaints(self) -> list[str]:
        """Return the ids of the checks that did not pass, and why the run could not be made."""
        bad = sorted({str(check["id"]) for check in self.checks if check.get("verdict") in BAD})
        return [*bad, *self.reasons] or [f"exit code {self.exit_code}"]


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

    @property
    def good(self) -> bool:
        """Whether the story reported the fault as expected, and nothing else."""
        return self.caught and self.named and not self.false_alarms and self.recovered and not self.problems

    @property
    def hasty(self) -> bool:
        """Whether more time may help.

        The fault was caught, and other checks were not green yet, or the cause not clear; or a check that must be red was not made.
        """
        unmade = bool(self.problems) and all(problem.endswith(_UNMADE) for problem in self.problems)
        return self.verdict == "red" and (unmade or (self.caught and (bool(self.false_alarms) or not self.named)))

    @classmethod
    def of(cls, fault: Fault, **more: Any) -> Outcome:  # noqa: ANN401 - fields of the outcome
        """Return an outcome of `fault` before anything is known."""
        return cls(id=fault.id, family=fault.family, story=fault.story, verdict=fault.verdict, **more)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "good": self.good}


def judge(fault: Fault, seen: StoryRun, actors: Actors) -> Outcome:
    """Return what the story reported of the fault; another run decides whether it recovered."""
    outcome = Outcome.of(fault, seconds=seen.seconds)
    if fault.verdict == "green":
        _green(outcome, fault, seen, actors)
    elif fault.verdict == "refused":
        _refused(outcome, fault, seen)
    else:
        _red(outcome, fault, seen, actors)
    return outcome


def matches(selector: str, check: Mapping[str, Any], actors: Actors) -> bool:
    """Whether a selector (`assertion[.aspect][/family][: SOURCE[ -> TARGET]]`) is about a check."""
    what, _colon, pair = actors.filled(selector).partition(": ")
    source, _arrow, target = pair.partition(" -> ")
    aspect, _slash, family = what.partition("/")
    name = ".".join(filter(None, (check.get("assertion"), check.get("aspect"))))
    pairs = (
        (name, aspect),
        (str(check.get("family") or ""), family or "*"),
        (str(check.get("source") or ""), source or "*"),
        (str(check.get("target") or ""), target or "*"),
    )
    return all(fnmatchcase(value, pattern) for value, pattern in pairs)


def _red(outcome: Outcome, fault: Fault, seen: StoryRun, actors: Actors) -> None:
    wanted = {selector: [check for check in seen.checks if matches(selector, check, actors)] for selector in fault.red}
    for selector, found in wanted.items():
        passed = [check for check in found if check.get("verdict") == "passed"]
        if passed:
            outcome.problems.append(f"{len(passed)} of {len(found)} {actors.filled(selector)} passed")
        elif not any(check.get("verdict") in BAD for check in found):
            outcome.problems.append(f"{actors.filled(selector)}{_UNMADE}")
    outcome.caught = not outcome.problems and seen.exit_code != _PASSED
    red = [check for found in wanted.values() for check in found if check.get("verdict") in BAD]
    outcome.hints = list(dict.fromkeys(str(check.get("hint") or "") for check in red))
    outcome.named = any(re.search(fault.cause, hint, re.IGNORECASE) for hint in outcome.hints)
    _alarms(outcome, fault, seen, actors)


def _green(outcome: Outcome, fault: Fault, seen: StoryRun, actors: Actors) -> None:
    outcome.caught = seen.exit_code == _PASSED and any(check.get("verdict") == "passed" for check in seen.checks)
    outcome.named = True
    outcome.problems += [] if outcome.caught else [f"exit code {seen.exit_code}", *seen.reasons]
    _alarms(outcome, fault, seen, actors)


def _refused(outcome: Outcome, fault: Fault, seen: StoryRun) -> None:
    outcome.caught = seen.exit_code in (_COULD_NOT_RUN, _BAD_INPUT)
    outcome.problems += [] if outcome.caught else [f"exit code {seen.exit_code}, and not 3 or 2"]
    outcome.hints = list(seen.reasons)
    outcome.named = any(re.search(fault.cause, reason, re.IGNORECASE) for reason in seen.reasons)


def _alarms(outcome: Outcome, fault: Fault, seen: StoryRun, actors: Actors) -> None:
    for check in seen.checks:
        known = any(matches(selector, check, actors) for selector in (*fault.red, *fault.tolerated))
        if check.get("verdict") in BAD and not known:
            target = f" -> {check['target']}" if check.get("target") else ""
            outcome.false_alarms.append(f"{check.get('id')}: {check.get('source')}{target}: {check.get('hint')}")
    for selector in fault.green:
        if not any(matches(selector, check, actors) and check.get("verdict") == "passed" for check in seen.checks):
            outcome.false_alarms.append(f"{actors.filled(selector)} did not pass")
