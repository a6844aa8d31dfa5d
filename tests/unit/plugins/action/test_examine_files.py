# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks examine files of a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.action import examine_files


def _result(findings: list[dict[str, object]]) -> dict[str, object]:
    return {"findings": findings, "files": ["config.yaml", "policy.hujson"]}


def test_the_message_names_places_problems_and_remedies() -> None:
    one = {"file": "config.yaml", "line": 3, "problem": "x is unknown", "remedy": "remove it"}
    assert examine_files._message(_result([])) == "nothing to fix in config.yaml and policy.hujson"
    assert examine_files._message(_result([one])) == "config.yaml:3: x is unknown: remove it"
    assert examine_files._message(_result([{**one, "line": None}] * 7)).endswith("remove it; and 2 more")


def test_the_action_examines_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "policy.hujson").write_text('{"x\\u009b": 1}')
    action = examine_files.ActionModule.__new__(examine_files.ActionModule)
    options = {
        "config": None,
        "policy": str(tmp_path / "policy.hujson"),
        "users": None,
        "headscale": None,
        "min_severity": None,
    }
    monkeypatch.setattr("ansible.plugins.action.ActionBase.run", lambda *_args: {})
    monkeypatch.setattr(action, "validate_argument_spec", lambda **_given: ({}, options), raising=False)
    found = action.run(None, {})
    assert (found["failed"], found["changed"]) == (True, False)
    assert "\x9b" not in found["msg"]
    options["policy"] = str(tmp_path / "absent")
    assert action.run(None, {})["meshctl_error"] == "bad_input"
