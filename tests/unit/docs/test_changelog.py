# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changelog is generated, and the distribution and the collection have one version."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from project import COLLECTION, ROOT

pytest.importorskip("antsibull_changelog")


def test_the_changelog_is_what_the_generator_writes(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("antsibull-changelog")
    subprocess.run([program, "generate", "--output", tmp_path / "new.md"], cwd=COLLECTION, check=True)
    assert (tmp_path / "new.md").read_text() == (COLLECTION / "CHANGELOG.md").read_text()
    assert (ROOT / "CHANGELOG.md").resolve() == COLLECTION / "CHANGELOG.md"


def test_the_packages_have_one_version_and_the_role_installs_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((COLLECTION / "galaxy.yml").read_text())["version"] == project
    defaults = yaml.safe_load((COLLECTION / "roles/mesh_watch/defaults/main.yml").read_text())
    assert defaults["mesh_watch_package"] == f"meshctl-headscale[watch]=={project}"
    assert project in yaml.safe_load((COLLECTION / "changelogs" / "changelog.yaml").read_text())["releases"]
