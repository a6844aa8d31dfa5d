# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the line of a policy on which a rule begins."""

from __future__ import annotations

import json
import re

from ...module_utils import _hujson

_KINDS = {"acl": "acls", "grant": "grants"}
_LABEL = re.compile(r"(acl|grant) (\d+)")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]')
_COLON = re.compile(r"\s*:")


def line_of(label: str, policy: str) -> int | None:
    """Return the line of the rule that a label such as `acl 2: …` names; None if it cannot be found."""
    found = _LABEL.match(label)
    if not found:
        return None
    try:
        plain = _hujson.to_json(policy)
    except ValueError:
        return None
    at = _start(plain, _KINDS[found[1]], int(found[2]))
    return None if at is None else plain.count("\n", 0, at) + 1


def _start(plain: str, section: str, number: int) -> int | None:
    depth, inside, count = 0, False, 0
    for token in _TOKEN.finditer(plain):
        word = token.group()
        if word[0] == '"':
            # The name of a section is followed by a colon.
            if depth == 1:
                inside = _name(word) == section and bool(_COLON.match(plain, token.end()))
            continue
        if word in "]}":
            depth -= 1
            continue
        # A rule is an object in the list of the section.
        if inside and depth == 2 and word == "{":  # noqa: PLR2004
            count += 1
            if count == number:
                return token.start()
        depth += 1
    return None


def _name(word: str) -> str:
    try:
        return str(json.loads(word)).lower()
    except ValueError:
        return ""
