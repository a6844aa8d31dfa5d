# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sent to a host: brings one service with its files to a wanted state.

Stdlib only, Python 3.8 or later, imports nothing of the project. All that it does is in one
answer: `{"changed", "changes", "diff", "failed", "msg"}`. The service manager, s6 in the lab and
systemd elsewhere, is the only thing that differs between hosts.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time

_S6_SCAN = "/etc/service"
_S6_HOME = "/etc/meshctl/services"
_LOGS = "/var/log/meshctl"


class Failed(Exception):
    """The host cannot be brought to the wanted state."""


def main(request: dict) -> dict:
    """Apply a request; see the module `service` for its fields."""
    work = Work(request)
    try:
        work.run()
    except Failed as exc:
        return work.answer(failed=True, msg=str(exc))
    except OSError as exc:
        where = f" {exc.filename}" if exc.filename else ""
        return work.answer(failed=True, msg=f"{exc.strerror or exc}{where}")
    return work.answer()


class Work:
    """One request, and what has been changed for it so far."""

    def __init__(self, request: dict) -> None:
        self.check = bool(request.get("check"))
        self.request = request
        self.name = request["name"]
        self.changes: list = []
        self.diff: list = []
        self.manager = _manager(request.get("manager") or "auto", self)

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
            return
        for entry in self.request.get("directories") or []:
            self.directory(entry["path"], entry.get("mode", "0755"))
        for entry in self.request.get("links") or []:
            self.link(entry["path"], entry["target"])
        fresh = [self.file(entry) for entry in self.request.get("files") or []]
        self.check_config(changed=any(fresh))
        if self.request.get("command"):
            fresh.append(self.manager.define())
        elif not self.manager.defined():
            raise Failed(f"there is no service {self.name} on the host, and no command to define it with")
        self.manager.bring(state, restart=any(fresh) or state == "restarted")
        if state != "stopped" and not self.check:
            self.wait_ready()

    def kill(self) -> None:
        """Kill the service's process as a crash would, and wait until the service manager has started another."""
        before = self.manager.pid()
        if not before:
            raise Failed(f"{self.name} does not run, so it cannot be killed")
        self.changed(f"service {self.name} killed")
        if self.check:
            return
        os.kill(before, signal.SIGKILL)
        _until(
            lambda: self.manager.pid() not in (0, before), 30, f"{self.name} was killed and has not been started again"
        )
        self.wait_ready()

    def changed(self, text: str, before: str = "", after: str = "") -> None:
        self.changes.append(text)
        if before != after:
            self.diff.append({"header": text, "before": before, "after": after})

    def directory(self, path: str, mode: str) -> None:
        if not os.path.isdir(path):
            self.changed(f"directory {path} made")
            if not self.check:
                os.makedirs(path, int(mode, 8))
        if os.path.isdir(path) and stat.S_IMODE(os.stat(path).st_mode) != int(mode, 8):
            self.changed(f"mode of {path} set to {mode}")
            if not self.check:
                os.chmod(path, int(mode, 8))

    def link(self, path: str, target: str) -> None:
        if os.path.islink(path) and os.readlink(path) == target:
            return
        self.changed(f"link {path} to {target} made")
        if not self.check:
            _replace(path, lambda fresh: os.symlink(target, fresh))

    def file(self, entry: dict) -> bool:
        path, content, mode = entry["path"], entry["content"], int(entry.get("mode", "0644"), 8)
        before = _read(path)
        same_mode = before is not None and stat.S_IMODE(os.stat(path).st_mode) == mode
        if before == content and same_mode:
            return False
        hidden = entry.get("secret")
        self.changed(f"file {path} written", "" if hidden else before or "", "" if hidden else content)
        if not self.check:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _replace(path, lambda fresh: _write(fresh, content, mode))
        return before != content

    def remove_file(self, path: str) -> None:
        if os.path.lexists(path):
            self.changed(f"file {path} removed")
            if not self.check:
                os.unlink(path)

    def check_config(self, *, changed: bool) -> None:
        """Run the service's own check of its configuration before a restart would make an error permanent."""
        command = self.request.get("validate")
        if command and changed and not self.check:
            done = _execute(command)
            if done.returncode:
                raise Failed(f"{self.name} refuses its configuration: {_said(done)}")

    def wait_ready(self) -> None:
        ready = self.request.get("ready")
        if not ready:
            return
        deadline = time.monotonic() + float(ready.get("seconds", 20))
        while True:
            problem = _not_ready(ready)
            if not problem:
                return
            if time.monotonic() > deadline:
                raise Failed(
                    f"{self.name} was started but is not ready: {problem}; its log ends: {self.manager.log_tail()}"
                )
            time.sleep(0.05)


def _manager(kind: str, work: Work):
    if kind == "auto":
        kind = "systemd" if os.path.isdir("/run/systemd/system") else "s6"
    return {"s6": S6, "systemd": Systemd}[kind](work)


class S6:
    """Services under `s6-svscan`, as on the lab's machines."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.home = f"{_S6_HOME}/{work.name}"
        self.scan = f"{_S6_SCAN}/{work.name}"

    def defined(self) -> bool:
        return os.path.exists(f"{self.home}/run")

    def define(self) -> bool:
        logs = f"{_LOGS}/{self.work.name}"
        fresh = self.work.file({"path": f"{self.home}/run", "content": self._script(), "mode": "0755"})
        log = f"#!/bin/sh\nexec s6-log T n3 s1000000 {shlex.quote(logs)}\n"
        self.work.file({"path": f"{self.home}/log/run", "content": log, "mode": "0755"})
        self.work.directory(logs, "0755")
        return fresh

    def _script(self) -> str:
        wanted = self.work.request
        lines = ["#!/bin/sh", "exec 2>&1"]
        lines += [
            f"export {key}={shlex.quote(str(value))}"
            for key, value in sorted((wanted.get("environment") or {}).items())
        ]
        lines.append("exec " + " ".join(shlex.quote(str(word)) for word in wanted["command"]))
        return "\n".join(lines) + "\n"

    def bring(self, state: str, *, restart: bool) -> None:
        want_up = state != "stopped"
        down_file = f"{self.home}/down"
        if want_up:
            self.work.remove_file(down_file)
        elif not os.path.exists(down_file):
            self.work.file({"path": down_file, "content": "", "mode": "0644"})
        fresh = not os.path.islink(self.scan)
        up = not fresh and self._up()
        if self.work.check:
            if fresh or up != want_up or (up and restart):
                self.work.changed(
                    f"service {self.work.name} {'started' if want_up and not up else 'restarted' if want_up else 'stopped'}"
                )
            return
        if fresh:
            self.work.changed(f"service {self.work.name} added")
            os.symlink(self.home, self.scan)
        self._have_watched()
        if want_up and up and restart:
            self.work.changed(f"service {self.work.name} restarted")
            _must(["s6-svc", "-wR", "-T15000", "-r", self.scan])
        elif want_up and not up:
            if not fresh:
                self.work.changed(f"service {self.work.name} started")
            _must(["s6-svc", "-wu", "-T15000", "-u", self.scan])
        elif not want_up and self._up():
            self.work.changed(f"service {self.work.name} stopped")
            _must(["s6-svc", "-wD", "-T15000", "-d", self.scan])

    def _have_watched(self) -> None:
        """Have a supervisor for the service, also where an earlier run was ended right after the link."""
        if not self._watched():
            _must(["s6-svscanctl", "-a", _S6_SCAN])
            _until(self._watched, 10, f"s6-svscan does not take {self.work.name}")

    def _watched(self) -> bool:
        # Not s6-svok: it is content a moment before there is a status, without which s6-svc cannot wait.
        return _execute(["s6-svstat", self.scan]).returncode == 0

    def _up(self) -> bool:
        done = _execute(["s6-svstat", "-o", "up", self.scan])
        return done.stdout.strip() == b"true"

    def pid(self) -> int:
        done = _execute(["s6-svstat", "-o", "pid", self.scan])
        return max(0, int(done.stdout.strip() or 0)) if done.returncode == 0 else 0

    def remove(self) -> None:
        if not os.path.lexists(self.scan) and not os.path.lexists(self.home):
            return
        self.work.changed(f"service {self.work.name} removed")
        if self.work.check:
            return
        if os.path.lexists(self.scan):
            _execute(["s6-svc", "-wD", "-T15000", "-d", self.scan])
            os.unlink(self.scan)
            _must(["s6-svscanctl", "-an", _S6_SCAN])
        shutil.rmtree(self.home, ignore_errors=True)

    def log_tail(self) -> str:
        lines = (_read(f"{_LOGS}/{self.work.name}/current") or "").strip().splitlines()
        return " | ".join(lines[-3:]) or "(empty)"


class Systemd:
    """Services as systemd units."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.unit = f"{work.name}.service"
        # NixOS keeps its own units read-only: there a unit lasts until the next boot.
        self.lasting = os.access("/etc/systemd/system", os.W_OK)
        self.path = f"{'/etc' if self.lasting else '/run'}/systemd/system/{self.unit}"

    def defined(self) -> bool:
        return _execute(["systemctl", "cat", self.unit]).returncode == 0

    def define(self) -> bool:
        fresh = self.work.file({"path": self.path, "content": self._text(), "mode": "0644"})
        if fresh and not self.work.check:
            _must(["systemctl", "daemon-reload"])
        return fresh

    def _text(self) -> str:
        wanted = self.work.request
        environment = [f"Environment={_text(f'{k}={v}')}" for k, v in sorted((wanted.get("environment") or {}).items())]
        lines = [
            "[Unit]",
            f"Description={wanted.get('description') or self.work.name}",
            "After=network-online.target",
            "Wants=network-online.target",
            # Tried again for as long as it takes, as under any supervisor.
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            *environment,
            *self._runtime(),
            "ExecStart=" + " ".join(_quote(str(word)) for word in wanted["command"]),
            "Restart=always",
            "RestartSec=1",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
        ]
        return "\n".join(lines) + "\n"

    def _runtime(self) -> list[str]:
        """Return what makes the service's directories in /run anew at each start: a reboot empties it."""
        wanted = [entry for entry in self.work.request.get("directories") or [] if entry["path"].startswith("/run/")]
        if not wanted:
            return []
        return [
            "RuntimeDirectory=" + " ".join(entry["path"][len("/run/") :] for entry in wanted),
            f"RuntimeDirectoryMode={wanted[0].get('mode', '0755')}",
            "RuntimeDirectoryPreserve=yes",
        ]

    def bring(self, state: str, *, restart: bool) -> None:
        want_up = state != "stopped"
        up = _execute(["systemctl", "is-active", "--quiet", self.unit]).returncode == 0
        enabled = _execute(["systemctl", "is-enabled", "--quiet", self.unit]).returncode == 0
        if enabled != want_up and self.lasting:
            self._do("enable" if want_up else "disable", "enabled" if want_up else "disabled")
        if want_up and up and restart:
            self._do("restart", "restarted")
        elif up != want_up:
            self._do("start" if want_up else "stop", "started" if want_up else "stopped")

    def _do(self, verb: str, done: str) -> None:
        self.work.changed(f"service {self.work.name} {done}")
        if not self.work.check:
            _must(["systemctl", verb, self.unit])

    def pid(self) -> int:
        done = _execute(["systemctl", "show", "--property=MainPID", "--value", self.unit])
        return int(done.stdout.strip() or 0)

    def remove(self) -> None:
        if not os.path.exists(self.path):
            return
        if not self.work.check:
            _execute(["systemctl", "disable", "--now", self.unit])
        self.work.remove_file(self.path)
        if not self.work.check:
            _must(["systemctl", "daemon-reload"])
            _execute(["systemctl", "reset-failed", self.unit])

    def log_tail(self) -> str:
        done = _execute(["journalctl", "--unit", self.unit, "--lines", "3", "--output", "cat", "--no-pager"])
        return " | ".join(done.stdout.decode(errors="replace").strip().splitlines()) or "(empty)"


def _quote(word: str) -> str:
    """Quote a word of a command for a unit file: `%` and `$` would be expanded there."""
    return _text(word.replace("$", "$$"))


def _text(word: str) -> str:
    """Quote for a unit file, where `%` would be expanded."""
    return json.dumps(word.replace("%", "%%"))


def _not_ready(ready: dict) -> str:
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


def _read(path: str):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: str, content: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8") as handle:
        handle.write(content)
    os.chmod(path, mode)


def _replace(path: str, make) -> None:
    """Make a file beside `path` and move it there: a reader sees the old one or the new one, whole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.meshctl-new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    make(fresh)
    os.replace(fresh, path)


def _execute(command: list):
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False
        )
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed on the host") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within 60 s: {' '.join(command)}") from None


def _must(command: list) -> None:
    done = _execute(command)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {_said(done)}")


def _said(done) -> str:
    lines = (done.stderr or done.stdout or b"").decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit {done.returncode}"


def _until(true, seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.02)
