# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what ansible left behind to meshctl's exit code."""

from __future__ import annotations

import pytest
from meshctl_headscale._exit import ExitCode, Outcome, exit_code


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(rc=0), ExitCode.PASSED),
        (Outcome(rc=0, checks=3, proof_wanted=True), ExitCode.PASSED),
        # A run that checked nothing has proven nothing.
        (Outcome(rc=0, checks=0, proof_wanted=True), ExitCode.COULD_NOT_RUN),
        # A false check is a failure, also where the playbook went on and ended well (keep going).
        (Outcome(rc=0, checks=3, bad_checks=1, proof_wanted=True), ExitCode.FAILED),
        (Outcome(rc=2, checks=3, bad_checks=1, proof_wanted=True), ExitCode.FAILED),
        # Ansible's own codes: a failed task, an unreachable host, a syntax error, a missing playbook.
        (Outcome(rc=2), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=4), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=1), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=254), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=None), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=4, checks=1, bad_checks=1), ExitCode.FAILED),
        (Outcome(rc=2, errors=("bad_input",)), ExitCode.BAD_INPUT),
        (Outcome(rc=2, errors=("could_not_run",)), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=2, errors=("could_not_run", "bad_input")), ExitCode.BAD_INPUT),
        (Outcome(rc=2, errors=("something new",)), ExitCode.COULD_NOT_RUN),
        (Outcome(rc=1, bad_input=True), ExitCode.BAD_INPUT),
        # What a playbook has dealt with is no longer an error.
        (Outcome(rc=0, errors=("bad_input",)), ExitCode.PASSED),
        (Outcome(rc=2, bad_checks=1, errors=("bad_input",)), ExitCode.FAILED),
        (Outcome(rc=0, interrupted=True), ExitCode.INTERRUPTED),
        (Outcome(rc=99, interrupted=True, bad_checks=1), ExitCode.INTERRUPTED),
    ],
)
def test_exit_code(outcome: Outcome, code: ExitCode) -> None:
    assert exit_code(outcome) is code


def test_codes_are_the_published_ones() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 130]
