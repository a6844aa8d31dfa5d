# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with a hostile python3: it floods, hangs, or answers with too much. The controller enforces its own limits."""

from __future__ import annotations

import resource
import shlex
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import remote

_ENDLESS = "exec cat /dev/zero"
_DEAF = "trap '' PIPE TERM ALRM HUP INT; while :; do sleep 1; done"
# Leaves a process behind that holds all pipes, and is nobody's child.
_DAEMON = "(setsid sh -c 'trap \"\" PIPE TERM; sleep 30' &) ; exit 0"


@pytest.fixture(params=["local", "ssh"])
def action(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An action whose connection is Ansible's own; for ssh, the client runs the command here."""
    connection = connection_loader.get(request.param, PlayContext())
    connection.set_options(direct={"timeout": 1} if request.param == "ssh" else {})
    if request.param == "ssh":
        client = tmp_path / "ssh"
        client.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n', encoding="utf-8")
        client.chmod(0o755)
        connection.set_option("ssh_executable", str(client))
        connection.set_option("host", "hostile")
        connection.set_option("control_path_dir", str(tmp_path))

    def execute(command: str, *, in_data: bytes, sudoable: bool) -> dict[str, Any]:
        rc, out, err = connection.exec_command(command, in_data=in_data, sudoable=sudoable)
        return {"rc": rc, "stdout": out.decode("utf-8", "replace"), "stderr": err.decode("utf-8", "replace")}

    return SimpleNamespace(_connection=connection, _low_level_execute_command=execute)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_MARGIN_S", -6)


def run(action: Any, command: str, *, data: bytes = b"x" * 300_000) -> dict[str, Any]:
    return remote._execute(action, command, data, deadline_s=0.5)


def refused(action: Any, command: str, kind: str) -> None:
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(remote.RemoteError) as caught:
        # A real ssh client buffers what it is told to send; what stands in for it here does not.
        run(action, command, data=b"x" if kind == "flooded" else b"x" * 300_000)
    assert caught.value.kind == kind
    assert time.monotonic() - began < 20
    # In KiB: the limit of 8 MB, and the copies of it that plugins make.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_endless_output_is_cut_off(action: Any) -> None:
    refused(action, _ENDLESS, "flooded")


def test_endless_errors_are_cut_off(action: Any) -> None:
    refused(action, f"{_ENDLESS} >&2", "flooded")


@pytest.mark.parametrize(
    "command",
    [_DEAF, f"exec >&- 2>&-; {_DEAF}", f"sh -c {shlex.quote(_DEAF)} & {_DEAF}"],
    ids=["silent", "closed-output", "children"],
)
def test_a_host_that_never_hangs_up_is_ended(action: Any, command: str) -> None:
    refused(action, command, "hung")


def test_a_process_left_behind_does_not_hold_the_run(action: Any) -> None:
    began = time.monotonic()
    try:
        run(action, _DAEMON)
    except remote.RemoteError as error:
        assert error.kind == "hung"
    except Exception as error:  # the pipe broke before all was written
        assert "Broken pipe" in str(error) or "could not be sent" in str(error)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("closed", ["", "exec <&-; "])
def test_nothing_of_the_host_is_left_on_the_controller(action: Any, closed: str) -> None:
    mark = f"sleep 31.{time.monotonic_ns()}"
    with pytest.raises((remote.RemoteError, AnsibleConnectionFailure)):
        run(action, f"{closed}{mark} & {mark}")
    time.sleep(0.2)
    assert mark not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_an_honest_host_is_read_whole(action: Any) -> None:
    done = run(action, "cat; echo errors >&2; exit 3")
    assert (done["rc"], len(done["stdout"]), done["stderr"].strip()) == (3, 300_000, "errors")


def test_subprocesses_outside_are_not_limited(action: Any) -> None:
    run(action, "true", data=b"x")
    assert "Bounded" not in subprocess.Popen.__name__


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("[" * 60_000, "not JSON"),
        ('{"a":' + "[" * 80 + "]" * 80 + "}", "nested"),
        ('{"a":[' + "[]," * 1_000_001 + "1]}", "values"),
        ('{"a":NaN', "not JSON"),
        ("9" * 5000, "not JSON"),
    ],
    ids=["open", "deep", "many", "cut", "digits"],
)
def test_an_answer_that_costs_too_much_is_an_error(answer: str, said: str) -> None:
    began = time.process_time()
    with pytest.raises(remote.RemoteError, match=said) as caught:
        remote.decode(0, f"\n{remote._MARK}{answer}\n", "", interpreter="python3", deadline_s=1)
    assert caught.value.kind == "bad_answer"
    assert time.process_time() - began < 3
