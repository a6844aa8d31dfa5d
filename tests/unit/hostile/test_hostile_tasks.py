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
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.meshctl.headscale.plugins.connection import netns
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import snapshot
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.engine import Engine
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.record import Active, FaultError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import bounds, guard, limited
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import RemoteError, run_in
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import ssh
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


_FLOODS = ("cat /dev/zero", "cat /dev/zero >&2")
_ACTIVE = Active(id="some-fault", title="t", since="now", undo=())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after 100 kB, so that a test is quick."""
    monkeypatch.setattr(limited, "MOST_BYTES", 100_000)


def _engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(Lab, "enter", lambda _lab, _machine, command: list(command))
    return Engine(Lab("none"), variables={})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("flood", _FLOODS)
def test_what_a_story_may_change_is_read_within_limits(flood: str) -> None:
    run = snapshot.runner(lambda _machine, command: ["sh", "-c", flood, *command], {"PATH": os.defpath})
    with pytest.raises(FaultError, match=r"^node sent more than 0 MB: tailscale debug prefs$"):
        run("node", ["tailscale", "debug", "prefs"])


@pytest.mark.parametrize(
    "said", ["[" * 100_000, "[" * 60 + "]" * 60, "[" + "1," * 1_000_001 + "1]", '{"a": 1, "a": 2}', "no"]
)
def test_what_a_story_may_change_is_no_trap(said: str) -> None:
    with pytest.raises(FaultError, match=r"^node did not answer with usable JSON: .{5,100}$"):
        snapshot._json(said, "node")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("flood", _FLOODS)
def test_the_steps_of_a_fault_have_limits(monkeypatch: pytest.MonkeyPatch, flood: str) -> None:
    engine = _engine(monkeypatch)
    with pytest.raises(FaultError, match=r"^some-fault: node sent more than 0 MB: cat /dev/zero"):
        engine._run("node", flood, _ACTIVE, seconds=50)
    with pytest.raises(FaultError, match=r"^some-fault: node did not end within 0.5 s: sleep 50$"):
        engine._run("node", "sleep 50", _ACTIVE, seconds=0.5)
    with pytest.raises(FaultError, match=r"^some-fault: node: Argument list too long: "):
        engine._run("node", "x" * 5_000_000, _ACTIVE, seconds=50)
    with pytest.raises(FaultError, match=r"^some-fault: node: .{1,1200}: head"):
        engine._run("node", "head -c 50000 /dev/zero >&2; exit 1", _ACTIVE, seconds=50)
    assert engine._run("node", 'read -r word; echo "$HERE $word"', _ACTIVE, seconds=50, stdin="x\n") == "node x\n"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("echo 100.64.0.1; echo fd7a:115c:a1e0::1", ["100.64.0.1", "fd7a:115c:a1e0::1"]),
        ("echo '100.64.0.1;id'; echo 'fd00::1%$(id)'", []),
        ("echo 100.64.0.1; yes", []),
        ("exit 1", []),
    ],
)
def test_the_addresses_of_a_machine_are_addresses(monkeypatch: pytest.MonkeyPatch, said: str, found: list[str]) -> None:
    engine = _engine(monkeypatch)
    monkeypatch.setattr(Lab, "enter", lambda _lab, _machine, _command: ["sh", "-c", said])
    assert engine._mesh_addresses("node") == found


@pytest.mark.usefixtures("small")
def test_a_guest_is_prepared_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\ncat /dev/zero\n", encoding="utf-8")
    (tmp_path / "ssh").chmod(0o755)
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    guest: Any = SimpleNamespace(host="node", address="192.0.2.1")
    with pytest.raises(LabError, match="a command there sent more than 0 MB"):
        ssh.wait(tmp_path, guest, deadline=0, alive=str)
    with pytest.raises(LabError, match="could not be made ready: a command there sent more than 0 MB"):
        ssh.prepare(tmp_path, guest, resolver="192.0.2.1", mark="m")


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
