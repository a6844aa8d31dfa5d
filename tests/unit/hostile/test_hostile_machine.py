# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile root of a lab machine: commands show what it writes and answers, harmlessly and within limits, or remove it."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import lab
from hypothesis import given
from hypothesis import strategies as st
from meshctl_headscale import _collection, _doctor, _labs, _tail
from project import ROOT

_EVIL = b"\x1b]0;title\x07 \x9b31m \xe2\x80\xae reversed \xc2\x9b \rgone\tkept"
_SHOWN = r"\x1b]0;title\x07 �31m \u202e reversed \x9b \x0dgone" + "\tkept"
_FIELDS = st.sampled_from(["data", "Self", "Peer", "nodes", "error", "ok", "TailscaleIPs", "it"])
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_FIELDS, inner, max_size=4),
    max_leaves=12,
)


def _show(path: Path, capsys: pytest.CaptureFixture[str], lines: int = 50) -> str:
    _tail.show({path.parent.name: path}, lines=lines, follow=False)
    return capsys.readouterr().out


def test_controls_of_a_log_are_visible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "current"
    path.write_bytes(b"honest\n" + _EVIL + b"\n")
    assert _show(path, capsys) == f"honest\n{_SHOWN}\n"
    with path.open("ab") as file:
        file.write(_EVIL + b"\n")
    at = (path.stat().st_ino, path.stat().st_size - len(_EVIL) - 1)
    _tail._more("a\x1b[2J", path, at)
    assert capsys.readouterr().out == rf"a\x1b[2J: {_SHOWN}" + "\n"


def test_names_of_services_are_visible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "current"
    path.write_text("x\n", encoding="utf-8")
    _tail.show({"a\x1b[2J\n==> b": path, "c": path}, lines=1, follow=False)
    assert capsys.readouterr().out.splitlines()[0] == r"==> a\x1b[2J ==> b <=="


def test_a_long_line_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "current"
    path.write_bytes(b"x" * 1_000_000 + b"\nend\n")
    first, second = _show(path, capsys).splitlines()
    assert first.endswith("x… (995904 more bytes)")
    assert len(first) < 5000
    assert second == "end"


def test_a_log_without_an_end_costs_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "current"
    path.touch()
    os.truncate(path, 1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(_show(path, capsys)) < 20_000
    at = _tail._more("", path, (path.stat().st_ino, 0))
    assert at == (path.stat().st_ino, 1 << 40)
    assert len(capsys.readouterr().out) < 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_long_log_is_shown_from_a_whole_line_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "current"
    path.write_bytes(b"".join(b"line %06d\n" % number for number in range(500_000)))
    found = _show(path, capsys, lines=10**6).splitlines()
    assert found[-1] == "line 499999"
    assert set(map(len, found)) == {11}


def test_a_machine_with_many_log_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_labs, "_MOST_SERVICES", 20)
    for number in range(200):
        (tmp_path / "logs" / "node" / str(number)).mkdir(parents=True)
        (tmp_path / "logs" / "node" / str(number) / "current").write_text("x", encoding="utf-8")
    monkeypatch.setattr(_collection.lab, "Lab", lambda _name: SimpleNamespace(directory=tmp_path, record=None))
    assert len(_labs.log_files("lab", "node", None)) == 20


@given(answer=_ANYTHING)
def test_an_answer_of_any_shape_is_a_row(answer: Any) -> None:
    row = _labs.Machine(host="a", kind="client", subnet="s", address="")
    seen = _labs._mapping(_labs._mapping(answer).get("it") or answer)
    _labs._fill(row, {"ok": True, **seen}, _labs._by_key(seen)[0])
    assert isinstance(row.peers, int)


def test_the_doctor_says_what_a_lab_does_not_contain() -> None:
    found = {finding["id"]: finding for finding in _doctor._containment()}
    assert set(found) == {"containment-kernel", "containment-files", "containment-resources"}
    limits = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## Known limitations")[2].split())
    for word in ("kernel", "/usr", "/etc/passwd", "vsock", "processors", "memory", "disk space"):
        assert any(word in finding["what"] for finding in found.values()), word
        assert word in limits, word


def _as_another_user(work: Callable[[], None]) -> int:
    """Do something in a child process, without the rights of root; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(61234, 61234, 61234)
                os.setresuid(61234, 61234, 61234)
            work()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _plant(directory: Path) -> None:
    """Leave in the log directory of a machine what its root can make there."""
    (directory / "closed" / "inside").mkdir(parents=True)
    (directory / "closed" / "inside" / "file").touch()
    (directory / "closed" / "inside").chmod(0)
    (directory / "closed").chmod(0o500)
    os.mkfifo(directory / "pipe")
    (directory / "link").symlink_to("/")
    os.chdir(directory)
    for _level in range(1500):
        os.mkdir("d")  # noqa: PTH102 - the whole path becomes too long
        os.chdir("d")
    os.chdir("/")


def test_a_lab_is_removed_whatever_a_machine_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as top:
        state = Path(top) / "state"
        state.mkdir()
        if os.geteuid() == 0:
            Path(top).chmod(0o755)
            os.chown(state, 61234, 61234)
        monkeypatch.setenv("MESHCTL_STATE_DIR", str(state))

        def take_down() -> None:
            found = lab.Lab("x")
            (found.directory / "logs" / "node").mkdir(parents=True)
            _plant(found.directory / "logs" / "node")
            found.down()

        assert _as_another_user(take_down) == 0
        assert not (state / "labs" / "x").exists()
