# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a story has noted on the server's machine decides on no host but the one for new nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import remote
from project import ROOT

_DONE = remote._MARK + json.dumps({"changed": True, "changes": [], "diff": []})


def _play(home: Path, note: str) -> tuple[str, str]:
    """Restore what a note says; return what Ansible says, and the commands that each host but the server's gets."""
    programs = {
        # In place of ssh: notes the host and the command. Only a script comes on standard input.
        "client": f'#!/bin/sh\ncase "$*" in *ISc*) cat >/dev/null ;; esac\necho "$*" >>{home}/commands\nprintf \'\\n{_DONE}\\n\'\n',
        # In place of the server's Python: every module succeeds.
        "python3": "#!/bin/sh\necho '{\"changed\": false}'\n",
    }
    for name, text in programs.items():
        (home / name).write_text(text, encoding="utf-8")
        (home / name).chmod(0o755)
    far = {"ansible_connection": "ssh", "ansible_ssh_executable": str(home / "client"), "ansible_ssh_retries": 0}
    near = {"ansible_connection": "local", "ansible_python_interpreter": str(home / "python3")}
    groups: dict[str, Any] = {
        "headscale": {"hosts": {"server": near}},
        "spare": {"hosts": {"newcomer": far}},
        "clients": {"hosts": {"victim": far, "localhost": far}},
    }
    variables = {
        "mesh_policy_note": str(home / "note"), "mesh_server_url": "http://localhost", "mesh_api_key_file": "/none", "mesh_backend": "hosts",
    }  # fmt: skip
    tasks = [{"ansible.builtin.include_tasks": str(ROOT / "playbooks" / "tasks" / "policy" / "restore.yml")}]
    (home / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "children": groups}}), encoding="utf-8")
    (home / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "server", "gather_facts": False, "tasks": tasks}]), encoding="utf-8"
    )
    (home / "note").write_text(note, encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        capture_output=True, text=True, check=False, cwd=home, timeout=120,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_HOME": str(home / "ansible")},
    )  # fmt: skip
    commands = home / "commands"
    return done.stdout + done.stderr, commands.read_text(encoding="utf-8") if commands.exists() else ""


@pytest.mark.parametrize(
    "note",
    [
        {"host": "victim", "user": "u", "policy": "{}"},
        {"host": "localhost", "user": "u", "policy": "{}"},
        {"host": ["victim"], "user": "u", "policy": "{}"},
        {"user": "u", "policy": "{}"},
        ["victim"],
    ],
    ids=str,
)
def test_a_note_sends_no_task_to_another_host(tmp_path: Path, note: object) -> None:
    said, commands = _play(tmp_path, json.dumps(note))
    assert not commands
    assert "not in the group spare" in said


def test_an_honest_note_is_undone(tmp_path: Path) -> None:
    _said, commands = _play(tmp_path, json.dumps({"host": "newcomer", "user": "u", "policy": "{}"}))
    assert "newcomer" in commands
    assert "rm -rf /var/lib/tailscale" in commands
    assert "victim" not in commands
