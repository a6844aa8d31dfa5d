# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the lines of a policy's parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ....module_utils import _hujson

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]


def lines(text: str) -> dict[Path, int]:
    """Return the line of every member and element of a HuJSON text that can be parsed."""
    # The document itself is the first part of each path.
    return {path[1:]: line for path, line in _walk(_symbols(text))}


def line_of_word(text: str, word: str) -> int | None:
    """Return the first line with a text, as a whole string or as the beginning of one (`tag:web:443`)."""
    for symbol, line in _symbols(text):
        if symbol.startswith('"') and (said := _string(symbol)) and (said == word or said.startswith(f"{word}:")):
            return line
    return None


def _symbols(text: str) -> Iterator[tuple[str, int]]:
    """Return brackets, colons, commas, strings and other values, each with its line."""
    line = 1
    for kind, token in _hujson.tokens(text):
        if kind in ("string", "comma"):
            yield token, line
        elif kind == "other":
            value = ""
            for character in token:
                if character in "{}[]:":
                    if value:
                        yield value, line
                    value = ""
                    yield character, line
                else:
                    value += character
            if value:
                yield value, line
        line += token.count("\n")


def _walk(symbols: Iterator[tuple[str, int]]) -> Iterator[tuple[Path, int]]:
    """Return the path of each value that begins, with its line."""
    place = _Place()
    for symbol, line in symbols:
        if symbol in "]}":
            place.close()
        elif symbol == ",":
            place.next()
        elif symbol == ":":
            yield place.path, line
        else:
            if place.in_list:
                yield place.path, line
            place.value(symbol)


class _Place:
    """Where a reader is in a document."""

    def __init__(self) -> None:
        self._above: list[str] = []
        # For each open bracket, the number of the element; None in an object.
        self._open: list[int | None] = []
        self._name = ""

    @property
    def in_list(self) -> bool:
        """Whether the next value is an element of a list."""
        return bool(self._open) and self._open[-1] is not None

    @property
    def path(self) -> Path:
        """Return the path of the value that begins."""
        return (*self._above, str(self._open[-1]) if self.in_list else self._name)

    def close(self) -> None:
        """Leave an object or a list."""
        if self._open:
            self._open.pop()
            self._above.pop()

    def next(self) -> None:
        """Go to the next element."""
        if self._open and (number := self._open[-1]) is not None:
            self._open[-1] = number + 1

    def value(self, symbol: str) -> None:
        """Enter an object or a list, or keep what may be the name of a member."""
        if symbol in "[{":
            self._above.append(self.path[-1] if self._open else "")
            self._open.append(0 if symbol == "[" else None)
        elif symbol.startswith('"'):
            self._name = _string(symbol)


def _string(symbol: str) -> str:
    try:
        return str(json.loads(symbol))
    except ValueError:
        return ""
