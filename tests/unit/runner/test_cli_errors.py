# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the collection end meshctl with one sentence and the exit code of their kind."""

from __future__ import annotations

import pytest
from meshctl_headscale import _collection, _errors


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (_collection.errors.BadInput("lab_name is 'X': write lower case"), 2, "lab_name is 'X': write lower case."),
        (_collection.errors.CouldNotRun("the lab 'x' is not up"), 3, "The lab 'x' is not up."),
        (_collection.errors.AuthError("Headscale does not accept the key."), 3, "Headscale does not accept the key."),
    ],
)
def test_an_error_of_the_collection_is_one_sentence(
    error: Exception, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        _errors.ended(command)
    assert ended.value.code == code
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_every_module_that_the_runner_uses_exists() -> None:
    assert sorted(_collection._MODULES) == sorted(_collection.__all__)
    for name in _collection.__all__:
        assert getattr(_collection, name).__name__.endswith(name.removeprefix("guests_").removeprefix("lab_"))
