# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wheel and the collection's archive on the oldest and newest versions, installed in empty environments and used.

Oldest: the oldest Python, and of every dependency the oldest version that pyproject.toml allows. Newest: the newest
Python that this machine has, and what the package index has newest for it. MESHCTL_MATRIX_PYTHONS adds directories to
look in.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OLDEST = (3, 11)
# What the unit tests need besides the wheel.
FOR_TESTS = ("hypothesis", "pytest", "trustme", "hatchling", "pyyaml")


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and its versions."""

    label: str
    bin: Path
    ansible: str
    python: str


def _pythons() -> dict[tuple[int, int], Path]:
    """Return a Python of each version that this machine has; a version manager's shim may stand for none."""
    folders = [*os.environ.get("MESHCTL_MATRIX_PYTHONS", "").split(os.pathsep), *os.environ["PATH"].split(os.pathsep)]
    folders += [str(path) for path in Path("~/.pyenv/versions").expanduser().glob("*/bin")]
    candidates = [Path(folder) / f"python3.{minor}" for minor in range(OLDEST[1], 20) for folder in folders if folder]
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    found: dict[tuple[int, int], Path] = {(sys.version_info[0], sys.version_info[1]): Path(sys.executable)}
    for path in dict.fromkeys(candidates):
        if path.exists():
            done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                major, minor = map(int, done.stdout.split())
                found.setdefault((major, minor), path)
    return found


PYTHONS = _pythons()
LABELS = ["oldest", "newest"]


def _run(*command: str | Path, cwd: Path, seconds: float = 600, **env: str) -> str:
    """Run a command in an environment in which nothing points at the checkout, and return what it printed."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_", "PYTHON"))
    }
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**kept, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{words}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the project's wheel."""
    target = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, ROOT, cwd=target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="session", params=LABELS)
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return an environment with the wheel and what it depends on, and nothing else."""
    label = request.param
    version = min(PYTHONS) if label == "oldest" else max(PYTHONS)
    if label == "newest" and version == OLDEST:
        pytest.skip(
            f"this machine has no Python newer than {version[0]}.{version[1]}: MESHCTL_MATRIX_PYTHONS names more"
        )
    if label == "oldest" and version != OLDEST:
        pytest.skip(f"this machine has no Python {OLDEST[0]}.{OLDEST[1]}: MESHCTL_MATRIX_PYTHONS names more")
    folder = tmp_path_factory.mktemp(label)
    _run(PYTHONS[version], "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    constraints = folder / "constraints.txt"
    lowest = [re.sub(r">=", "==", entry) for entry in PROJECT["dependencies"]] if label == "oldest" else []
    constraints.write_text("\n".join(lowest))
    _run(*pip, "--constraint", constraints, wheel, cwd=folder)
    shown = _run(python.with_name("ansible"), "--version", cwd=folder, HOME=str(folder))
    core = re.search(r"core ([\d.]+)", shown)
    assert core is not None
    return Installed(label, python.parent, core[1], ".".join(map(str, version)))


def test_these_are_the_versions_that_are_meant(installed: Installed) -> None:
    print(f"{installed.label}: Python {installed.python}, ansible-core {installed.ansible}")
    if installed.label == "oldest":
        assert installed.ansible.startswith("2.19.")
    else:
        assert tuple(map(int, installed.ansible.split(".")[:2])) > (2, 19)


def test_the_unit_tests_hold(installed: Installed, tmp_path: Path) -> None:
    python = installed.bin / "python"
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *FOR_TESTS, cwd=tmp_path)
    # What is asserted of tools of development (mkdocs, ansible-builder) is the same with every version of ours.
    args = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        tmp_path / "pytest",
        f"--rootdir={ROOT}",
        ROOT / "tests" / "unit",
    )
    printed = _run(
        python,
        "-m",
        "pytest",
        *args,
        cwd=ROOT,
        PYTHONDONTWRITEBYTECODE="1",
        PATH=f"{installed.bin}:{os.environ['PATH']}",
    )
    assert re.search(r"\d+ passed", printed)


@pytest.fixture
def lab(installed: Installed, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of a run in an empty directory; what it built is taken away."""
    environment = {
        "HOME": str(tmp_path),
        "MESHCTL_CACHE_DIR": str(_paths.cache_dir()),
        "MESHCTL_STATE_DIR": str(tmp_path / "state"),
        "MESHCTL_LAB": f"m{uuid.uuid4().hex[:8]}",
        "PATH": f"/usr/local/sbin:/usr/sbin:/sbin:{os.environ['PATH']}",
    }
    yield environment
    _run(installed.bin / "meshctl", "down", cwd=tmp_path, **environment)


def test_the_wheel_alone_proves_a_story(installed: Installed, lab: dict[str, str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    _run(installed.bin / "meshctl", "run", "us1", cwd=work, **lab)
    verdict = _run(installed.bin / "meshctl", "report", "--query", "verdict", cwd=work, **lab)
    assert verdict.strip() == '"passed"'
    versions = _run(installed.bin / "meshctl", "report", "--query", 'versions."ansible-core"', cwd=work, **lab)
    assert installed.ansible in versions


def test_the_archive_is_a_collection(installed: Installed, tmp_path: Path) -> None:
    galaxy = (installed.bin / "ansible-galaxy", "collection")
    home = {"HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"}
    _run(*galaxy, "build", COLLECTION, "--output-path", tmp_path, cwd=tmp_path, **home)
    (archive,) = tmp_path.glob("*.tar.gz")
    target = tmp_path / "collections"
    _run(*galaxy, "install", "--no-deps", "--offline", "-p", target, archive, cwd=tmp_path, **home)
    playbook = tmp_path / "use.yml"
    playbook.write_text(
        """
- hosts: localhost
  gather_facts: false
  tasks:
    - meshctl.headscale.assert_query: {document: {nodes: [1, 2]}, query: length(nodes), equals: 2, story: archive}
      register: asserted
    - ansible.builtin.assert:
        that: asserted.checks[0].verdict == 'passed'
"""
    )
    home["ANSIBLE_COLLECTIONS_PATH"] = str(target)
    printed = _run(installed.bin / "ansible-playbook", playbook, cwd=tmp_path, **home)
    assert "failed=0" in printed
