# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the collection end meshctl with one sentence and the exit code of their kind."""

from __future__ import annotations

import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from ansible.errors import AnsibleError
from meshctl_headscale import _collection, _doctor, _errors, _exit
from meshctl_headscale.cli import app
from typer.testing import CliRunner


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


def ended(command: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Return the exit code of a command and what it writes to stderr."""
    with pytest.raises(SystemExit) as ending:
        _errors.ended(command)
    return ending.value.code, capsys.readouterr().err


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no temporary directory that can be written to."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nosuch"])


@pytest.mark.usefixtures("full")
def test_a_missing_temporary_directory_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(tempfile.mkdtemp, capsys)
    assert said.startswith("Error: No temporary directory can be written to (tried TMPDIR, /tmp, /var/tmp and")
    assert code == 3


@pytest.mark.usefixtures("full")
def test_a_defect_is_reported_without_a_temporary_directory_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(lambda: {}["x"], capsys)
    assert said.startswith("Error: meshctl itself failed (KeyError: 'x'). This is a defect; its details could not be")
    assert code == 3


def test_a_missing_working_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> None:
        (tmp_path / "gone").rmdir()
        Path("x").absolute()

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    wanted = (3, "Error: The working directory no longer exists. Change to another one.\n")
    assert ended(gone, capsys) == wanted
    assert ended(lambda: None, capsys) == wanted


def test_another_file_that_is_missing_is_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> NoReturn:
        raise FileNotFoundError(2, "no such thing")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, said = ended(command, capsys)
    (log,) = tmp_path.iterdir()
    assert (code, said) == (
        3,
        f"Error: meshctl itself failed (FileNotFoundError: [Errno 2] no such thing). This is a defect; {log} has the details.\n",
    )
    assert "raise FileNotFoundError" in log.read_text()


def test_ansible_that_cannot_create_its_directories_is_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> NoReturn:
        raise AnsibleError("Unable to create local directories '/proc/x'.")

    code, said = ended(load, capsys)
    assert said.startswith(
        "Error: Ansible cannot be loaded: Unable to create local directories '/proc/x'. Set ANSIBLE_HOME"
    )
    assert code == 3


def test_the_doctor_names_a_missing_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: object) -> NoReturn:
        raise KeyError(user)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("ANSIBLE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(
        _collection.errors.BadInput, match=r"HOME is not set .* set HOME, or ANSIBLE_HOME to an absolute path"
    ):
        _doctor.examine()


@pytest.mark.parametrize(
    "words",
    [
        ["run", "~nosuch/x.yml"],
        ["run", "us1", "-e", "@~nosuch/x"],
        ["report", "~nosuch/x"],
        ["up", "-i", "~nosuch/x"],
        ["history", "--history", "~nosuch/x"],
        ["history", "--html", "~nosuch/x"],
        ["history", "-i", "~nosuch/x"],
        ["init", "--url", "https://x.test", "--output", "~nosuch/x"],
        ["init", "--url", "https://x.test", "--api-key-file", "~nosuch/x"],
        ["watch", "--textfile", "~nosuch/x.prom"],
        ["watch", "--notify", "@~nosuch/x"],
        ["watch", "--listen", "[::1]:9", "--tls-cert", "/x", "--tls-key", "/y", "--auth-file", "~nosuch/x"],
    ],
)
def test_the_home_of_an_unknown_user_is_bad_input(words: list[str]) -> None:
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, _collection.errors.BadInput | _exit.BadInputError)
    assert "names the home of a user that this machine does not know" in str(error)


def test_every_module_that_the_runner_uses_exists() -> None:
    assert sorted(_collection._MODULES) == sorted(_collection.__all__)
    for name in _collection.__all__:
        assert getattr(_collection, name).__name__.endswith(name.removeprefix("guests_").removeprefix("lab_"))
