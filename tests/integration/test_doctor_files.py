# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real headscale refuses the files of which the doctor says so, and takes the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files import headscale
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.document import read_yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.examine import examine
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.policy_mesh import Mesh
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.settings import Settings
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.source import Source
from server_files import CONFIG, CONFIG_CHANGES, POLICY, POLICY_CHANGES, USERS, Change

from .api_fixtures import find_program

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def program() -> str:
    return find_program("headscale")


def test_headscale_takes_good_files(program: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "policy.hujson").write_text(POLICY)
    found = examine(str(tmp_path / "config.yaml"), str(tmp_path / "policy.hujson"), program=program)
    assert found.confirmed_by
    assert [one.id for one in found.findings] == ["config.derp.file"]  # the map is not there


@pytest.mark.parametrize("change", [one for one in CONFIG_CHANGES if one.id != "config.duplicate"], ids=str)
def test_headscale_agrees_on_configurations(change: Change, program: str) -> None:
    settings = Settings(read_yaml(Source("config.yaml", change.of(CONFIG)), "config", fold=True))
    said = headscale.ask(program, settings, "")
    assert not said.why_not
    assert bool(said.config) == change.stops, said.config


@pytest.mark.parametrize("change", [one for one in POLICY_CHANGES if one.id != "policy.syntax"], ids=str)
def test_headscale_agrees_on_policies(change: Change, program: str) -> None:
    said = headscale.ask(program, None, change.of(POLICY), Mesh(users=USERS))
    assert not said.why_not
    assert bool(said.policy) == change.stops, said.policy
