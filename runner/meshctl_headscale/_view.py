# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw a run while it goes on: a line for each assertion, bad checks as they come, and a status line on terminals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshctl_headscale import _collection
from meshctl_headscale._events import (
    BAD,
    ChecksMade,
    Happening,
    Noted,
    PlayStarted,
    Said,
    Tally,
    TaskFailed,
    TaskStarted,
    without_colours,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# A mesh that is down fails in thousands of checks, most of them for the same reason.
_MOST_BAD = 10

Story = tuple[str, str]
"""The name and the title of a story."""


class View:
    """Draws happenings on a console.

    `verbose` 0 sums up the checks of each assertion when its story ends, 1 lists every check, 2 shows Ansible's output too.
    """

    def __init__(
        self, console: Console, *, quiet: bool = False, verbose: int = 0, plays: Mapping[str, Story] | None = None
    ) -> None:
        """Draw on `console`; `plays` names the story that each play belongs to."""
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._plays = plays or {}
        self._began = time.monotonic()
        self._where = ["", "", ""]
        self._tally = Tally()
        self._story: Story | None = None
        self._checks: list[dict[str, Any]] = []
        self._digest: list[str] | None = []
        self._shown: set[tuple[str, str]] = set()
        self._said: set[str] = set()

    def __rich__(self) -> RenderableType:
        """Return what changes while it is looked at: the assertions of the running story, and the status line."""
        from rich.console import Group

        return Group(*(_collection.text.line(text, cut=True) for text in self._texts()), self._status())

    def _status(self) -> RenderableType:
        """Return where the run is, what it has found and how long it has taken."""
        from rich.table import Table
        from rich.text import Text

        total = self._tally.total
        bad = sum(total[verdict] for verdict in BAD)
        status = Table.grid(expand=True, padding=(0, 1))
        status.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        status.add_column(no_wrap=True, justify="right")
        found = Text()
        if total:
            found.append(f"{total['passed']} passed ", style="green")
        if bad:
            found.append(f"{bad} failed ", style="bold red")
        found.append(clock(time.monotonic() - self._began), style="dim")
        where = " > ".join(filter(None, self._where)) or "starting Ansible"
        status.add_row(Text(_collection.visible.line(where), style="dim"), found)
        return status

    def show(self, happening: Happening) -> None:
        """Draw `happening`."""
        self._tally.add(happening)
        match happening:
            case PlayStarted(name=name):
                self._play(name)
            case TaskStarted(name=name):
                self._where[1:] = name, ""
            case ChecksMade(checks=checks):
                for check in checks:
                    self._check(check)
            case TaskFailed(unreachable=True):
                # The playbook may still handle other failures; the summary has those that it did not.
                self._line(f"✗ {happening.sentence}")
            case Noted(warning=False, message=message):
                self._note(message)
            case Said(message=message) if message not in self._said:
                self._said.add(message)
                self._line(message, "bold yellow")

    def output(self, text: str) -> None:
        """Show Ansible's own output if that is wanted."""
        if self._verbose > 1 and text:
            shown = _collection.visible.coloured(text)
            self._console.print(
                shown if self._console.is_terminal else without_colours(shown), highlight=False, markup=False
            )

    def flush(self) -> None:
        """Print the assertions of the story that ends."""
        texts = self._texts()
        self._checks, self._digest = [], []
        self._shown.clear()
        for text in texts:
            self._line(text, cut=self._console.is_terminal)

    def _play(self, name: str) -> None:
        """Begin a play: a story's first play ends the story before it, and has a heading."""
        self._where = [name, "", ""]
        story = self._plays.get(name)
        if self._story and story == self._story:
            return
        self.flush()
        if not self._quiet and story:
            self._line(_collection.text.heading(*story), "bold")
        elif not (self._quiet or self._story or self._console.is_terminal):
            self._line(name, "bold")
        self._story = story or self._story

    def _note(self, message: str) -> None:
        """Show the progress of a long task: in the status line, or as a line where there is none."""
        self._where[2] = message
        if not (self._quiet or self._verbose > 1 or self._console.is_terminal):
            self._line(f"   {message}")

    def _check(self, check: dict[str, Any]) -> None:
        """Draw a check at once if every check is wanted, or if it is the first that is bad for its reason."""
        self._checks.append(check)
        self._digest = None
        if check["verdict"] in BAD:
            reason = (str(check["id"]), str(check.get("hint")))
            new = reason not in self._shown and len(self._shown) < _MOST_BAD
            self._shown.add(reason)
        else:
            new = False
        if new or (self._verbose and not self._quiet):
            self._line(_collection.lines.check_text(check))
            if hint := _collection.lines.hint_text(check):
                self._line(f"    {hint}", "yellow")

    def _texts(self) -> list[str]:
        """Return a line for each assertion of the running story; none where each check is drawn, or only bad ones."""
        if self._verbose or self._quiet:
            return []
        if self._digest is None:
            self._digest = _collection.digest.texts(list(self._checks))
        return self._digest

    def _line(self, text: str, style: str = "", *, cut: bool = False) -> None:
        """Print a line; on a terminal a long one wraps below its own text, in a file it stays one line."""
        from rich.padding import Padding
        from rich.text import Text

        indent = len(text) - len(text.lstrip(" "))
        text = _collection.visible.line(text)
        body = Text(text, style=style, overflow="fold") if style else _collection.text.line(text, cut=cut)
        if self._console.is_terminal:
            self._console.print(Padding(body, (0, 0, 0, indent)))
        else:
            self._console.print(Text(" " * indent) + body, soft_wrap=True)


def terminal(console: Console) -> dict[str, Any]:
    """Return the width of a console, and whether it takes colours."""
    return {"width": console.width, "color": console.is_terminal and not console.no_color}


def clock(seconds: float) -> str:
    """Return a duration as `0:07` or `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
