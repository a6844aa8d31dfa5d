# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request to bring a service and its files to a state."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time

from .managers import manager_of
from .system import Failed, execute, keep, read, replace, said, until, write

# Emptied by a reboot, after which every process has started with the files as they are.
_MARKS = "/run"


class Work:
    """One request, and the changes made for it so far."""

    def __init__(self, request: dict) -> None:
        self.check = bool(request.get("check"))
        self.request = request
        self.name = request["name"]
        self.changes: list = []
        self.diff: list = []
        self.kept: dict = {}
        # It exists from the first change of a file until the restart: a run between them may be cut off, or fail.
        self.mark = f"{_MARKS}/meshctl-{self.name}.restart"
        self.owed = os.path.exists(self.mark)
        self.manager = manager_of(request.get("manager") or "auto", self)

    def answer(self, **more) -> dict:
        return {"changed": bool(self.changes), "changes": self.changes, "diff": self.diff, **more}

    def run(self) -> None:
        state = self.request["state"]
        if state == "killed":
            self.kill()
            return
        if state == "absent":
            self.manager.remove()
            for entry in self.request.get("files") or []:
                self.remove_file(entry["path"])
            self.settle()
            return
        for entry in self.request.get("directories") or []:
            self.directory(entry["path"], entry.get("mode", "0755"))
        for entry in self.request.get("links") or []:
            self.link(entry["path"], entry["target"])
        fresh = [self.file(entry) for entry in self.request.get("files") or []]
        self.check_config(changed=any(fresh) or self.owed)
        if self.request.get("command"):
            fresh.append(self.manager.define())
        elif not self.manager.defined():
            raise Failed(f"the host has no service {self.name}, and the task gives no command to define it")
        self.manager.bring(state, restart=any(fresh) or self.owed or state == "restarted")
        self.settle()
        if state != "stopped" and not self.check:
            self.wait_ready()

    def kill(self) -> None:
        """Kill the service's process like a crash would, and wait until the service manager starts another."""
        before = self.manager.pid()
        if not before:
            raise Failed(f"{self.name} is not running, so it cannot be killed")
        self.changed(f"service {self.name} killed")
        if self.check:
            return
        os.kill(before, signal.SIGKILL)
        until(lambda: self.manager.pid() not in (0, before), 30, f"{self.name} was killed and not started again")
        self.wait_ready()

    def changed(self, text: str, before: str = "", after: str = "") -> None:
        self.changes.append(text)
        if before != after:
            self.diff.append({"header": text, "before": before, "after": after})

    def directory(self, path: str, mode: str) -> None:
        if not os.path.isdir(path):
            self.changed(f"directory {path} created")
            if not self.check:
                os.makedirs(path, int(mode, 8))
        if os.path.isdir(path) and stat.S_IMODE(os.stat(path).st_mode) != int(mode, 8):
            self.changed(f"mode of {path} set to {mode}")
            if not self.check:
                os.chmod(path, int(mode, 8))

    def link(self, path: str, target: str) -> None:
        if os.path.islink(path) and os.readlink(path) == target:
            return
        self.changed(f"link {path} to {target} created")
        if not self.check:
            replace(path, lambda fresh: os.symlink(target, fresh))

    def file(self, entry: dict) -> bool:
        path, content, mode = entry["path"], entry["content"], int(entry.get("mode", "0644"), 8)
        before = read(path)
        same_mode = before is not None and stat.S_IMODE(os.stat(path).st_mode) == mode
        if before == content and same_mode:
            return False
        hidden = entry.get("secret")
        self.changed(f"file {path} written", "" if hidden else before or "", "" if hidden else content)
        if not self.check:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.kept.setdefault(path, keep(path))
            if before != content:
                write(self.mark, b"", 0o600)
            replace(path, lambda fresh: write(fresh, content.encode(), mode))
        return before != content

    def settle(self) -> None:
        """Note that the service has what was written."""
        if not self.check and os.path.exists(self.mark):
            os.unlink(self.mark)

    def restore(self) -> None:
        """Make the files what they were before this run."""
        for path, back in self.kept.items():
            back()
            self.changed(f"file {path} restored")
        if not self.owed:
            self.settle()

    def remove_file(self, path: str) -> None:
        if os.path.lexists(path):
            self.changed(f"file {path} removed")
            if not self.check:
                os.unlink(path)

    def check_config(self, *, changed: bool) -> None:
        """Run the service's check of its configuration, because a restart with an error would stop it for good."""
        command = self.request.get("validate")
        if not command or not changed or self.check:
            return
        try:
            done = execute(command)
            if done.returncode:
                raise Failed(f"{self.name} rejects its configuration: {said(done)}")
        except (Failed, OSError):
            self.restore()
            raise

    def wait_ready(self) -> None:
        ready = self.request.get("ready")
        if not ready:
            return
        deadline = time.monotonic() + float(ready.get("seconds", 20))
        while True:
            problem = not_ready(ready)
            if not problem:
                return
            if time.monotonic() > deadline:
                raise Failed(
                    f"{self.name} was started but is not ready: {problem}; its log ends: {self.manager.log_tail()}"
                )
            time.sleep(0.05)


def not_ready(ready: dict) -> str:
    if "tcp" in ready:
        address, port = ready["tcp"]
        return _refused(
            socket.AF_INET6 if ":" in address else socket.AF_INET, (address, int(port)), f"{address} port {port}"
        )
    return _refused(socket.AF_UNIX, ready["unix"], ready["unix"])


def _refused(family: int, address, label: str) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(address)
        except OSError as exc:
            return f"{label}: {exc.strerror or exc}"
    return ""
