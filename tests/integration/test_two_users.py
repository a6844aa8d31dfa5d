# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two users on one machine, whatever the first one's umask: the second reads, changes and uses nothing of the first's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab_driver import PROJECT, LabDriver, Machine, standing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users"),
]

NODE = "client-node-1"
_REACHED = """
cd /
for top in "$@"; do
    find "$top" -mindepth 1 -readable -type f 2>/dev/null
    find "$top" -writable ! -type l 2>/dev/null
done
"""


@pytest.fixture(scope="module", params=[0o000, 0o077], ids=["umask-000", "umask-077"])
def lab(request: pytest.FixtureRequest, machine: Machine) -> Iterator[LabDriver]:
    """Return a lab that the first user, root, has built, with a run of a story below the working directory."""
    before = os.umask(request.param)
    try:
        with standing(LabDriver(machine)) as driver:
            driver.build().succeeded()
            directory = machine.home / driver.name
            directory.mkdir(mode=0o755)
            directory.chmod(0o755)
            play = PROJECT / "tests" / "e2e" / "cli_project" / "passes.yml"
            ran = _meshctl(machine, "run", str(play), "-i", str(driver.path), cwd=directory)
            assert ran.returncode in (0, 1, 3), ran.stderr
            yield driver
    finally:
        os.umask(before)


def _meshctl(
    user: Machine, *words: str, cwd: Path, state: Path | None = None, runs: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = user.env(MESHCTL_STATE_DIR=str(state or user.state_dir), MESHCTL_RUNS_DIR=str(runs or cwd / "runs"))
    program = str(Path(sys.executable).with_name("meshctl"))
    return subprocess.run(
        user.command([program, *words]), env=environment, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_the_second_user_reaches_no_file_of_the_first(lab: LabDriver, ordinary: Machine) -> None:
    tops = [str(lab.machine.state_dir), str(lab.machine.home / lab.name / "runs")]
    assert all(list(Path(top).rglob("*.json")) for top in tops), "there is something to be read"
    search = ["/bin/sh", "-c", _REACHED, "sh", *tops]
    found = subprocess.run(ordinary.command(search), capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("", "")
    # The search finds what can be read and changed.
    seen = subprocess.run(search, capture_output=True, text=True, check=True)
    assert any(line.endswith("record.json") for line in seen.stdout.splitlines())


def test_the_second_user_uses_no_lab_of_the_first(lab: LabDriver, ordinary: Machine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    canary = Path(f"/proc/{lab.process(NODE)}")
    for words in (["status"], ["logs", NODE], ["exec", NODE, "--", "id"]):
        own = _meshctl(ordinary, words[0], "--lab", lab.name, *words[1:], cwd=tmp_path)
        assert own.returncode in (2, 3), own.stdout
        assert "is not up" in own.stderr
        other = _meshctl(ordinary, words[0], "--lab", lab.name, *words[1:], cwd=tmp_path, state=lab.machine.state_dir)
        assert other.returncode in (2, 3), other.stdout
        assert "Traceback" not in other.stderr
    down = _meshctl(ordinary, "down", "--lab", lab.name, cwd=tmp_path, state=lab.machine.state_dir)
    assert down.returncode != 0
    enter = subprocess.run(
        ordinary.command(["nsenter", f"--target={lab.process(NODE)}", "--user", "--mount", "id"]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert enter.returncode != 0
    kill = subprocess.run(ordinary.command(["kill", str(lab.process(NODE))]), capture_output=True, check=False)
    assert kill.returncode != 0
    assert canary.exists()


def test_the_first_user_does_not_use_what_the_second_has_prepared(
    lab: LabDriver, ordinary: Machine, tmp_path: Path
) -> None:
    tmp_path.chmod(0o1777)
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    ordinary.give(theirs)
    play = str(PROJECT / "tests" / "e2e" / "cli_project" / "passes.yml")
    for place in ({"runs": theirs}, {"state": theirs}):
        ran = _meshctl(lab.machine, "run", play, "-i", str(lab.path), cwd=tmp_path, **place)
        if "runs" in place:
            assert ran.returncode in (2, 3)
            assert "belongs to another user" in ran.stderr
        assert list(theirs.iterdir()) == []


def test_machines_work_whatever_the_umask(lab: LabDriver) -> None:
    modes = lab.shell(
        NODE, "stat -c '%a %n' / /etc /etc/passwd /etc/hosts /etc/resolv.conf /run /var /var/log /root /tmp"
    )
    for line in modes.splitlines():
        mode, path = line.split()
        assert int(mode, 8) & 0o022 == 0 or path == "/tmp", line
    assert lab.shell(
        NODE, "setpriv --reuid=1000 --regid=1000 --clear-groups cat /etc/passwd /etc/hosts /etc/resolv.conf"
    )
