# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connect to a machine of the embedded lab."""

from __future__ import annotations

DOCUMENTATION = r"""
name: netns
short_description: Run tasks on a machine of the embedded lab
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Enters the Linux namespaces of a machine that M(meshctl.headscale.lab) created.
  - Tasks run as root of the machine with a clean environment, as on another host. The controller's environment is not
    passed on.
  - The process to enter is read from the lab's record each time, so a machine that was restarted is found.
options:
  remote_addr:
    description: The machine, as the lab's record names it.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_netns_machine
    type: str
  lab_name:
    description: The lab that the machine belongs to.
    default: seed
    vars:
      - name: lab_name
    type: str
extends_documentation_fragment:
  - ansible.builtin.connection_pipelining
"""

import os
import subprocess
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

from ..module_utils._errors import BadInput
from ..plugin_utils._lab.lab import Lab, environment
from ..plugin_utils._lab.supervisor import LabError

if TYPE_CHECKING:
    from ..plugin_utils._host.bounds import Bounds
    from ..plugin_utils._host.package import Job

display = Display()

_LARGEST = 1_000_000_000


class Connection(ConnectionBase):
    """Enters the namespaces of one machine for each command."""

    transport = "meshctl.headscale.netns"
    has_pipelining = True
    # The machines of a lab share /usr with this computer.
    has_our_programs = True

    def _connect(self) -> Connection:
        """Find the machine. When the lab or the machine is missing, the host is unreachable."""
        self._prefix()
        self._connected = True
        return self

    def _prefix(self) -> list[str]:
        try:
            return Lab(self.get_option("lab_name")).enter(self.get_option("remote_addr"), [])
        except (LabError, BadInput) as exc:
            raise AnsibleConnectionFailure(str(exc)) from None

    def run_python(self, job: Job, bounds: Bounds) -> tuple[int, bytes, bytes] | None:
        """Run a script in a Python that is there already; return None if there is none."""
        machine = self.get_option("remote_addr")
        try:
            done = Lab(self.get_option("lab_name")).run_python(machine, job, bounds)
        except (LabError, BadInput) as exc:
            raise AnsibleConnectionFailure(str(exc)) from None
        if done:
            display.vvv(f"FORK {job.interpreter}", host=machine)
        return done

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command in the machine and return its exit status, stdout and stderr."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)  # type: ignore[safe-super]
        display.vvv(f"EXEC {to_text(cmd)}", host=self.get_option("remote_addr"))
        return self._run(["/bin/sh", "-c", to_text(cmd)], in_data)

    def _run(self, command: list[str], in_data: bytes | None) -> tuple[int, bytes, bytes]:
        stdin: dict[str, Any] = {"input": in_data} if in_data is not None else {"stdin": subprocess.DEVNULL}
        return self._enter(command, capture_output=True, **stdin)

    def _enter(self, command: list[str], *, limits: tuple[str, ...] = (), **streams: Any) -> tuple[int, bytes, bytes]:  # noqa: ANN401
        # nsenter gets a clean environment too: the machine can read it until nsenter runs the command.
        done = subprocess.run(  # noqa: S603
            [*limits, *self._prefix(), *command], check=False, env=environment(), **streams
        )
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from the controller into the machine."""
        super().put_file(in_path, out_path)  # type: ignore[safe-super]
        if not os.path.exists(to_bytes(in_path)):  # noqa: PTH110 (a path of bytes, as Ansible gives it)
            raise AnsibleFileNotFound(f"file {in_path} does not exist")
        with open(to_bytes(in_path), "rb") as source:  # noqa: PTH123
            # Unexpected output is captured, so that the limits for hosts apply to it.
            command = ["dd", f"of={out_path}", "bs=64K", "status=none"]
            status, _out, err = self._enter(command, stdin=source, capture_output=True)
        if status:
            raise AnsibleError(f"could not write {out_path}: {to_text(err).strip()}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from the machine to the controller."""
        super().fetch_file(in_path, out_path)  # type: ignore[safe-super]
        # The kernel stops the command at the limit: the machine may offer a file without an end.
        limits = ("prlimit", f"--fsize={_LARGEST}")
        streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with open(to_bytes(out_path), "wb") as target:  # noqa: PTH123
            status, _out, err = self._enter(["cat", "--", in_path], limits=limits, stdout=target, **streams)
            size = target.seek(0, os.SEEK_END)
        if status:
            os.unlink(to_bytes(out_path))  # noqa: PTH108
        if status and size >= _LARGEST:
            raise AnsibleError(f"{in_path} is larger than {_LARGEST // 1_000_000} MB and was not copied")
        if status:
            raise AnsibleFileNotFound(f"could not read {in_path}: {to_text(err).strip()}")

    def close(self) -> None:
        """Close the connection, which holds no resources."""
        self._connected = False
