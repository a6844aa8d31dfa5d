# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command that ends before it has read its input: its own status and errors are told, not the broken pipe."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import bounds
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import RemoteError, run_script

if TYPE_CHECKING:
    from pathlib import Path

_MORE_THAN_A_PIPE_HOLDS = b"x" * 1_000_000
# It closes its input, says why, and takes its time to end, as ssh does.
_CLIENT = "exec <&-; echo 'sh: 1: exec: python3: Permission denied' >&2; sleep 0.5; exit 126"


def test_the_status_and_errors_of_a_command_that_reads_nothing() -> None:
    with bounds.bounded(seconds=30, most_bytes=1000):
        with subprocess.Popen(
            ["/bin/sh", "-c", _CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            assert process.stdin.write(_MORE_THAN_A_PIPE_HOLDS) == len(_MORE_THAN_A_PIPE_HOLDS)
            process.stdin.close()
            assert b"Permission denied" in process.stderr.read()
        assert process.returncode == 126


def test_a_command_that_reads_gets_everything() -> None:
    with bounds.bounded(seconds=30, most_bytes=2_000_000):
        done = subprocess.run(["/bin/cat"], input=_MORE_THAN_A_PIPE_HOLDS, stdout=subprocess.PIPE, check=True)
    assert done.stdout == _MORE_THAN_A_PIPE_HOLDS


def test_a_host_without_python_is_not_called_unreachable(tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.write_text(f"#!/bin/sh\n{_CLIENT}\n", encoding="utf-8")
    client.chmod(0o755)
    connection: Any = connection_loader.get("ssh", PlayContext(), "/dev/null")
    connection.set_options(direct={"host": "far", "ssh_executable": str(client), "retries": 0, "pipelining": True})
    source = f"def main(request): return request\n#{'x' * len(_MORE_THAN_A_PIPE_HOLDS)}"

    def execute(command: str, **options: Any) -> dict[str, Any]:
        rc, out, err = connection.exec_command(command, **options)
        return {"rc": rc, "stdout": out.decode(), "stderr": err.decode()}

    action: Any = SimpleNamespace(
        _connection=connection,
        _low_level_execute_command=execute,
        _templar=SimpleNamespace(available_variables={}, template=lambda text: text),
        _task=SimpleNamespace(delegate_to=None),
    )
    with pytest.raises(RemoteError, match="cannot be run on the host: install Python") as raised:
        run_script(action, source, {}, deadline_s=5)
    assert raised.value.kind == "no_python"
    assert "Permission denied" in raised.value.stderr
