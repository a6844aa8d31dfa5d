# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw tables on stdout."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meshctl_headscale import _collection
from meshctl_headscale._stories import Story

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_NO_WIDTH = 1000
# Omitted from the status on a terminal that is too narrow; --json has them.
_STATUS_MIN_WIDTH = 100
_STATUS_EXTRA = ("SUBNET", "PID")
_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}


def _draw(*parts: RenderableType, console: Console | None) -> None:
    """Print on the terminal; where there is none, neither wrap nor pad."""
    terminal = console or _terminal()
    if terminal:
        terminal.print(*parts, sep="\n")
        return
    buffer = io.StringIO()
    _collection.text.console(buffer, width=_NO_WIDTH).print(*parts, sep="\n")
    print("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))


def _terminal() -> Console | None:
    return _collection.text.console() if sys.stdout.isatty() else None


def _table(*columns: str, gap: int = 2) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def status(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Draw the machines of a lab."""
    terminal = console or _terminal()
    rows = [_status_row(row) for row in found["machines"]]
    narrow = terminal is not None and terminal.width < _STATUS_MIN_WIDTH
    columns = [column for column in rows[0] if not (narrow and column in _STATUS_EXTRA)] if rows else []
    table = _table(*columns, gap=1 if narrow else 2)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    problem = found["server"]["problem"]
    note = [_text(f"The control server could not be asked: {problem}", "yellow")] if problem else []
    _draw(table, *note, console=console)


def _status_row(row: Mapping[str, Any]) -> dict[str, str]:
    online = {True: "yes", False: "no", None: ""}[row["online"]]
    # The IPv4 address is enough here; --json has both.
    mesh = str(row["mesh_addresses"][0]) if row["mesh_addresses"] else row["state"]
    direct = f"{row['direct']}/{row['peers']}" if row["peers"] else ""
    up = "guest" if row.get("guest") else "gone" if row["pid"] is None else _age(row["uptime_s"] or 0)
    return {
        "HOST": row["host"],
        "KIND": row["kind"],
        "SUBNET": row["subnet"],
        "ADDRESS": row["address"],
        "MESH": mesh,
        "ONLINE": online,
        "DERP": row["relay"],
        "DIRECT": direct,
        "PID": str(row["pid"] or ""),
        "UP": up,
    }


def _cell(text: str) -> Text:
    style = {"yes": "green", "no": "bold red", "gone": "bold red", "no tailscaled": "red"}.get(text, "")
    return _text(text, style)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(_collection.visible.line(text), style=style)


def _age(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def findings(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Draw what the doctor found."""
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for finding in found["findings"]:
        mark, style = _MARKS[finding["verdict"]]
        parts.append(Text.assemble((mark, style), " ", finding["what"]))
        if finding["remedy"]:
            parts.append(Padding(Text(finding["remedy"], style=style), (0, 0, 0, 4)))
    failed = sum(1 for finding in found["findings"] if finding["verdict"] == "fail")
    closing = "This machine can run a lab." if found["ok"] else f"{failed} to fix before a lab can run."
    _draw(*parts, Text(closing, style="green" if found["ok"] else "bold red"), console=console)


_SEVERITIES = {"high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}


def files(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Draw what the doctor found in files, each place as compilers write it."""
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for finding in found["findings"]:
        place = f"{finding['file']}:{finding['line']}" if finding["line"] else finding["file"]
        severity, style = finding["severity"], _SEVERITIES[finding["severity"]]
        said = Text.assemble(": ", (severity, style), ": ", _text(finding["problem"]), f" ({finding['id']})")
        parts.append(_text(place).append(said))
        parts.extend(Padding(_text(line), (0, 0, 0, 4)) for line in (finding["evidence"], finding["remedy"]) if line)
    _draw(*parts, _closing(found), console=console)


def _closing(found: Mapping[str, Any]) -> Text:
    number, names = len(found["findings"]), " and ".join(found["files"])
    said = (
        f"{number} {'finding' if number == 1 else 'findings'} in {names}." if number else f"Nothing to fix in {names}."
    )
    confirmed = found["headscale"]["confirmed_by"]
    said += f" Read by {confirmed} as well." if confirmed else " Headscale itself did not read the files."
    said += (
        f" {found['below']} below {found['min_severity']} not shown (--min-severity info)." if found["below"] else ""
    )
    return _text(said, "bold red" if number else "green")


def stories(found: Sequence[Story], console: Console | None = None) -> None:
    """Draw the list of stories."""
    table = _table("STORY", "ALIAS", "PROVES", "REQUIRES", "DISRUPTS", "TIME")
    for story in found:
        if story.about:
            about, time = story.about, f"{story.about.seconds} s"
            table.add_row(story.name, about.alias, about.summary, about.requires, about.disrupts or "nothing", time)
        else:
            table.add_row(story.name, "", story.title, "", "", "")
    _draw(table, console=console)


def rows(
    columns: Sequence[str],
    found: Sequence[Sequence[str]],
    *,
    marked: Sequence[str],
    console: Console | None = None,
) -> None:
    """Draw rows, each in the style given by `marked`; the first column, which users copy, is never folded."""
    terminal = console or _terminal()
    table = _table(*columns, gap=1 if terminal and terminal.width < _STATUS_MIN_WIDTH else 2)
    table.columns[0].no_wrap = True
    for row, style in zip(found, marked, strict=True):
        table.add_row(*map(_text, row), style=style)
    _draw(table, console=console)


def versions(found: Mapping[str, str], console: Console | None = None) -> None:
    """Draw versions."""
    table = _table("", "")
    table.show_header = False
    for name, version in found.items():
        table.add_row(name, version)
    _draw(table, console=console)
