# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read HuJSON, the JSON with comments and trailing commas that policies are written in.

Reading takes time in proportion to the text, whatever the text is: it comes from a server that may be hostile.
"""

from __future__ import annotations

import json
import re
import typing as t
from collections import Counter

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# The type of parsed JSON is unknown until it has been checked.
Document = t.Any

_LONGEST_NAME = 60

# Each alternative ends where it can, so that the expression never goes back. Strings come first: what looks like a
# comment or a comma in a string is neither.
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*(?P<end>")?)|(?P<comment>//[^\n]*)|(?P<comma>,)|(?P<space>\s+)|(?P<other>[^"/,\s]+|.)""",
    re.DOTALL,
)


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Return each token with its kind; raise ValueError for a string or comment that does not end."""
    at = 0
    while at < len(text):
        if text.startswith("/*", at):
            end = text.find("*/", at + 2)
            if end < 0:
                raise json.JSONDecodeError("Unterminated comment starting at", text, at)
            yield "comment", text[at : end + 2]
            at = end + 2
            continue
        match = t.cast("re.Match[str]", _TOKEN.match(text, at))
        if match["string"] and not match["end"]:
            raise json.JSONDecodeError("Unterminated string starting at", text, at)
        yield "string" if match["string"] else str(match.lastgroup), match.group()
        at = match.end()


def to_json(text: str) -> str:
    """Return the document as plain JSON: comments become blanks, and a comma before a closing bracket is dropped."""
    out: list[str] = []
    before, comma_at = "", None
    for kind, token in tokens(text):
        if kind in ("comment", "space"):
            # Keep the lines, so that an error names the right one.
            out.append(re.sub(r"[^\n]", " ", token))
            continue
        if comma_at is not None and token[0] in "]}":
            out[comma_at] = " "
        # A comma after nothing, as in [,], stays an error.
        comma_at = len(out) if kind == "comma" and before not in ("", "[", "{", ",") else None
        before = token[-1]
        out.append(token)
    return "".join(out)


class RepeatedNameError(ValueError):
    """A name occurs twice in one object: readers differ on which one counts, and Python's hides the first."""


def unique(pairs: list[tuple[str, Document]]) -> dict[str, Document]:
    """Return the object of these names and values for a reader of JSON; refuse a repeated name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = min(name for name, count in Counter(name for name, _value in pairs).items() if count > 1)
        shown = twice if len(twice) <= _LONGEST_NAME else f"{twice[:_LONGEST_NAME]}…"
        raise RepeatedNameError(f"the name {shown!r} occurs twice in one object")
    return found


def _constant(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse(text: str) -> Document:
    """Return the data of a HuJSON text; raise ValueError, naming line and column, when it cannot be read."""
    try:
        return json.loads(to_json(text), object_pairs_hook=unique, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def same(one: str, other: str) -> bool:
    """Return whether two texts hold the same data; texts that cannot be read are compared character by character."""
    try:
        # Canonical text, not ==: in Python, True equals 1.
        return _canonical(one) == _canonical(other)
    except ValueError:
        return one.strip() == other.strip()


def _canonical(text: str) -> str:
    try:
        return json.dumps(parse(text), sort_keys=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
