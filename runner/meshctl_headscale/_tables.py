"""Tables on stdout."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meshctl_headscale._stories import Story

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_NO_WIDTH = 1000
_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}


def _draw(*parts: RenderableType, console: Console | None) -> None:
    """Print on the terminal, or, where there is none, without wrapping and without padding."""
    from rich.console import Console as Rich  # noqa: PLC0415

    if console or sys.stdout.isatty():
        (console or Rich(highlight=False)).print(*parts, sep="\n")
        return
    buffer = io.StringIO()
    Rich(file=buffer, highlight=False, width=_NO_WIDTH).print(*parts, sep="\n")
    print("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))


def _table(*columns: str) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def status(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Draw the machines of a lab."""
    from rich.text import Text  # noqa: PLC0415

    table = _table("HOST", "KIND", "SUBNET", "ADDRESS", "MESH", "ONLINE", "DERP", "DIRECT", "PID", "UP")
    for row in found["machines"]:
        table.add_row(*map(_cell, _status_row(row)))
    problem = found["server"]["problem"]
    note = [Text(f"The control server could not be asked: {problem}", style="yellow")] if problem else []
    _draw(table, *note, console=console)


def _status_row(row: Mapping[str, Any]) -> list[str]:
    online = {True: "yes", False: "no", None: ""}[row["online"]]
    # Of the two mesh addresses the short one is enough here; --json has both.
    mesh = str(row["mesh_addresses"][0]) if row["mesh_addresses"] else row["state"]
    direct = f"{row['direct']}/{row['peers']}" if row["peers"] else ""
    up = "guest" if row.get("guest") else "gone" if row["pid"] is None else _age(row["uptime_s"] or 0)
    return [
        row["host"],
        row["kind"],
        row["subnet"],
        row["address"],
        mesh,
        online,
        row["relay"],
        direct,
        str(row["pid"] or ""),
        up,
    ]


def _cell(text: str) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415

    style = {"yes": "green", "no": "bold red", "gone": "bold red", "no tailscaled": "red"}.get(text, "")
    return Text(text, style=style)


def _age(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def findings(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Draw what the doctor found."""
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = []
    for finding in found["findings"]:
        mark, style = _MARKS[finding["verdict"]]
        parts.append(Text.assemble((mark, style), " ", finding["what"]))
        if finding["remedy"]:
            parts.append(Padding(Text(finding["remedy"], style=style), (0, 0, 0, 4)))
    failed = sum(1 for finding in found["findings"] if finding["verdict"] == "fail")
    closing = "This machine can run a lab." if found["ok"] else f"{failed} to put right before a lab can run."
    _draw(*parts, Text(closing, style="green" if found["ok"] else "bold red"), console=console)


def stories(found: Sequence[Story], console: Console | None = None) -> None:
    """Draw the list of stories."""
    table = _table("", "")
    table.show_header = False
    for story in found:
        table.add_row(story.name, story.title)
    _draw(table, console=console)


def versions(found: Mapping[str, str], console: Console | None = None) -> None:
    """Draw versions."""
    table = _table("", "")
    table.show_header = False
    for name, version in found.items():
        table.add_row(name, version)
    _draw(table, console=console)
