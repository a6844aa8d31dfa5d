# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A directory in which tests run ansible-playbook, with a task that returns what its arguments say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

COLLECTIONS = Path(model.__file__).parents[6]

# A task that returns whatever its arguments say, vanishes, or hangs until it is ended.
ACTION = """
from __future__ import annotations
import os, pathlib, time
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        if args.pop("vanish", False):
            raise AnsibleConnectionFailure("No route to host")
        if hang := args.pop("hang", None):
            pathlib.Path(hang + ".new").write_text(str(os.getpid()))
            os.rename(hang + ".new", hang)
            time.sleep(600)
        return {"changed": False, **args}
"""

INVENTORY = """
all:
  vars: {ansible_connection: local, mesh_backend: lab, lab_name: seed}
  children:
    clients: {hosts: {n1: , n2: }}
"""


class Site:
    """A directory with an inventory and playbooks in it."""

    def __init__(self, path: Path) -> None:
        """Write what every run needs."""
        self.path = path
        self.write("action_plugins/returns.py", ACTION)
        self.write("inventory.yml", INVENTORY)
        self.write(
            "ansible.cfg", "[defaults]\ncallbacks_enabled = meshctl.headscale.report\nlocalhost_warning = False\n"
        )
        unwanted = ("ANSIBLE_", "MESHCTL_")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)} | {
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_HOME": str(path / "home"),
            "PYTHONUNBUFFERED": "1",
        }

    def write(self, name: str, content: str) -> None:
        """Write a file."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(content)

    def start(self, *playbooks: str, **environment: str) -> subprocess.Popen[str]:
        """Start ansible-playbook."""
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [sys.executable, str(program), "-i", "inventory.yml", *playbooks]
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *playbooks: str, **environment: str) -> tuple[int, str]:
        """Run ansible-playbook to its end."""
        process = self.start(*playbooks, **environment)
        output = process.communicate(timeout=120)[0]
        return process.returncode, output

    def report(self) -> model.Report:
        """Return the latest report."""
        return model.load(self.path / "runs" / "latest")
