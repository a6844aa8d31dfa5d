# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that hang or flood in any task, not only in a probe: each becomes unreachable, and the others go on."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.meshctl.headscale.plugins.connection import netns
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import bounds, guard
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import RemoteError, run_in
from project import ROOT

# In place of the clients ssh and sftp: the host's name says what the host does. An honest one runs the command.
_CLIENT = r"""#!/bin/sh
for last; do :; done
# A real client reads what it is to send.
case "$*" in *honest*) ;; *) exec 3<&0; cat <&3 >/dev/null & esac
case "$*" in
    *flooding*) exec cat /dev/zero ;;
    *values*) exec tr '\0' '[' </dev/zero | head -c 2000000 ;;
    *hanging*) trap '' PIPE TERM HUP; while :; do sleep 1; done ;;
    *trickling*) while :; do printf x; sleep 0.2; done ;;
    *) exec sh -c "$last" ;;
esac
"""
_HOSTILE = ("flooding", "values", "hanging", "trickling")
_TASKS: dict[str, dict[str, Any]] = {
    "raw": {"ansible.builtin.raw": "echo done"},
    "module": {"ansible.builtin.command": "echo done"},
    "action": {"ansible.builtin.copy": {"content": "x", "dest": "{{ home }}/{{ inventory_hostname }}"}},
}


def _play(tmp_path: Path, task: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    client = tmp_path / "client"
    client.write_text(_CLIENT, encoding="utf-8")
    client.chmod(0o755)
    variables = {
        "ansible_connection": "ssh", "ansible_ssh_executable": str(client), "ansible_sftp_executable": str(client), "home": str(tmp_path),
        "ansible_python_interpreter": sys.executable, "ansible_remote_tmp": str(tmp_path / "remote"), "ansible_ssh_retries": 0,
    }  # fmt: skip
    hosts = dict.fromkeys([*_HOSTILE, "honest"])
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "hosts": hosts}}), encoding="utf-8")
    play = {"hosts": "all", "gather_facts": False, "tasks": [task, {"ansible.builtin.debug": {"msg": "went on"}}]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", "--forks", "9"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=100,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_HOME": str(tmp_path / "ansible"),
             "ANSIBLE_CALLBACKS_ENABLED": "meshctl.headscale.report", "MESHCTL_COMMAND_TIMEOUT": "12",
             "MESHCTL_RUN_DIR": str(tmp_path / "run"), "ANSIBLE_PIPELINING": "true"},
    )  # fmt: skip


@pytest.mark.parametrize("kind", list(_TASKS))
def test_every_kind_of_task_has_limits(tmp_path: Path, kind: str) -> None:
    began = time.monotonic()
    done = _play(tmp_path, _TASKS[kind])
    assert time.monotonic() - began < 90
    recap = {line.split()[0]: line for line in done.stdout.rpartition("PLAY RECAP")[2].splitlines()[1:] if line.strip()}
    assert "unreachable=0 " in recap["honest"], done.stdout[-3000:]
    assert "failed=0 " in recap["honest"], done.stdout[-3000:]
    assert {name for name in _HOSTILE if "unreachable=1 " in recap[name]} == set(_HOSTILE), done.stdout[-3000:]
    said = " ".join((done.stdout + done.stderr).split())
    assert "sent more than 8 MB, or 1000000 JSON values, and was cut off" in said, said[-3000:]
    assert "did not finish a command or transfer within 12 s" in said, said[-3000:]


def test_a_transfer_has_limits(tmp_path: Path) -> None:
    guard.install(seconds=2)
    try:
        found = connection_loader.get_with_context("ssh", PlayContext())
    finally:
        connection_loader.get_with_context = connection_loader.get_with_context.unguarded
    connection = found.object
    client = tmp_path / "client"
    client.write_text(_CLIENT, encoding="utf-8")
    client.chmod(0o755)
    connection.set_options(
        direct={"host": "hanging", "sftp_executable": str(client), "control_path_dir": str(tmp_path)}
    )
    connection.set_option("reconnection_retries", 0)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for method in (connection.put_file, connection.fetch_file):
        with pytest.raises(AnsibleConnectionFailure, match="transfer within 2 s"):
            method(str(tmp_path / "file"), str(tmp_path / "other"))
    assert not bounds.active()


def _machine(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> Any:
    connection = netns.Connection(PlayContext())
    monkeypatch.setattr(connection, "get_option", {"remote_addr": "node", "lab_name": "none"}.get)
    monkeypatch.setattr(netns.Lab, "enter", lambda _lab, _name, _command: words)
    return connection


def test_a_file_of_a_lab_machine_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "_LARGEST", 300_000)
    connection = _machine(monkeypatch, ["env", "--"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Exception, match=r"/dev/zero is larger than 0 MB and was not copied"):
        connection.fetch_file("/dev/zero", str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_files_of_a_lab_machine_are_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = _machine(monkeypatch, ["env", "--"])
    (tmp_path / "file").write_bytes(os.urandom(300_000))
    connection.put_file(str(tmp_path / "file"), str(tmp_path / "there"))
    connection.fetch_file(str(tmp_path / "there"), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    with pytest.raises(Exception, match="could not read"):
        connection.fetch_file(str(tmp_path / "missing"), str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("script", "kind"), [("exec cat /dev/zero", "flooded"), ("trap '' TERM; sleep 50", "hung")])
def test_the_state_of_a_lab_machine_is_read_within_limits(
    monkeypatch: pytest.MonkeyPatch, script: str, kind: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RemoteError) as caught:
        run_in(lambda _command: ["sh", "-c", script], "", {}, deadline_s=-6)
    assert caught.value.kind == kind
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_relay_takes_no_signal_from_the_main_thread() -> None:
    """A task that is told to end twice at once did not wake up: the relay's thread had taken both signals."""
    with bounds.bounded(seconds=30, most_bytes=1000):
        process = subprocess.Popen(["sleep", "30"], stdout=subprocess.PIPE)
        try:
            relay = next(thread for thread in threading.enumerate() if isinstance(thread, bounds._Relay))
            status = Path(f"/proc/self/task/{relay.native_id}/status").read_text()
            blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk:")).split()[1], 16)
            assert all(blocked & 1 << number - 1 for number in (signal.SIGINT, signal.SIGTERM))
            assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])
        finally:
            process.kill()
            process.communicate()
