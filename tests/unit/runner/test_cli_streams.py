# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stdout and stderr that are closed or full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from meshctl_headscale import _streams, _tail

FULL = "No space left on device"
CLOSED = "Bad file descriptor"


def shell(tmp_path: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `meshctl` is this checkout's."""
    meshctl = f'meshctl() {{ "{sys.executable}" -m meshctl_headscale "$@"; }}\n'
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    return subprocess.run(
        ["bash", "-c", meshctl + line], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["list", "list --json", "--help", "run nosuch --json"])
@pytest.mark.parametrize(("where", "why"), [(">/dev/full", FULL), (">&-", CLOSED)])
def test_stdout_that_cannot_be_written_is_a_sentence(tmp_path: Path, command: str, where: str, why: str) -> None:
    done = shell(tmp_path, f"meshctl {command} {where}")
    assert done.stderr.splitlines()[-1] == f"Error: stdout cannot be written: {why}."
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
    assert not list(tmp_path.iterdir()), "this is no defect, and leaves no file"


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "0<&- >/dev/null 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("list", 0), ("run nosuch", 2)])
def test_stderr_has_no_say_in_the_exit_code(tmp_path: Path, command: str, code: int, where: str) -> None:
    assert shell(tmp_path, f"meshctl {command} {where}").returncode == code


@pytest.mark.parametrize(
    ("command", "code"), [("list", 0), ("list --json", 0), ("--help", 0), ("run nosuch --json", 2)]
)
def test_a_reader_that_has_had_enough_does_not_change_the_exit_code(tmp_path: Path, command: str, code: int) -> None:
    done = shell(tmp_path, f"meshctl {command} 2>errors | true; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == code
    errors = (tmp_path / "errors").read_text().splitlines()
    assert errors == ([] if code == 0 else [errors[0]])


def test_a_log_is_not_followed_for_a_reader_that_has_had_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "current").write_text("one\ntwo\n")
    monkeypatch.setattr(_streams._Stdout, "has_reader", False)
    _tail.show({"a": tmp_path / "current"}, lines=10**20, follow=True)
    assert capsys.readouterr().out == "one\ntwo\n"


TEXT = "\u2713 \xe9 \U0001f600 \udcff"
LATIN = b"\\u2713 \xe9 \\ud83d\\ude00 \\udcff"
ASCII = LATIN.replace(b"\xe9", b"\\u00e9")
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    ("environment", "written"),
    [
        pytest.param({"PYTHONIOENCODING": "latin1"}, LATIN, id="latin1"),
        pytest.param({"PYTHONIOENCODING": "ascii:replace"}, b"? ? ? ?", id="errors chosen by the user"),
        pytest.param(C_LOCALE, ASCII, id="C locale"),
        pytest.param({"PYTHONIOENCODING": "utf-8"}, TEXT[:-1].encode() + b"\\udcff", id="UTF-8"),
        pytest.param({**C_LOCALE, "PYTHONUTF8": "1"}, TEXT[:-1].encode() + b"\xff", id="C locale in UTF-8 mode"),
    ],
)
def test_what_an_encoding_does_not_have_is_escaped_as_in_json(environment: dict[str, str], written: bytes) -> None:
    program = f"from meshctl_headscale import _streams; _streams.take_over(); print({TEXT!a}, end='')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (written, b"")
    if not environment.get("PYTHONIOENCODING", "").endswith("replace") and b"\xff" not in written:
        assert json.loads(b'"' + done.stdout.decode("latin1" if written is LATIN else "utf-8").encode() + b'"') == TEXT
