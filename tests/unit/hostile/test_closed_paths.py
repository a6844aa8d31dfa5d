# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and directories of another user, such as root, are refused in one sentence that names them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths, _private
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import lab, preflight
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import preflight as guests
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from closed import modes_hold
from meshctl_headscale import _errors, cli


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a directory in which the directory `closed` and the file `unread.json` cannot be opened."""
    closed = tmp_path / "closed"
    (closed / "labs" / "x").mkdir(parents=True)
    for path in (closed / "report.json", closed / "inventory.yml", tmp_path / "unread.json"):
        path.write_text("{}\n", encoding="utf-8")
    closed.chmod(0)
    (tmp_path / "unread.json").chmod(0)
    monkeypatch.chdir(tmp_path)
    _paths._check.cache_clear()
    with modes_hold():
        yield tmp_path
    for path in (closed, closed / "labs", closed / "labs" / "x"):
        path.chmod(0o700)


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run meshctl; return its exit code and what it complained about."""
    with pytest.raises(SystemExit) as ended:
        _errors.ended(lambda: cli.app(list(words), prog_name="meshctl", standalone_mode=False))
    return int(str(ended.value.code)), capsys.readouterr().err


@pytest.mark.parametrize("place", ["closed", "closed/state"])
@pytest.mark.parametrize(
    "words",
    [
        "exec --lab x node -- true",
        "logs --lab x node",
        "status --lab x",
        "history",
        "history --lab x",
        "watch --lab x --once",
        "up --lab x",
    ],
)
def test_a_state_directory_of_root(
    top: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(top / place))
    code, said = _said(capsys, *words.split())
    assert code == 2
    assert said == (
        f"Error: The directory {top / place} is closed to this user (Permission denied). "
        "Set MESHCTL_STATE_DIR to a directory that you own.\n"
    )


@pytest.mark.parametrize("place", ["labs", "labs/x"])
def test_a_lab_of_root(top: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The state directory is open, and a directory in it is not: the lab must not look as if it were down."""
    (top / "closed").chmod(0o700)
    (top / "closed" / place).chmod(0)
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(top / "closed"))
    with pytest.raises(BadInput, match=f"{top / 'closed' / place} is closed to this user"):
        lab.Lab("x")
    if place == "labs":
        with pytest.raises(BadInput, match="is closed to this user"):
            lab.names()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("report {}/closed", "closed/report.json"),
        ("report {}/unread.json", "unread.json"),
        ("run us1 -i {}/closed/inventory.yml", "closed/inventory.yml"),
        ("run {}/closed/playbook.yml", "closed/playbook.yml"),
        ("run us1 -e @{}/closed/inventory.yml", "closed/inventory.yml"),
        ("history --history {}/closed/history.sqlite", "closed/history.sqlite"),
        ("collect --output {}/closed/it.tar.gz", "closed/it.tar.gz"),
    ],
)
def test_files_of_root(top: Path, capsys: pytest.CaptureFixture[str], words: str, named: str) -> None:
    code, said = _said(capsys, *words.format(top).split())
    assert code == 2, said
    assert str(top / named) in said or named == "unread.json"
    assert len(said.strip().splitlines()) == 1 or "Try 'meshctl" in said
    assert "meshctl itself failed" not in said


def test_runs_of_root(top: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(top / "closed"))
    code, said = _said(capsys, "report")
    assert (code, said) == (
        2,
        f"Error: The directory {top / 'closed'} is closed to this user (Permission denied). "
        "Set MESHCTL_RUNS_DIR to a directory that you own.\n",
    )


def test_a_report_of_root(top: Path) -> None:
    with pytest.raises(BadInput, match=re.escape(f"{top / 'unread.json'} cannot be read: Permission denied.")):
        model.load(top / "unread.json")


def test_the_doctor_names_closed_directories(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"MESHCTL_{name}_DIR", str(top / "closed"))
    found = {one.id: one for one in preflight._disk()}
    for name in ("state", "cache"):
        assert found[f"disk-{name}"].verdict == "fail"
        assert (
            found[f"disk-{name}"].what == f"The directory {top / 'closed'} is closed to this user (Permission denied)"
        )
        assert found[f"disk-{name}"].remedy == f"set MESHCTL_{name.upper()}_DIR to a directory that you own"
    assert [(one.id, one.verdict) for one in guests.examine()] == [("libvirt-guests", "warn")]


def test_open_and_missing_directories_are_fine(tmp_path: Path) -> None:
    _private.check_open(tmp_path, remedy="")
    _private.check_open(tmp_path / "missing" / "too", remedy="")
    (tmp_path / "file").touch()
    _private.check_open(tmp_path / "file" / "below", remedy="")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/a"),
            2,
            "/a cannot be used: Permission denied. Name another",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "/a"),
            2,
            "/a cannot be used: Is a directory. Check the path.",
        ),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "/a"), 2, "/a cannot be used: Too many levels"),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "No space left on device."),
        (OSError(errno.ENOSPC, "No space left on device", "/a"), 3, "/a: No space left on device."),
    ],
)
def test_what_the_system_refuses_is_one_sentence(
    error: OSError, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        _errors.ended(command)
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(f"Error: {said}")
