# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services of the lab's machines: what is said to s6, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import apply
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.apply import managers, work

# As s6 2.11 is: it listens at once, and has a status some time after s6-svscan was told to look.
_S6 = {
    "s6-svscanctl": 'touch "$STATE/told"',
    "s6-svok": "true",
    "s6-svstat": (
        '[ -e "$STATE/told" ] || exit 1; echo >>"$STATE/looks"; [ "$(wc -l <"$STATE/looks")" -gt 3 ] || exit 1\n'
        '[ "$1" = -o ] && echo false || touch "$STATE/status"'
    ),
    "s6-svc": '[ -e "$STATE/status" ] || { echo "s6-svlisten1: fatal: unable to s6_svstatus_read" >&2; exit 111; }',
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in _S6.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(tmp_path))
    for name in ("home", "scan", "logs"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(managers, "_S6_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(managers, "_S6_SCAN", str(tmp_path / "scan"))
    monkeypatch.setattr(managers, "_LOGS", str(tmp_path / "logs"))
    marks = tmp_path / "run"
    marks.mkdir()
    monkeypatch.setattr(work, "_MARKS", str(marks))
    return tmp_path


def _start() -> dict[str, object]:
    answer: dict[str, object] = apply.main(
        {"name": "it", "command": ["/bin/true"], "manager": "s6", "state": "started"}
    )
    return answer


def test_service_is_started_only_once_it_has_a_status(machine: Path) -> None:
    answer = _start()
    assert not answer.get("failed"), answer
    assert (machine / "scan" / "it").is_symlink()


def test_service_whose_start_was_cut_off_after_the_link_is_taken_up(machine: Path) -> None:
    (machine / "home" / "it").mkdir()
    (machine / "scan" / "it").symlink_to(machine / "home" / "it")
    answer = _start()
    assert not answer.get("failed"), answer
    assert (machine / "told").exists()


# A service that is up, and whose restarts are counted.
_UP = {
    "s6-svstat": '[ "$1" = -o ] && echo true || true',
    "s6-svc": '[ ! -e "$STATE/broken" ] || exit 1; echo "$@" >>"$STATE/restarts"',
}


@pytest.fixture
def running(machine: Path) -> Path:
    for name, script in _UP.items():
        (machine / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    assert not _applied(machine, "good").get("failed")
    (machine / "restarts").unlink(missing_ok=True)
    return machine


def _applied(machine: Path, content: str, **more: Any) -> dict[str, Any]:
    conf = machine / "conf"
    answer: dict[str, Any] = apply.main(
        {
            "name": "it",
            "command": ["/bin/true"],
            "manager": "s6",
            "state": "started",
            "files": [{"path": str(conf), "content": content, "mode": "0640"}],
            "validate": ["/bin/grep", "-q", "good", str(conf)],
            **more,
        }
    )
    return answer


def _restarts(machine: Path) -> int:
    path = machine / "restarts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def _marks(machine: Path) -> list[str]:
    return [path.name for path in (machine / "run").iterdir()]


def test_a_second_run_changes_nothing(running: Path) -> None:
    answer = _applied(running, "good")
    assert (answer["changed"], answer["changes"], _restarts(running), _marks(running)) == (False, [], 0, [])


def test_a_change_restarts_once(running: Path) -> None:
    assert _applied(running, "good too")["changed"]
    assert not _applied(running, "good too")["changed"]
    assert (_restarts(running), _marks(running)) == (1, [])


def test_a_configuration_that_is_rejected_is_rejected_again(running: Path) -> None:
    conf = running / "conf"
    conf.write_bytes(b"good \xff\n")
    conf.chmod(0o604)
    for _run in range(2):
        answer = _applied(running, "bad")
        assert answer["failed"] is True
        assert "rejects its configuration" in answer["msg"]
        assert f"file {conf} restored" in answer["changes"]
        assert conf.read_bytes() == b"good \xff\n"
        assert conf.stat().st_mode & 0o777 == 0o604
    assert (_restarts(running), _marks(running)) == (0, [])


@pytest.mark.parametrize("validate", [["/bin/false"], ["/no/such/program"]])
def test_a_file_that_is_new_and_rejected_is_removed(running: Path, validate: list[str]) -> None:
    (running / "conf").unlink()
    assert _applied(running, "good", validate=validate)["failed"] is True
    assert not (running / "conf").exists()
    assert _marks(running) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_link_that_is_rejected_is_a_link_again(running: Path, there: bool) -> None:
    conf, other = running / "conf", running / "other"
    conf.rename(other)
    conf.symlink_to(other)
    if not there:
        other.unlink()
    assert _applied(running, "bad")["failed"] is True
    assert conf.readlink() == other
    assert (other.read_text() if other.exists() else None) == ("good" if there else None)


def _cut_off(machine: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Apply, and lose the process right after the files are written."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(work.Work, "check_config", lambda *_args, **_named: (_ for _ in ()).throw(KeyboardInterrupt))
        _applied(machine, content)
    assert (machine / "conf").read_text() == content


def test_a_run_that_was_cut_off_is_completed_by_the_next(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cut_off(running, monkeypatch, "good too")
    predicted = _applied(running, "good too", check=True)
    assert predicted["changes"] == ["service it restarted"]
    assert _restarts(running) == 0
    assert _applied(running, "good too")["changes"] == ["service it restarted"]
    assert (_restarts(running), _marks(running)) == (1, [])
    assert not _applied(running, "good too")["changed"]


def test_a_run_that_was_cut_off_is_validated_by_the_next(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cut_off(running, monkeypatch, "bad")
    for _run in range(2):
        assert "rejects its configuration" in _applied(running, "bad")["msg"]
    assert _restarts(running) == 0
    assert not _applied(running, "good").get("failed")
    assert (_restarts(running), _marks(running)) == (1, [])


def test_a_restart_that_failed_is_made_again(running: Path) -> None:
    (running / "broken").touch()
    assert _applied(running, "good too")["failed"] is True
    (running / "broken").unlink()
    assert _applied(running, "good too")["changes"] == ["service it restarted"]
    assert (_restarts(running), _marks(running)) == (1, [])
