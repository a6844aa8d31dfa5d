# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Map outcomes to exit codes, and define the errors that carry one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of meshctl."""

    PASSED = 0
    FAILED = 1
    BAD_INPUT = 2
    COULD_NOT_RUN = 3
    INTERRUPTED = 130


class MeshctlError(Exception):
    """An error that ends meshctl: one sentence for the user, and the exit code."""

    code = ExitCode.COULD_NOT_RUN


class BadInputError(MeshctlError):
    """The user named something that does not exist or makes no sense."""

    code = ExitCode.BAD_INPUT


def sentence(message: str) -> str:
    """Return an error message of the collection as a sentence; a name in first place keeps its case."""
    first, _space, _rest = message.partition(" ")
    capital = message[:1].upper() if first.isalpha() else message[:1]
    return f"{capital}{message[1:]}{'' if message.endswith('.') else '.'}"


# Values of `meshctl_error` in the result of an action, and their exit codes.
_ASKED_FOR = {"bad_input": ExitCode.BAD_INPUT, "could_not_run": ExitCode.COULD_NOT_RUN}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of ansible-playbook, as far as the exit code depends on it."""

    rc: int | None
    """Exit code of ansible-playbook; None if it did not start."""
    interrupted: bool = False
    bad_checks: int = 0
    checks: int = 0
    errors: tuple[str, ...] = field(default=())
    """Values of `meshctl_error` that tasks returned."""
    bad_input: bool = False
    """Whether Ansible refused its input: inventory, limit or extra variables."""
    proof_wanted: bool = False
    """Whether a run without any check is an error, as for stories."""


def exit_code(outcome: Outcome) -> ExitCode:
    """Return the exit code of meshctl for `outcome`."""
    if outcome.interrupted:
        return ExitCode.INTERRUPTED
    if outcome.bad_checks:
        # A failed check matters more than later errors.
        return ExitCode.FAILED
    asked = [_ASKED_FOR[error] for error in outcome.errors if error in _ASKED_FOR]
    if outcome.rc != 0 and (outcome.bad_input or ExitCode.BAD_INPUT in asked):
        return ExitCode.BAD_INPUT
    if outcome.rc != 0:
        return ExitCode.COULD_NOT_RUN
    if outcome.proof_wanted and not outcome.checks:
        # Stories end with a verdict that fails; a user's playbook may have none.
        return ExitCode.COULD_NOT_RUN
    return ExitCode.PASSED
