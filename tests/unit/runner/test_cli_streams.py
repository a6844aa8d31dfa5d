# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stdout and stderr that are closed or full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path) -> None:
    done = shell(tmp_path, "meshctl list | true")
    assert not done.stderr
