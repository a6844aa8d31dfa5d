# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reserve a lab for one play, for as long as its ansible-playbook runs.

Ansible runs each task in a forked process that ends with the task. A lock taken there would end with it, and a lock that
the fork shares with ansible-playbook would outlive a killed ansible-playbook in its other forks. So a record next to the
lab names the process of ansible-playbook and when that process started; it is void once that process is gone.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from . import supervisor
from .supervisor import LabError, Process

# A play that was told to stop needs a moment.
_ENDING_S: Final = 5.0
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Play:
    """A run of ansible-playbook, and when it reserved the lab."""

    process: Process
    command: str
    since: str

    @classmethod
    def this(cls, command: str) -> Play:
        """Return the play that this process runs a task of; `command` identifies it in messages."""
        parent = multiprocessing.parent_process()
        process = Process.of((parent and parent.pid) or os.getpid())
        if process is None:
            raise LabError("ansible-playbook ended; nothing was done")
        return cls(process=process, command=command, since=datetime.now().astimezone().isoformat(timespec="seconds"))

    @classmethod
    def load(cls, path: Path) -> Play | None:
        """Return the play recorded at `path`, if it still runs."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            process = Process(int(data["pid"]), int(data["started"]))
            found = cls(process=process, command=str(data["command"]), since=str(data["since"]))
            datetime.fromisoformat(found.since)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if process.alive else None

    def save(self, path: Path) -> None:
        """Replace the record at once."""
        data = {
            "pid": self.process.pid, "started": self.process.started, "command": self.command, "since": self.since,
        }  # fmt: skip
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data) + "\n", encoding="utf-8")
        fresh.replace(path)


@contextlib.contextmanager
def claimed(directory: Path, play: Play) -> Iterator[None]:
    """Reserve the lab in `directory` for `play`, and keep it reserved unless there is no lab in the end.

    :raises LabError: when another play uses the lab.
    """
    claim(directory, play)
    try:
        yield
    finally:
        if not directory.exists():
            release(directory)


def claim(directory: Path, play: Play, *, patience_s: float = _ENDING_S) -> None:
    """Reserve the lab in `directory` for `play`; raise `LabError` when another play uses it."""
    deadline = time.monotonic() + patience_s
    while other := _claimed(directory, play):
        if time.monotonic() > deadline:
            since = datetime.fromisoformat(other.since).strftime("%H:%M:%S")
            raise LabError(
                f"the lab '{directory.name}' is in use by `{other.command}` (process {other.process.pid}), since {since}: "
                "wait for it, or use another lab (--lab)"
            )
        time.sleep(_PAUSE_S)


def holder(directory: Path) -> Play | None:
    """Return the play that uses the lab in `directory`."""
    return Play.load(_path(directory))


def _claimed(directory: Path, play: Play) -> Play | None:
    """Record the play, or return the play that already uses the lab."""
    path = _path(directory)
    # Not the lab's own lock, which the other play may hold for as long as it builds.
    with supervisor.lock(directory.with_name(f"{directory.name}.use"), lab=directory.name):
        before = Play.load(path)
        if before and before.process != play.process:
            return before
        if before is None:
            play.save(path)
    return None


def release(directory: Path) -> None:
    """Delete the reservation of a lab."""
    _path(directory).unlink(missing_ok=True)


def _path(directory: Path) -> Path:
    # Next to the lab's directory, because building a lab empties that.
    return directory.with_name(f".{directory.name}.use")


class Stopped(BaseException):
    """Ansible told the process of this task to end."""


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Raise `Stopped` when Ansible ends this task, so that the code inside removes what it started.

    Ansible's handler would end the process at once. It runs afterwards, when the signal is sent again.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except Stopped as stopped:
        _restore(before)
        os.kill(os.getpid(), stopped.args[0])
        raise
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
