# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job that runs a lab on another host passes to later jobs, whose variables it becomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from project import ROOT

_MARK = "CUSTOM STATS:"


def _passed_on(home: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Return the artifact of a job in which meshctl prints this report."""
    program = home / "meshctl"
    (home / "report.json").write_text(json.dumps(report), encoding="utf-8")
    program.write_text(f"#!/bin/sh\ncat {home}/report.json\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    options = {
        "meshctl_program": str(program),
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "lab-1,", "-e", json.dumps(options),
         str(ROOT / "awx" / "lab_host.yml")],
        capture_output=True, text=True, check=False, cwd=home, timeout=120,
        env={**os.environ, "ANSIBLE_HOME": str(home / "ansible"), "ANSIBLE_SHOW_CUSTOM_STATS": "1"},
    )  # fmt: skip
    _before, mark, rest = done.stdout.partition(_MARK)
    assert mark, done.stdout + done.stderr
    stats = rest[rest.index("RUN: ") + len("RUN: ") :]
    found: dict[str, Any] = json.JSONDecoder().raw_decode(stats)[0]
    return dict(found["meshctl"])


def test_the_artifact_holds_no_templates(tmp_path: Path) -> None:
    evil = "{{ lookup('pipe', 'touch " + str(tmp_path / "owned") + '\') }}{% if 1 %}{# x #}{{{ \\{{ "{{"'
    check = {"id": evil, "source": evil, "target": None, "hint": evil, "verdict": "failed", "evidence": {evil: evil}}
    found = _passed_on(
        tmp_path,
        {
            "verdict": "failed",
            "counts": {"passed": 1, "failed": 1, evil: evil},
            "stories": [{"id": "us1", "verdict": "failed"}, {"id": evil, "verdict": evil}],
            "checks": [check, {**check, "verdict": "passed"}],
        },
    )
    assert found["verdict"] == "failed"
    assert found["counts"]["passed"] == 1
    assert found["stories"]["us1"] == "failed"
    assert [set(entry) for entry in found["bad"]] == [{"id", "source", "target", "hint"}]
    assert any("lookup(" in text for text in _strings(found))
    assert not any(mark in text for text in _strings(found) for mark in ("{{", "{%", "{#"))
    assert not (tmp_path / "owned").exists()


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []
