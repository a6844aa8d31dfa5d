# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Show and log the events of a run on a separate thread, so that a slow terminal never holds Ansible up."""

from __future__ import annotations

import contextlib
import queue
import threading
import traceback
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from meshctl_headscale import _collection
from meshctl_headscale._events import (
    TEXT,
    AnsibleError,
    ChecksMade,
    Happening,
    Noted,
    PlayStarted,
    Reader,
    Said,
    Tally,
    TaskFailed,
    TaskStarted,
)
from meshctl_headscale._view import View

if TYPE_CHECKING:
    from rich.console import Console


class Log:
    """`meshctl.log`: a line for every event, with the time and without secrets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = _collection.private.new_file(path, append=True)
        self._file: IO[str] = open(descriptor, "a", encoding="utf-8")  # noqa: PTH123, SIM115 (closed by `close`)

    def write(self, text: str) -> None:
        """Write `text`, each line with the time."""
        now = datetime.now(tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for line in _collection.visible.text(_collection.scrub.text(text)).splitlines():
            self._file.write(f"{now} {line}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Progress:
    """Takes events from ansible-runner, and shows and logs them on another thread."""

    def __init__(self, view: View, log: Log, console: Console) -> None:
        self._view = view
        self._log = log
        self._console = console
        self._events: queue.SimpleQueue[dict[str, Any] | Said | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="meshctl-progress", daemon=True)
        self._readers: dict[int, Reader] = defaultdict(Reader)
        self._stopping = False
        self.tally = Tally()

    def __enter__(self) -> Progress:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Show the remaining events, and end the thread."""
        self._events.put(None)
        self._thread.join()

    def put(self, event: dict[str, Any]) -> None:
        """Take an event; returns at once."""
        self._events.put(event)

    def say(self, message: str) -> None:
        """Show a sentence that meshctl itself has to say; may be called by a signal handler."""
        self._events.put(Said(message=message))

    def _work(self) -> None:
        with self._live():
            while (event := self._events.get()) is not None:
                try:
                    self._take(event)
                except Exception:
                    # An event that cannot be drawn must not end the run; the tally has it already.
                    self._log.write("internal error in the progress view:\n" + traceback.format_exc())
            self._view.flush()

    @contextlib.contextmanager
    def _live(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        from rich.live import Live

        with Live(
            self._view, console=self._console, transient=True, refresh_per_second=4, redirect_stdout=False,
            redirect_stderr=False,
        ):  # fmt: skip
            yield

    def _take(self, event: dict[str, Any] | Said) -> None:
        found: list[Happening] = (
            [event] if isinstance(event, Said) else list(self._readers[event.get("slice", 0)].read(event))
        )
        for happening in found:
            self.tally.add(happening)
        for happening in found:
            for line in log_lines(happening):
                self._log.write(_collection.visible.line(line))
        if isinstance(event, Said):
            # The only sentence so far says that Ansible is being stopped.
            self._stopping = True
        elif self._stopping and event.get("event") in TEXT:
            # Ansible ends with a traceback when it is stopped while it starts.
            return
        else:
            self._view.output(str(event.get("stdout") or ""))
        for happening in found:
            self._view.show(happening)


def log_lines(happening: Happening) -> Iterator[str]:
    """Return the lines of the log for `happening`."""
    match happening:
        case PlayStarted(name=name, playbook=playbook):
            yield f"play {name} ({playbook})"
        case TaskStarted(name=name):
            yield f"task {name}"
        case ChecksMade(checks=checks):
            for check in checks:
                yield f"check {check['verdict']} {_collection.lines.check_text(check)[2:]}"
                if hint := _collection.lines.hint_text(check):
                    yield f"hint {hint}"
        case TaskFailed(path=path):
            yield f"failed {happening.sentence} [{path}]"
        case AnsibleError(message=message):
            yield f"error {message}"
        case Noted(message=message):
            yield f"note {message}"
        case Said(message=message):
            yield f"meshctl {message}"
