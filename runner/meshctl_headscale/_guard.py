# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-playbook so that none of its processes outlives meshctl.

`meshctl` starts this file as a script: `python -I -S _guard.py PARENT_PID FD COMMAND...`. Standard library only.

Processes that could be left running, and how they are stopped:

- The workers of ansible-playbook and their modules run in separate sessions, so a signal to the process group misses
  them. This process is a *subreaper*: a process that loses its parent becomes its child.
- `kill -9` of meshctl: the kernel sends SIGTERM here (PR_SET_PDEATHSIG), and ansible-playbook is stopped.
- `kill -9` of ansible-playbook: this process terminates the orphans.
- `kill -9` of this process: the kernel sends SIGINT to ansible-playbook, which then stops its workers.

SIGINT, SIGTERM and SIGHUP ask for a clean stop with a grace period; a second signal kills. After a normal end, this
process stops nothing: a playbook may start a lab that stays up. A lab survives a stop as well: a process that keeps a
PID namespace alive is never stopped.

meshctl passes the private part of the environment through FD, an anonymous memory file, to keep it off the disk. This
process writes its PID back into the file.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Time for an orderly stop; MESHCTL_GRACE_S overrides it.
_GRACE_S = "10"
_SWEEP_S = 5.0
_TICK_S = 0.1
_ASKS_TO_STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_SIGNALS = {*_ASKS_TO_STOP, signal.SIGCHLD}
_NOT_STARTED = 127


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _environment(parent: int, descriptor: int) -> dict[str, str]:
    """Return the environment for ansible-playbook, and replace it in the memory file with this process's PID."""
    path = f"/proc/{parent}/fd/{descriptor}"
    with open(path, "r+", encoding="utf-8", errors="surrogateescape") as shared:  # noqa: PTH123
        private = json.load(shared)
        shared.seek(0)
        shared.truncate()
        shared.write(str(os.getpid()))
    return {**os.environ, **private}


def _start(command: list[str], environment: dict[str, str]) -> int:
    """Start `command`; the kernel tells it to stop when this process dies."""
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getppid() == guard:
            os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", flush=True)
    finally:
        os._exit(_NOT_STARTED)


def _status(pid: int, field: str) -> list[str]:
    """Return the values of `field` in the status of a process, none if it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
        for line in lines:
            name, _, values = line.partition(":")
            if name == field:
                return values.split()
    return []


def _children() -> dict[int, list[int]]:
    """Return the children of every process."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit() and (parent := _status(int(entry), "PPid")):
            children.setdefault(int(parent[0]), []).append(int(entry))
    return children


def _keeps_a_lab(pid: int, children: dict[int, list[int]]) -> bool:
    """Whether the process, or one below it, is the first of a PID namespace inside ours."""
    numbers = _status(pid, "NSpid")
    if len(numbers) > 1 and numbers[-1] == "1":
        return True
    return any(_keeps_a_lab(child, children) for child in children.get(pid, []))


class _Guard:
    """Waits for ansible-playbook and for signals, and cleans up after a stop."""

    def __init__(self, pid: int, command: list[str], grace_s: float) -> None:
        self._pid = pid
        # A worker of ansible-playbook is a copy of it with the same command line.
        self._command_line = b"".join(os.fsencode(word) + b"\0" for word in command)
        self._returned: int | None = None
        self._asked = 0
        self._grace_s = grace_s
        self._deadline = float("inf")

    def run(self) -> int:
        """Return the exit code of ansible-playbook, 128 + n when signal n ended it."""
        while self._returned is None:
            # Signals are blocked, so that none can arrive between a test and a wait.
            caught = signal.sigtimedwait(_SIGNALS, _TICK_S if self._asked else 3600)
            if caught and caught.si_signo in _ASKS_TO_STOP:
                self._stop()
            if time.monotonic() > self._deadline:
                self._signal(self._pid, signal.SIGKILL)
            self._reap()
        if self._asked or self._returned < 0:
            self._sweep()
        return self._returned if self._returned >= 0 else 128 - self._returned

    def _stop(self) -> None:
        """Ask for a clean stop the first time, and kill the second time."""
        self._asked += 1
        if self._asked == 1:
            self._deadline = time.monotonic() + self._grace_s
            self._signal(self._pid, signal.SIGINT)
        else:
            self._deadline = 0.0

    def _reap(self) -> None:
        """Collect the exit codes of ended children."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self._pid:
                    self._returned = os.waitstatus_to_exitcode(status)

    def _sweep(self) -> None:
        """Stop the remaining processes. Only children are signalled, as their PIDs cannot have been reused."""
        # Children that stop cleanly get a moment to stop their own children.
        gentle_until = time.monotonic() + (_SWEEP_S / 2 if self._asked < 2 else 0.2)  # noqa: PLR2004
        give_up = time.monotonic() + _SWEEP_S
        told: set[int] = set()
        while time.monotonic() < give_up:
            self._reap()
            left = self._left_over()
            if not left:
                return
            for pid in left:
                if time.monotonic() > gentle_until:
                    self._signal(pid, signal.SIGKILL)
                elif pid not in told:
                    told.add(pid)
                    self._signal(pid, signal.SIGTERM)
            signal.sigtimedwait({signal.SIGCHLD}, _TICK_S)

    def _left_over(self) -> list[int]:
        children = _children()
        return [pid for pid in children.get(os.getpid(), []) if self._is_worker(pid) or not _keeps_a_lab(pid, children)]

    def _is_worker(self, pid: int) -> bool:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read() == self._command_line
        return False

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parent, descriptor, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return 128 + signal.SIGTERM
    environment = _environment(parent, descriptor)
    try:
        grace_s = float(environment.get("MESHCTL_GRACE_S", _GRACE_S))
        return _Guard(_start(command, environment), command, grace_s).run()
    finally:
        # Ansible leaves files there when it is killed. meshctl removes them too, unless it was killed.
        shutil.rmtree(os.path.join(environment["MESHCTL_RUN_DIR"], "artifacts", "tmp"), ignore_errors=True)  # noqa: PTH118


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
