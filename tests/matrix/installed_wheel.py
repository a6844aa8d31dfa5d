# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wheel and the collection's archive on the oldest and newest versions, installed in empty environments and used.

Oldest: the oldest Python, and of every dependency the oldest version that pyproject.toml allows. Newest: the newest
Python that this machine has, and what the package index has newest for it. MESHCTL_MATRIX_PYTHONS adds directories to
look in. Where there is none that the newest ansible-core takes, a tree of a newer Debian is built with mmdebstrap, and
everything runs within it, labs too; MESHCTL_MATRIX_DEBIAN=always has it so in any case.

Each set of versions is a module with these tests and its name in LABEL: a worker of pytest-xdist gets whole modules, so
it installs one set.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree, which

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths
from unaffected import unaffected

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OLDEST = (3, 11)
# The first one that the newest ansible-core takes, and a Debian that has it.
NEW = (3, 13)
NEWER_DEBIAN = "trixie"
NEWER_DEBIAN_PACKAGES = (
    *("ca-certificates", "dnsmasq-base", "git", "iproute2", "iputils-ping", "mawk", "mount", "nftables", "nginx-light"),
    *("openssh-client", "procps", "python3-venv", "s6", "tcpdump", "uidmap", "util-linux"),
)
# What the unit tests need besides the wheel.
FOR_TESTS = ("hypothesis", "pytest", "pytest-xdist", "trustme", "hatchling", "pyyaml")


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and its versions."""

    label: str
    bin: Path
    ansible: str
    python: str
    constraints: Path
    enter: tuple[str, ...] = ()

    def run(self, program: str, *arguments: str | Path, cwd: Path, **env: str) -> str:
        """Run one of its programs, and return what it printed."""
        return _run(self.bin / program, *arguments, cwd=cwd, enter=self.enter, **env)


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
_THIS_PYTHON = ".".join(map(str, sys.version_info[:2]))


def _run(*command: str | Path, cwd: Path, seconds: float = 900, enter: tuple[str, ...] = (), **env: str) -> str:
    """Run a command in an environment in which nothing points at the checkout, and return what it printed."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_", "PYTHON"))
    }
    words = [str(word) for word in command]
    # Whoever enters another tree begins at its top.
    words = [*enter, "/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(cwd), *words] if enter else words
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


@contextmanager
def _newer_debian(folder: Path, binds: list[Path]) -> Iterator[tuple[str, ...]]:
    """Build the tree of a newer Debian and yield what enters it; `binds` are there as they are here."""
    tree = folder / NEWER_DEBIAN
    words = ("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(NEWER_DEBIAN_PACKAGES)}")
    _run(*words, NEWER_DEBIAN, tree, cwd=folder)
    binds = [
        path for path in (*binds, *map(Path, ("/etc/ssl/certs", "/etc/resolv.conf", "/etc/hosts"))) if path.exists()
    ]
    binds += [path for path in map(Path, ("/etc/pip.conf", "/etc/pip", "/opt/wheels")) if path.exists()]
    for path in binds:
        inside = tree / path.resolve().relative_to("/")
        if path.is_dir():
            inside.mkdir(parents=True, exist_ok=True)
        else:
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.touch()
    # A root of its own, and not a changed one: within the latter nobody makes namespaces of users.
    script = """
tree=$1; shift
mount --bind "$tree" "$tree"
for path in /dev /sys "$@"; do mount --rbind "$path" "$tree$path"; done
mount -t proc proc "$tree/proc"
mkdir -p "$tree/.old"; cd "$tree"; pivot_root . .old; cd /; umount -l /.old
echo ready
exec sleep infinity
"""
    real = [str(path.resolve()) for path in binds]
    keeper = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec", script, "sh", str(tree), *real],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "ready\n", "the tree can be entered"
        yield ("nsenter", f"--target={keeper.pid}", "--mount", "--root", "--wd=/", "--")
    finally:
        # Its mounts go with it.
        keeper.kill()
        keeper.wait()
        rmtree(tree, ignore_errors=True)


def _newest_comes_with_debian() -> bool:
    return os.environ.get("MESHCTL_MATRIX_DEBIAN") == "always" or max(PYTHONS) < NEW


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """Return an environment with the wheel and what it depends on, and nothing else."""
    label = request.module.LABEL
    folder = tmp_path_factory.mktemp(label)
    if label == "newest" and _newest_comes_with_debian():
        if os.geteuid() or not which("mmdebstrap"):
            pytest.skip(
                "no new Python here: MESHCTL_MATRIX_PYTHONS names one; or root and mmdebstrap build a tree that has it"
            )
        binds = [tmp_path_factory.getbasetemp(), ROOT, _paths.cache_dir()]
        with _newer_debian(folder, binds) as enter:
            yield _install(label, "/usr/bin/python3", folder, wheel, enter)
        return
    version = min(PYTHONS) if label == "oldest" else max(PYTHONS)
    if label == "oldest" and version != OLDEST:
        pytest.skip(f"this machine has no Python {OLDEST[0]}.{OLDEST[1]}: MESHCTL_MATRIX_PYTHONS names more")
    yield _install(label, PYTHONS[version], folder, wheel, ())


def _install(label: str, base: str | Path, folder: Path, wheel: Path, enter: tuple[str, ...]) -> Installed:
    _run(base, "-m", "venv", folder / "venv", cwd=folder, enter=enter)
    python = folder / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    constraints = folder / "constraints.txt"
    required = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["watch"]]
    lowest = [entry.replace(">=", "==") for entry in required] if label == "oldest" else []
    constraints.write_text("\n".join(lowest))
    _run(*pip, "--constraint", constraints, wheel, cwd=folder, enter=enter)
    shown = _run(python.with_name("ansible"), "--version", cwd=folder, enter=enter, HOME=str(folder))
    core = re.search(r"core ([\d.]+)", shown)
    version = re.search(r"python version = (\d+\.\d+)", shown)
    assert core is not None
    assert version is not None
    return Installed(label, python.parent, core[1], version[1], constraints, enter)


def test_these_are_the_versions_that_are_meant(installed: Installed) -> None:
    print(f"{installed.label}: Python {installed.python}, ansible-core {installed.ansible}")
    if installed.label == "oldest":
        assert installed.ansible.startswith("2.19.")
    else:
        assert tuple(map(int, installed.ansible.split(".")[:2])) > (2, 19)
        assert tuple(map(int, installed.python.split("."))) >= NEW


def test_the_unit_tests_hold(
    installed: Installed, wheel: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", installed.constraints)
    installed.run("python", *pip, *FOR_TESTS, f"{wheel}[watch]", cwd=tmp_path)
    # What is asserted of tools of development (mkdocs, ansible-builder) is the same with every version of ours.
    args = (
        "-q",
        "-p",
        "no:cacheprovider",
        # Many of them wait, so two workers of both sets of versions fit on two cores.
        "-n",
        "2",
        "--basetemp",
        # A short name: the path of a socket has 107 characters.
        tmp_path_factory.mktemp("u"),
        f"--rootdir={ROOT}",
        ROOT / "tests" / "unit",
        # The unit tests themselves run on this Python already; another one may change any of them.
        *(f"--ignore={path}" for path in (unaffected() if installed.python == _THIS_PYTHON else ())),
    )
    printed = installed.run(
        "python",
        "-m",
        "pytest",
        *args,
        cwd=ROOT,
        # The unit tests themselves have run with all parameters and many examples.
        MESHCTL_TEST_SAMPLE="1",
        PATH=f"{installed.bin}:{os.environ['PATH']}",
    )
    assert re.search(r"\d+ passed", printed)
    assert "the extra `watch` is not installed" not in printed


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
    installed.run("meshctl", "down", cwd=tmp_path, **environment)


def test_the_wheel_alone_proves_a_story(installed: Installed, lab: dict[str, str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    installed.run("meshctl", "run", "us1", cwd=work, **lab)
    verdict = installed.run("meshctl", "report", "--query", "verdict", cwd=work, **lab)
    assert verdict.strip() == '"passed"'
    versions = installed.run("meshctl", "report", "--query", 'versions."ansible-core"', cwd=work, **lab)
    assert installed.ansible in versions


def test_the_archive_is_a_collection(installed: Installed, tmp_path: Path) -> None:
    galaxy = ("ansible-galaxy", "collection")
    home = {"HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"}
    installed.run(*galaxy, "build", COLLECTION, "--output-path", tmp_path, cwd=tmp_path, **home)
    (archive,) = tmp_path.glob("*.tar.gz")
    target = tmp_path / "collections"
    installed.run(*galaxy, "install", "--offline", "-p", target, archive, cwd=tmp_path, **home)
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
    printed = installed.run("ansible-playbook", playbook, cwd=tmp_path, **home)
    assert "failed=0" in printed
