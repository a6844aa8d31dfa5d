# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's own tests of collections, on a copy of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_test
import pytest

__all__ = ["failures", "home", "run", "tree"]

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
# ansible-test fetches get-pip from the network, unless it has it. The pip that Python brings does as well.
GET_PIP = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
wanted = [word for word in sys.argv[1:] if not word.startswith("--no-")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *wanted]).returncode)
"""


def _usable(directory: str) -> bool:
    """Tell whether every Python of a directory is one: a version manager's shim may stand for none."""
    pythons = [path for path in Path(directory).glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name)]
    return all(
        subprocess.run([path, "-c", ""], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
        for path in pythons
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home directory in which ansible-test finds its get-pip."""
    directory = tmp_path_factory.mktemp("home")
    cache = directory / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True)
    source = Path(ansible_test.__path__[0]) / "_internal" / "python_requirements.py"
    for version in set(re.findall(r"pip='([\d.]+)'", source.read_text())):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP)
    return directory


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the collection where ansible-test takes it for one, and may write."""
    copy = tmp_path_factory.mktemp("tree") / "ansible_collections" / "meshctl" / "headscale"
    shutil.copytree(COLLECTION, copy, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis", "output"))
    return copy


def run(*arguments: str, tree: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run ansible-test."""
    path = [directory for directory in os.environ["PATH"].split(os.pathsep) if _usable(directory)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    pip = Path("~/.config/pip/pip.conf").expanduser()
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-test"), *arguments, "--color", "no"],
        cwd=tree,
        env={
            **kept,
            **({"PIP_CONFIG_FILE": str(pip)} if pip.exists() else {}),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), *path]),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )


def failures(output: str) -> str:
    """Return what went wrong."""
    return "\n".join(line for line in output.splitlines() if line.startswith(("ERROR", "FATAL"))) or output[-4000:]
