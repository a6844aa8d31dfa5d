# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is seen while Ansible runs, on stderr, and what the log keeps.

Events come in on ansible-runner's thread of execution and are only put into a queue there; a thread of this module
takes them out, so that a slow terminal never holds Ansible up.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from meshctl_headscale import _lines
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
    plain,
)
from meshctl_headscale._project import load_collection_path

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# In one task, more good checks than this are counted and not listed.
SINGLY = 30


class Log:
    """`meshctl.log`: a line for every event, with the time; never a secret."""

    def __init__(self, path: Path) -> None:
        load_collection_path()
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import scrub

        self.path = path
        self._scrub = scrub.text
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, text: str) -> None:
        """Write `text`, each line with the time."""
        now = datetime.now(tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for line in self._scrub(text).splitlines():
            self._file.write(f"{now} {line}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class View:
    """Draws happenings on a console: lines, and on a terminal a last line that lives."""

    def __init__(self, console: Console, *, quiet: bool = False, verbose: bool = False, singly: int = SINGLY) -> None:
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._singly = singly
        self._began = time.monotonic()
        self._play = ""
        self._task = ""
        self._detail = ""
        self._tally = Tally()
        self._good: dict[tuple[str, str], Counter[str]] = {}
        self._listed = 0
        self._said: set[str] = set()

    def __rich__(self) -> RenderableType:
        """Return the line that lives: where the run is, what it has found, how long it takes."""
        from rich.table import Table
        from rich.text import Text

        total = self._tally.total
        bad = total["failed"] + total["error"]
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(no_wrap=True, justify="right")
        where = Text(
            " > ".join(filter(None, [self._play, self._task, self._detail])) or "starting Ansible", style="dim"
        )
        found = Text()
        if total:
            found.append(f"{total['passed']} passed ", style="green")
        if bad:
            found.append(f"{bad} failed ", style="bold red")
        found.append(clock(time.monotonic() - self._began), style="dim")
        line.add_row(where, found)
        return line

    def show(self, happening: Happening) -> None:
        """Draw `happening`."""
        self._tally.add(happening)
        match happening:
            case PlayStarted(name=name):
                self.flush()
                self._play, self._task, self._detail = name, "", ""
                if not self._quiet and not self._console.is_terminal:
                    self._line(f"== {name}")
            case TaskStarted(name=name):
                self.flush()
                self._task, self._detail = name, ""
            case ChecksMade(checks=checks):
                self._checks(checks)
            case TaskFailed(unreachable=True):
                # Other failures may still be dealt with by the playbook; the summary has those that were not.
                self._line(f"✗ {happening.sentence}", "red")
            case Noted(warning=False, message=message):
                self._note(message)
            case Said(message=message) if message not in self._said:
                self._said.add(message)
                self._line(message, "bold yellow")

    def _note(self, message: str) -> None:
        """Show how far something long is: in the living line, or as a line where there is none."""
        self._detail = message
        if not (self._quiet or self._verbose or self._console.is_terminal):
            self._line(f"   {message}")

    def output(self, text: str) -> None:
        """Show Ansible's own output where that is wanted."""
        if self._verbose and text:
            self._console.print(text if self._console.is_terminal else plain(text), markup=False, highlight=False)

    def flush(self) -> None:
        """Say how many good checks of the task that ends were not listed."""
        for (check_id, verdict), unlisted in self._good.items():
            count = unlisted["all"]
            if unlisted["hidden"] and not self._quiet:
                note = "" if unlisted["hidden"] == count else f" ({unlisted['hidden']} not listed)"
                self._line(f"{_lines.MARKS[verdict]} {check_id}  {count} {verdict}{note}", _lines.STYLES[verdict])
        self._good.clear()
        self._listed = 0

    def _checks(self, checks: tuple[dict[str, Any], ...]) -> None:
        good = [check for check in checks if check["verdict"] in ("passed", "skipped")]
        listed = self._listed + len(good) <= self._singly
        self._listed += len(good)
        for check in checks:
            if check["verdict"] in ("passed", "skipped"):
                count = self._good.setdefault((str(check["id"]), str(check["verdict"])), Counter())
                count["all"] += 1
                count["hidden"] += not listed
                if not listed or self._quiet:
                    continue
            self._check(check)

    def _check(self, check: dict[str, Any]) -> None:
        self._line(_lines.check_text(check), _lines.STYLES.get(str(check["verdict"]), ""))
        if hint := _lines.hint_text(check):
            self._line(f"    {hint}", "yellow")

    def _line(self, text: str, style: str = "") -> None:
        """Print a line: the mark in its colour, the rest as it is; long ones wrap below their own text."""
        from rich.padding import Padding
        from rich.text import Text

        indent = len(text) - len(text.lstrip(" "))
        body = Text(text.strip(), overflow="fold")
        if style:
            body.stylize(style, 0, 1 if text[:1] in _lines.MARKS.values() else len(body))
        if not self._console.is_terminal:
            # A line in a file stays one line: it is searched, not looked at.
            self._console.print(Text(" " * indent) + body, soft_wrap=True)
            return
        self._console.print(Padding(body, (0, 0, 0, indent)))


class Progress:
    """Takes events from ansible-runner and shows and logs them on a thread of its own."""

    def __init__(self, view: View, log: Log, console: Console) -> None:
        self._view = view
        self._log = log
        self._console = console
        self._events: queue.SimpleQueue[dict[str, Any] | Said | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="meshctl-progress", daemon=True)
        self._reader = Reader()
        self._stopping = False
        self.tally = Tally()

    def __enter__(self) -> Progress:
        """Start to show."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Show what is left, and end."""
        self._events.put(None)
        self._thread.join()

    def put(self, event: dict[str, Any]) -> None:
        """Take an event; returns at once."""
        self._events.put(event)

    def say(self, message: str) -> None:
        """Show a sentence of meshctl's own; may be called by a signal handler."""
        self._events.put(Said(message=message))

    def _work(self) -> None:
        with self._living_line():
            while (event := self._events.get()) is not None:
                try:
                    self._take(event)
                except Exception:
                    # An event that cannot be drawn must not end the run; the tally has it already.
                    self._log.write("internal error in the progress view:\n" + traceback.format_exc())
            self._view.flush()

    @contextlib.contextmanager
    def _living_line(self) -> Iterator[None]:
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
        found: list[Happening] = [event] if isinstance(event, Said) else list(self._reader.read(event))
        for happening in found:
            self.tally.add(happening)
        for happening in found:
            for line in log_lines(happening):
                self._log.write(line)
        if isinstance(event, Said):
            # Only that Ansible is being stopped is said here.
            self._stopping = True
        elif self._stopping and event.get("event") in TEXT:
            # How Ansible dies: a traceback, where it was still starting.
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
                yield f"check {check['verdict']} {_lines.check_text(check)[2:]}"
                if hint := _lines.hint_text(check):
                    yield f"hint {hint}"
        case TaskFailed(path=path):
            yield f"failed {happening.sentence} [{path}]"
        case AnsibleError(message=message):
            yield f"error {message}"
        case Noted(message=message):
            yield f"note {message}"
        case Said(message=message):
            yield f"meshctl {message}"


def clock(seconds: float) -> str:
    """Return a duration as `0:07` or `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
