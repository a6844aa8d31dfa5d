# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new node that states the key of another node gets that one neither renamed, tagged nor removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ROOT

_TASKS = ROOT / "playbooks" / "tasks"
_BEFORE = [{"id": "1", "name": "web"}, {"id": "5", "name": "db"}, {"id": "6", "name": "newcomer"}]


def _tasks(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((_TASKS / path).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("records", "refused"),
    [
        ({"newcomer": {"id": "5", "given_name": "db"}}, True),
        ({"newcomer": {"id": "7", "given_name": "newcomer"}}, False),
        # The server may give an id again that forget.yml has made free.
        ({"newcomer": {"id": "6", "given_name": "newcomer"}}, False),
        ({"db": {"id": "5", "given_name": "db"}}, False),
    ],
    ids=["another's", "new", "again", "unknown"],
)
def test_only_a_record_that_came_with_the_newcomer_is_its_own(
    tmp_path: Path, records: dict[str, Any], refused: bool
) -> None:
    variables = {
        "newcomer": "newcomer", "mesh_nodes": records, "known": {"nodes": _BEFORE}, "before": "{{ listed_before }}",
        "listed_before": _tasks("newcomer.yml")[0]["vars"]["listed_before"],
    }  # fmt: skip
    groups = {"headscale": {"hosts": {"server": {"ansible_connection": "local"}}}}
    tasks = [{"ansible.builtin.import_tasks": str(_TASKS / "newcomer" / "own.yml")}]
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}), encoding="utf-8")
    play = {"hosts": "server", "gather_facts": False, "vars": variables, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_HOME": str(tmp_path / "ansible")},
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode != 0) is refused, said
    assert ("newcomer states the key of node 5 (db), which the server had before newcomer joined" in said) is refused


@pytest.mark.parametrize("path", ["newcomer/join.yml", "policy/join.yml"])
def test_the_record_of_each_new_node_is_examined_before_it_is_used(path: str) -> None:
    tasks = _tasks(path)
    found = next(number for number, task in enumerate(tasks) if "meshctl.headscale.assert_registered" in task)
    assert tasks[found + 1]["ansible.builtin.import_tasks"].endswith("own.yml")


def test_no_node_is_changed_by_the_key_that_a_host_states() -> None:
    assert not [path for path in _TASKS.rglob("*.yml") if "node_key:" in path.read_text(encoding="utf-8")]
