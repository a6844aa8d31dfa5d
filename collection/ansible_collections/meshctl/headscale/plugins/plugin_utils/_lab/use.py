# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which play uses a lab: one at a time, for as long as its ansible-playbook runs.

A task's process ends with the task, and a lock that it holds with it: what lasts as long as the play is the process that
started it. That one is recorded beside the lab, and a record of a process that is gone counts for nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from . import supervisor
from .supervisor import LabError, Process

# A play that was told to stop is gone after a moment.
_ENDING_S: Final = 5.0
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Play:
    """A run of ansible-playbook, and since when it uses the lab."""

    process: Process
    command: str
    since: str

    @classmethod
    def this(cls, command: str) -> Play:
        """Return the play that this process is a task of; `command` is what people know it by."""
        parent = multiprocessing.parent_process()
        process = Process.of((parent and parent.pid) or os.getpid())
        if process is None:
            raise LabError("ansible-playbook is gone: nothing was done")
        return cls(process=process, command=command, since=datetime.now().astimezone().isoformat(timespec="seconds"))

    @classmethod
    def load(cls, path: Path) -> Play | None:
        """Return the play that is recorded at `path`, if it still runs."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            process = Process(int(data["pid"]), int(data["started"]))
            found = cls(process=process, command=str(data["command"]), since=str(data["since"]))
            datetime.fromisoformat(found.since)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if process.alive else None

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        data = {
            "pid": self.process.pid, "started": self.process.started, "command": self.command, "since": self.since,
        }  # fmt: skip
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data) + "\n", encoding="utf-8")
        fresh.replace(path)


def claim(directory: Path, play: Play, *, patience_s: float = _ENDING_S) -> None:
    """Record that a play uses the lab in `directory`; raise `LabError` where another one does."""
    deadline = time.monotonic() + patience_s
    while other := _claimed(directory, play):
        if time.monotonic() > deadline:
            since = datetime.fromisoformat(other.since).strftime("%H:%M:%S")
            raise LabError(
                f"the lab '{directory.name}' is in use by `{other.command}` (process {other.process.pid}), since {since}: "
                "wait for it, or use another lab (--lab)"
            )
        time.sleep(_PAUSE_S)


def _claimed(directory: Path, play: Play) -> Play | None:
    """Record the play, or return the one that was there before."""
    path = _path(directory)
    # Not the lab's own lock: that is held while the other builds, and nobody waits for it to be told so.
    with supervisor.lock(directory.with_name(f"{directory.name}.use")):
        before = Play.load(path)
        if before and before.process != play.process:
            return before
        if before is None:
            play.save(path)
    return None


def release(directory: Path) -> None:
    """Forget who uses a lab that is no more."""
    _path(directory).unlink(missing_ok=True)


def _path(directory: Path) -> Path:
    # Beside the lab, for building it begins with an empty directory.
    return directory.with_name(f".{directory.name}.use")
