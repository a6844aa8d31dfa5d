# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict of a workflow, from the artifacts of its jobs and of their slices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._stories import stories
from project import ROOT

PASSED = {f"meshctl_{story.id}": {"verdict": "passed", "bad": []} for story in stories(ROOT / "playbooks" / "stories")}


def _part(verdict: str, slices: int = 2, *bad: str) -> dict[str, Any]:
    return {"verdict": verdict, "slices": slices, "bad": [{"id": name} for name in bad]}


def _told(artifacts: dict[str, Any]) -> tuple[int, str]:
    """Return how the job of the verdict ends, and what it says."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            "localhost,",
            "awx/verdict.yml",
            "-e",
            json.dumps(artifacts),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_SHOW_CUSTOM_STATS": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("slices", "says"),
    [
        ({"meshctl_us1_slice_7": _part("passed"), "meshctl_us1_slice_8": _part("skipped")}, ""),
        ({"meshctl_us1_slice_7": _part("passed"), "meshctl_us1_slice_8": _part("failed", 2, "us1.a")}, "us1 failed"),
        ({"meshctl_us1_slice_7": _part("passed")}, "us1 incomplete"),
        ({}, "us1 not run"),
    ],
    ids=["passed", "failed", "missing", "none"],
)
def test_a_story_passes_when_all_of_its_slices_do(slices: dict[str, Any], says: str) -> None:
    others = {name: part for name, part in PASSED.items() if name != "meshctl_us1"}
    code, output = _told({**others, **slices})
    assert (code == 0) is (says == ""), output
    assert says in output
    assert ("us1.a" in output) is ("failed" in says)
