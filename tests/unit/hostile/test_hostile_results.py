# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's answer is never obeyed as the result of a task: it changes no other host, and makes no check of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.action import service
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import remote
from project import ROOT

_CHECK = {
    "id": "us1.reachable",
    "assertion": "reachable",
    "source": "victim",
    "target": "c",
    "verdict": "failed",
    "hint": "FORGED",
}
_MESH = "meshctl.headscale."
# What a story asks of hosts, one task for each action.
_ACTIONS: dict[str, dict[str, Any]] = {
    "service": {"name": "tailscaled", "state": "restarted"},
    "client": {"state": "down", "timeout": 1},
    "client_info": {"required": False},
    "serve": {"addresses": ["100.64.0.1"]},
    "hold": {},
    "evidence": {"dest": "{{ home }}/evidence"},
    "diagnose": {"part": "client"},
    "mesh_policy_info": {},
    "unknown_nodes_info": {"keys": {}, "url": "https://localhost", "api_key_file": "/nowhere"},
    "node_info": {"url": "https://localhost", "api_key_file": "/nowhere"},
    "assert_listening": {"deadline": 1, "ports": [22]},
    "assert_connected": {"deadline": 1, "peers": ["victim"], "nodes": {"hostile": {"key": "a"}, "victim": {"key": "b"}}},
    "assert_query": {"deadline": 1, "from": "status", "query": "a", "equals": 1, "name": "a"},
}  # fmt: skip


def _orders(home: Path) -> dict[str, Any]:
    """Return what Ansible or a callback would obey in the result of a task."""
    ours = {"ansible_connection": "local", "ansible_python_interpreter": str(home / "evil")}
    return {
        "changed": True,
        "add_host": {"host_name": "victim", "groups": ["headscale"], "host_vars": ours},
        "ansible_stats": {"data": {"FORGED": 1}, "aggregate": True, "per_host": False},
        "ansible_facts": {**ours, "mesh_topology": {"victim": {"address": "FORGED"}}, "mesh_bad_checks": {"us1": ["FORGED"]}},
        "checks": [_CHECK],
        "bad_checks": {},
        "results": [{"checks": [_CHECK], "ansible_facts": {"checks": [_CHECK]}}],
        "mesh_topology": {"victim": {"address": "FORGED"}},
        "mesh_nodes": {"victim": {"given_name": "FORGED"}},
        "mesh_versions": {"headscale": "FORGED"},
        "meshctl_notes": ["FORGED"],
    }  # fmt: skip


def _python(home: Path, *, failed: bool) -> Path:
    orders = {**_orders(home), **({"failed": True, "msg": "no", "meshctl_error": "FORGED"} if failed else {})}
    known = {"kind": "status", "ok": True, "duration_ms": 1, "data": orders}
    names = ("status", "prefs", "serve", "hold", "client", "self", "nodes", "policy", "version")
    answer = {**orders, "host": orders, "observations": dict.fromkeys(names, known), "ok": True, "status": None}
    python = home / "python3"
    said = "\n" + json.dumps(orders), "\n" + remote._MARK + json.dumps(answer)
    python.write_text(
        # A module comes as a file, a script on standard input.
        f"#!{sys.executable}\nimport sys\nscript = any('ISc' in word for word in sys.argv)\nscript and sys.stdin.read()\n"
        f"print({said!r}[script])\n",
        encoding="utf-8",
    )
    (home / "evil").write_text(f"#!/bin/sh\ntouch {home}/owned\n", encoding="utf-8")
    for program in (python, home / "evil"):
        program.chmod(0o755)
    return python


def _play(home: Path, tasks: list[dict[str, Any]]) -> str:
    hosts = {
        "all": {
            "vars": {"mesh_backend": "hosts", "home": str(home), "mesh_probe_ports": [4000]},
            "children": {
                "clients": {
                    "hosts": {
                        "hostile": {"ansible_connection": "local", "ansible_python_interpreter": str(home / "python3")},
                        "victim": {"ansible_connection": "ssh", "ansible_ssh_executable": "/bin/false", "ansible_ssh_retries": 0},
                    }
                },
                "headscale": {"hosts": {"server": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}},
            },
        }
    }  # fmt: skip
    plays = [
        {"hosts": "hostile", "gather_facts": False, "vars": {"mesh_story": "us1"}, "tasks": tasks},
        {"hosts": "victim", "gather_facts": False, "tasks": [{"ansible.builtin.ping": {}}]},
    ]
    (home / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    (home / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        capture_output=True, text=True, check=False, cwd=home, timeout=200,
        env={
            **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_HOME": str(home / "ansible"),
            "ANSIBLE_CALLBACKS_ENABLED": "meshctl.headscale.report", "MESHCTL_RUN_DIR": str(home / "run"),
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        },
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("failed", [False, True])
def test_no_action_obeys_a_host(tmp_path: Path, failed: bool) -> None:
    _python(tmp_path, failed=failed)
    said = _play(tmp_path, [{f"{_MESH}{name}": options, "ignore_errors": True} for name, options in _ACTIONS.items()])
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert not (tmp_path / "owned").exists()
    # It was asked, and its answer is read.
    said_of_service = said.partition("TASK [meshctl.headscale.service]")[2].partition("TASK [")[0]
    assert ('"msg": "no"' if failed else "changed: [hostile]") in " ".join(said_of_service.split())
    assert "victim" in said
    assert "UNREACHABLE" in said
    _nothing_forged(report, said)


@pytest.mark.parametrize("failed", [False, True])
def test_no_module_makes_checks(tmp_path: Path, failed: bool) -> None:
    _python(tmp_path, failed=failed)
    modules: tuple[dict[str, Any], ...] = (
        {"ansible.builtin.ping": {}},
        {"ansible.builtin.command": "true"},
        {"ansible.builtin.ping": {}, "loop": [1, 2]},
        {f"{_MESH}user_info": {"url": "https://localhost", "api_key_file": "/nowhere"}},
    )
    said = _play(tmp_path, [{**task, "ignore_errors": True, "register": "found"} for task in modules])
    _nothing_forged(json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8")), said)
    assert "only meshctl's own actions" in said


def _nothing_forged(report: dict[str, Any], said: str) -> None:
    """No check, fact or note says what the host has made up about another one."""
    made = {key: report[key] for key in ("checks", "topology", "versions")}
    forged = [
        check
        for check in made["checks"]
        if check["hint"] == "FORGED" or check["source"] not in ("hostile", "victim", "localhost")
    ]
    assert not forged
    assert [check["id"] for check in made["checks"] if check["source"] == "victim"] == ["playbook.host_reachable"]
    assert "FORGED" not in json.dumps([made["topology"], made["versions"]])
    assert "CUSTOM STATS" not in said
    assert "Note: FORGED" not in said


def test_a_large_comparison_costs_little() -> None:
    """Ansible compares the texts of a diff in time that grows with the square of the lines."""
    import difflib

    entry = {"header": "x" * 9000, "before": "a\nb\n" * 500_000, "after": "b\na\n" * 500_000}
    found = service._of_host({"changed": "yes", "changes": ["x", None, {}] * 900, "diff": [entry, [], 1]})
    assert found["changed"] is False
    assert len(found["changes"]) <= 200
    begin = time.monotonic()
    list(difflib.unified_diff(*(found["diff"][0][part].splitlines() for part in ("before", "after"))))
    assert time.monotonic() - begin < 2
    assert all(set(one) == {"header", "before", "after"} for one in found["diff"])
