# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service managers: s6 in the lab, systemd elsewhere."""

from __future__ import annotations

import json
import os
import shlex
import shutil

from .system import execute, must, read, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .work import Work

_S6_SCAN = "/etc/service"
_S6_HOME = "/etc/meshctl/services"
_LOGS = "/var/log/meshctl"


def manager_of(kind: str, work: Work):
    """Return the service manager of a host."""
    if kind == "auto":
        kind = "systemd" if os.path.isdir("/run/systemd/system") else "s6"
    return {"s6": S6, "systemd": Systemd}[kind](work)


class S6:
    """Manages services under `s6-svscan`, as on machines of the lab."""

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
            must(["s6-svc", "-wR", "-T15000", "-r", self.scan])
        elif want_up and not up:
            if not fresh:
                self.work.changed(f"service {self.work.name} started")
            must(["s6-svc", "-wu", "-T15000", "-u", self.scan])
        elif not want_up and self._up():
            self.work.changed(f"service {self.work.name} stopped")
            must(["s6-svc", "-wD", "-T15000", "-d", self.scan])

    def _have_watched(self) -> None:
        """Make sure that the service has a supervisor, even when an earlier run was killed right after it made the link."""
        if not self._watched():
            must(["s6-svscanctl", "-a", _S6_SCAN])
            until(self._watched, 10, f"s6-svscan does not supervise {self.work.name}")

    def _watched(self) -> bool:
        # s6-svok succeeds a moment before the status exists that s6-svc waits for.
        return execute(["s6-svstat", self.scan]).returncode == 0

    def _up(self) -> bool:
        done = execute(["s6-svstat", "-o", "up", self.scan])
        return done.stdout.strip() == b"true"

    def pid(self) -> int:
        done = execute(["s6-svstat", "-o", "pid", self.scan])
        return max(0, int(done.stdout.strip() or 0)) if done.returncode == 0 else 0

    def remove(self) -> None:
        if not os.path.lexists(self.scan) and not os.path.lexists(self.home):
            return
        self.work.changed(f"service {self.work.name} removed")
        if self.work.check:
            return
        if os.path.lexists(self.scan):
            execute(["s6-svc", "-wD", "-T15000", "-d", self.scan])
            os.unlink(self.scan)
            must(["s6-svscanctl", "-an", _S6_SCAN])
        shutil.rmtree(self.home, ignore_errors=True)

    def log_tail(self) -> str:
        lines = (read(f"{_LOGS}/{self.work.name}/current") or "").strip().splitlines()
        return " | ".join(lines[-3:]) or "(empty)"


class Systemd:
    """Manages services as systemd units."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.unit = f"{work.name}.service"
        # NixOS has read-only units; a unit in /run lasts until the next boot.
        self.lasting = os.access("/etc/systemd/system", os.W_OK)
        self.path = f"{'/etc' if self.lasting else '/run'}/systemd/system/{self.unit}"

    def defined(self) -> bool:
        return execute(["systemctl", "cat", self.unit]).returncode == 0

    def define(self) -> bool:
        fresh = self.work.file({"path": self.path, "content": self._text(), "mode": "0644"})
        if (fresh or self.work.owed) and not self.work.check:
            must(["systemctl", "daemon-reload"])
        return fresh

    def _text(self) -> str:
        wanted = self.work.request
        environment = [f"Environment={_text(f'{k}={v}')}" for k, v in sorted((wanted.get("environment") or {}).items())]
        lines = [
            "[Unit]",
            f"Description={wanted.get('description') or self.work.name}",
            "After=network-online.target",
            "Wants=network-online.target",
            # Restart without a limit, like s6.
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
        """Return the settings that create the service's directories in /run at each start, because a reboot empties /run."""
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
        up = execute(["systemctl", "is-active", "--quiet", self.unit]).returncode == 0
        enabled = execute(["systemctl", "is-enabled", "--quiet", self.unit]).returncode == 0
        if enabled != want_up and self.lasting:
            self._do("enable" if want_up else "disable", "enabled" if want_up else "disabled")
        if want_up and up and restart:
            self._do("restart", "restarted")
        elif up != want_up:
            self._do("start" if want_up else "stop", "started" if want_up else "stopped")

    def _do(self, verb: str, done: str) -> None:
        self.work.changed(f"service {self.work.name} {done}")
        if not self.work.check:
            must(["systemctl", verb, self.unit])

    def pid(self) -> int:
        done = execute(["systemctl", "show", "--property=MainPID", "--value", self.unit])
        return int(done.stdout.strip() or 0)

    def remove(self) -> None:
        if not os.path.exists(self.path):
            return
        if not self.work.check:
            execute(["systemctl", "disable", "--now", self.unit])
        self.work.remove_file(self.path)
        if not self.work.check:
            must(["systemctl", "daemon-reload"])
            execute(["systemctl", "reset-failed", self.unit])

    def log_tail(self) -> str:
        done = execute(["journalctl", "--unit", self.unit, "--lines", "3", "--output", "cat", "--no-pager"])
        return " | ".join(done.stdout.decode(errors="replace").strip().splitlines()) or "(empty)"


def _quote(word: str) -> str:
    """Quote a word of a command for a unit file, which would expand `%` and `$`."""
    return _text(word.replace("$", "$$"))


def _text(word: str) -> str:
    """Quote text for a unit file, which would expand `%`."""
    return json.dumps(word.replace("%", "%%"))
