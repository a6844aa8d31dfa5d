# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place where an outcome becomes an exit code, and the errors that carry theirs with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class ExitCode(IntEnum):
    """What meshctl's exit code says."""

    PASSED = 0
    FAILED = 1
    BAD_INPUT = 2
    COULD_NOT_RUN = 3
    INTERRUPTED = 130


class MeshctlError(Exception):
    """Something that meshctl cannot go on with: one sentence for the user, and the exit code."""

    code = ExitCode.COULD_NOT_RUN


class BadInputError(MeshctlError):
    """The user asked for something that does not exist or does not make sense."""

    code = ExitCode.BAD_INPUT


# What an action may put into `meshctl_error` of its result, and the exit code that it asks for.
_ASKED_FOR = {"bad_input": ExitCode.BAD_INPUT, "could_not_run": ExitCode.COULD_NOT_RUN}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is known when ansible has ended."""

    rc: int | None
    """Exit code of ansible-playbook; None when it never started."""
    interrupted: bool = False
    bad_checks: int = 0
    checks: int = 0
    errors: tuple[str, ...] = field(default=())
    """Values of `meshctl_error` that tasks returned."""
    bad_input: bool = False
    """Ansible itself refused what it was given: inventory, limit, extra variables."""
    proof_wanted: bool = False
    """Whether passing means that something was checked (`run`), and not only that nothing failed (`up`)."""


def exit_code(outcome: Outcome) -> ExitCode:
    """Return the exit code of meshctl for `outcome`."""
    if outcome.interrupted:
        return ExitCode.INTERRUPTED
    if outcome.bad_checks:
        # A false check is the news, whatever else went wrong after it.
        return ExitCode.FAILED
    asked = [_ASKED_FOR[error] for error in outcome.errors if error in _ASKED_FOR]
    if outcome.rc != 0 and (outcome.bad_input or ExitCode.BAD_INPUT in asked):
        return ExitCode.BAD_INPUT
    if outcome.rc != 0:
        return ExitCode.COULD_NOT_RUN
    if outcome.proof_wanted and not outcome.checks:
        # Nothing was proven: an empty run must not look like a success.
        return ExitCode.COULD_NOT_RUN
    return ExitCode.PASSED
