# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read HuJSON, JSON with comments and trailing commas, in which policies are written."""

from __future__ import annotations

import json
import re
import typing as t

# What came out of JSON: of any type until it was looked at.
Document = t.Any

# Strings come first, so that nothing inside a string is taken for a comment or a comma.
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<comma>,)|(?P<space>\s+)|(?P<other>[^"/,\s]+|.)""",
    re.DOTALL,
)


def to_json(text: str) -> str:
    """Return the same document as plain JSON: comments become blanks, a comma before a closing bracket goes."""
    out: list[str] = []
    before, comma_at = "", None
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind in ("comment", "space"):
            # Keep the lines, so that an error names the right one.
            out.append(re.sub(r"[^\n]", " ", token))
            continue
        if comma_at is not None and token[0] in "]}":
            out[comma_at] = " "
        # A comma after nothing, as in [,], is an error and stays one.
        comma_at = len(out) if kind == "comma" and before not in ("", "[", "{", ",") else None
        before = token[-1]
        out.append(token)
    return "".join(out)


def _unique(pairs: list[tuple[str, Document]]) -> dict[str, Document]:
    """Refuse a name that stands twice: readers differ on which one counts, so two such documents cannot be compared."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [pair[0] for pair in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"the name {twice[0]!r} stands twice in one object")
    return found


def _constant(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse(text: str) -> Document:
    """Return the data that a HuJSON text holds; raise ValueError, naming line and column, when it is none."""
    try:
        return json.loads(to_json(text), object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def same(one: str, other: str) -> bool:
    """Whether two texts hold the same data; texts that cannot be read are compared as they stand."""
    try:
        # Canonical text, not ==: Python holds True and 1 for equal.
        return _canonical(one) == _canonical(other)
    except ValueError:
        return one.strip() == other.strip()


def _canonical(text: str) -> str:
    return json.dumps(parse(text), sort_keys=True)
