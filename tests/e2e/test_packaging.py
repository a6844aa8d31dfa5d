# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wheel and the collection's archive, built, installed where nothing else is, and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
PROJECT = "meshctl_headscale/_project"


def _environment(**changes: str) -> dict[str, str]:
    """Return an environment in which nothing points at the checkout."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_", "PYTHON"))
    }
    return {**kept, **changes}


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed; its messages are shown when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env or _environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _files(directory: Path) -> set[str]:
    """Return the files below a directory as they are in a repository; links to directories are not followed."""
    made = {"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    return {
        str((Path(folder) / name).relative_to(directory))
        for folder, _, names in os.walk(directory)
        for name in names
        if made.isdisjoint(Path(folder).parts)
    }


def _wheel_of(source: Path, directory: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    _run(*pip, "--wheel-dir", directory, source, cwd=directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the project's wheel."""
    return _wheel_of(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin directory of an environment with the wheel, and the dependencies that stand here already."""
    environment = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin" / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    _run(*install, cwd=environment)
    where = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment).strip()
    # A path in a .pth file is added as it is: the editable install of the checkout, a .pth file in there, is not.
    (Path(where) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def _modules() -> set[str]:
    return {f"meshctl.headscale.{path.stem}" for path in (COLLECTION / "plugins" / "modules").glob("*.py")}


def _listed(text: str) -> dict[str, Path]:
    """Return the modules that ansible-doc listed, with their files."""
    return {name: Path(path) for name, path in (line.split() for line in text.splitlines())}


def test_the_wheel_carries_the_whole_project(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"ansible_collections/meshctl/headscale/{name}" for name in _files(COLLECTION)}
    expected |= {f"meshctl_headscale/{name}" for name in _files(ROOT / "runner" / "meshctl_headscale")}
    for part in ("playbooks", "inventory", "tools"):
        expected |= {f"{PROJECT}/{part}/{name}" for name in _files(ROOT / part)}
    expected |= {f"{PROJECT}/ansible.cfg"}
    assert expected - names == set()


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    strangers = [
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.startswith(("ansible_collections/meshctl/headscale/", "meshctl_headscale/", "meshctl_headscale-"))
        or "__pycache__" in name
        or name.startswith(f"{PROJECT}/playbooks/collections")
    ]
    assert strangers == []


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "dist", cwd=ROOT)
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    (tmp_path / "source").mkdir()
    _run("tar", "-xzf", sdist, "-C", tmp_path / "source", cwd=tmp_path)
    (source,) = (tmp_path / "source").iterdir()
    (tmp_path / "wheel").mkdir()
    again = _wheel_of(source, tmp_path / "wheel")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_the_installed_command_runs_in_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    assert "Usage" in _run(installed / "meshctl", "--help", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_installed_collection_is_documented(installed: Path, tmp_path: Path) -> None:
    env = _environment(HOME=str(tmp_path))
    doc = (installed / "python", "-m", "ansible", "doc")
    listed = _listed(_run(*doc, "--list_files", "meshctl.headscale", cwd=tmp_path, env=env))
    assert set(listed) == _modules()
    assert all(path.is_relative_to(installed.parent) for path in listed.values())
    assert set(json.loads(_run(*doc, "--json", *sorted(listed), cwd=tmp_path, env=env))) == _modules()


def test_the_installed_pins_are_found(installed: Path, tmp_path: Path) -> None:
    code = (
        "from ansible_collections.meshctl.headscale.plugins.plugin_utils import _binaries as b;"
        "print(b.tools_dir(), *b.wanted_versions())"
    )
    directory, *tools = _run(installed / "python", "-c", code, cwd=tmp_path).split()
    assert Path(directory).is_relative_to(installed.parent)
    assert tools == ["headscale", "tailscale"]


def test_the_collection_archive_holds_every_module(tmp_path: Path) -> None:
    # A galaxy.yml beside `collection/` that is no link would build a broken archive without a word.
    assert (ROOT / "galaxy.yml").resolve() == COLLECTION / "galaxy.yml"
    env = _environment(HOME=str(tmp_path), ANSIBLE_COLLECTIONS_SCAN_SYS_PATH="false")
    ansible = (sys.executable, "-m", "ansible")
    _run(*ansible, "galaxy", "collection", "build", COLLECTION, "--output-path", tmp_path, cwd=tmp_path, env=env)
    (archive,) = tmp_path.glob("meshctl-headscale-*.tar.gz")
    with tarfile.open(archive) as tar:
        files = {member.name for member in tar if member.isfile()}
    assert files - {"MANIFEST.json", "FILES.json"} == _files(COLLECTION) - {"galaxy.yml"}
    target = tmp_path / "collections"
    install = ("galaxy", "collection", "install", "--offline", "-p", target, archive)
    _run(*ansible, *install, cwd=tmp_path, env=env)
    env["ANSIBLE_COLLECTIONS_PATH"] = str(target)
    listed = _listed(_run(*ansible, "doc", "--list_files", "meshctl.headscale", cwd=tmp_path, env=env))
    assert set(listed) == _modules()
    assert all(path.is_relative_to(target) for path in listed.values())
