# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of an action become its result, with the kind that the exit code follows from."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, CouldNotRun, HeadscaleError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.errors import reports_errors
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import BadInputError, BinariesError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError


class Action:
    """An action that fails."""

    PREFIX = "action: "

    def __init__(self, error: Exception) -> None:
        """Take the error to raise."""
        self.error = error

    @reports_errors
    def run(self) -> dict[str, Any]:
        """Raise the error."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (BadInput("x is 1:\n write 2"), "bad_input", "action: x is 1: write 2"),
        (BadInputError("mesh_binaries.x is 1"), "bad_input", "action: mesh_binaries.x is 1"),
        (BinariesError("not found"), "could_not_run", "action: not found"),
        (LabError("not up"), "could_not_run", "action: not up"),
        (CouldNotRun("no"), "could_not_run", "action: no"),
        (OSError(28, "No space left", "/x"), "could_not_run", "action: /x: No space left"),
    ],
)
def test_an_error_is_the_result(error: Exception, kind: str, message: str) -> None:
    expected = {"failed": True, "changed": False, "msg": message, "meshctl_error": kind}
    assert Action(error).run() == expected


def test_defects_are_no_results() -> None:
    with pytest.raises(KeyError):
        Action(KeyError("x")).run()


def test_bad_input_is_an_error_of_the_family_and_a_value_error() -> None:
    assert issubclass(BadInput, HeadscaleError)
    assert issubclass(BadInput, ValueError)
