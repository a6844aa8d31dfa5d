# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection under Ansible's own tests: units, and targets with a real headscale on loopback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import BinariesError, Sources, find
from ansible_tests import failures, home, run, tree

__all__ = ["home", "tree"]
pytestmark = pytest.mark.e2e


def test_units(tree: Path, home: Path) -> None:
    done = run("units", "--venv", tree=tree, home=home)
    assert done.returncode == 0, failures(done.stdout)
    assert re.search(r"\d+ passed", done.stdout)


def test_targets(tree: Path, home: Path) -> None:
    try:
        headscale = find(["headscale"], sources=Sources.from_environment(), progress=lambda _text: None)["headscale"]
    except BinariesError as exc:
        pytest.fail(str(exc))
    config = tree / "tests" / "integration" / "integration_config.yml"
    config.write_text(yaml.safe_dump({"setup_headscale_program": str(headscale.path)}))
    done = run("integration", tree=tree, home=home)
    assert done.returncode == 0, done.stdout[-6000:]
    targets = {path.parent.name for path in tree.glob("tests/integration/targets/*/tasks")} - {"setup_headscale"}
    for target in targets:
        assert f"Running {target} integration test role" in done.stdout
    assert "failed=1" not in done.stdout
