# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All stories pass again and again: a short form of `tests/bench/soak.py --runs 50`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

BENCH = Path(__file__).resolve().parent.parent / "bench"
RUNS = int(os.environ.get("MESHCTL_SOAK_RUNS", "1"))


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def own_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lab that is nobody else's, gone in the end."""
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("MESHCTL_LAB", "soak")
    yield tmp_path
    subprocess.run([_load("soak").meshctl(), "down"], capture_output=True, check=False)


@pytest.mark.integration
@pytest.mark.parametrize("fresh", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["one lab", "from nothing"])
def test_all_stories_pass_again_and_again(own_lab: Path, *, fresh: bool) -> None:
    """Each healthy run is a pass."""
    found = _load("soak").soak(number=RUNS, runs=own_lab / "runs", fresh=fresh, arguments=[])
    assert found.passes == RUNS, f"{found.failed}\n{found.as_dict()}"


@pytest.mark.integration
@pytest.mark.slow
def test_the_plain_script_makes_as_many_checks_and_all_pass() -> None:
    """The benchmark's yardstick is no yardstick when it fails."""
    if missing := [program for program in ("curl", "dig", "socat") if not shutil.which(program)]:
        pytest.skip(f"the script needs {', '.join(missing)}")
    env = {**os.environ, **{name.upper(): path for name, path in _load("bench").programs().items()}}
    done = subprocess.run(["/bin/bash", str(BENCH / "plain.sh")], env=env, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert done.returncode == 0, "\n".join(failed) + done.stderr[-2000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) > 440
