# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read commands from the documentation, for the tests that run them.

In a `console` block, a line that starts with `$ ` is a command. A comment before a block changes how it is treated:
`<!-- not run: REASON -->`, `<!-- exit code: N -->` (of its last command), `<!-- file: NAME -->` (its content).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project import ROOT

_BLOCK = re.compile(
    r"(?:^<!-- (?P<what>[a-z ]+): (?P<value>[^\n]*?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    body: str
    what: str
    value: str

    @property
    def commands(self) -> list[str]:
        """The commands of a `console` block."""
        if self.language != "console":
            return []
        return [line[2:].split("   #")[0].strip() for line in self.body.splitlines() if line.startswith("$ ")]


def pages() -> list[Path]:
    """Return the README and every page of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def guides() -> list[Path]:
    """Return the pages for contributors, whose commands are not run."""
    return [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


def prose_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page outside fenced blocks and tables, which cannot be wrapped."""
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("|", "<!--", "![")):
            yield number, line


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(page, line, match["language"], match["body"], match["what"] or "", match["value"] or "")
