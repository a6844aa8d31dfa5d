# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find everything in a policy that Headscale refuses. Headscale itself names only the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ....module_utils._errors import BadInput
from ..._judge.answer import items, mapping
from ..._policy import Policy
from .policy_text import Path

_DEFINITIONS = ("groups", "hosts", "tagOwners")
_RULES = ("acls", "grants")


def refusals(parts: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Return what is refused and why, each part by itself; `parts` are the policy's, by their usual names."""
    defined = _defined(parts)
    for part in (*_DEFINITIONS, *_RULES):
        entries = list(_entries(part, parts.get(part)))
        # What has the wrong type as a whole is one refusal.
        for path, value in entries or [((part,), parts.get(part))]:
            if why := _why(defined, part, value):
                yield path, _renumbered(why, path)


def _entries(part: str, value: Any) -> Iterator[tuple[Path, Any]]:  # noqa: ANN401 - HuJSON
    if part in _DEFINITIONS:
        yield from (((part, name), {name: entry}) for name, entry in mapping(value).items())
    else:
        yield from (((part, str(number)), [rule]) for number, rule in enumerate(items(value)))


def _defined(parts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a harmless definition of each name, so that a broken one is not refused again wherever it is used."""
    groups, hosts, tags = (mapping(parts.get(part)) for part in _DEFINITIONS)
    return {
        "groups": {name: [] for name in groups if name.startswith("group:")},
        "hosts": {name: "100.64.0.1" for name in hosts if "@" not in name and ":" not in name},
        "tagOwners": {name: [] for name in tags if re.match("tag:[A-Za-z]", name)},
    }


def _why(defined: dict[str, dict[str, Any]], part: str, value: Any) -> str:  # noqa: ANN401
    if part in _DEFINITIONS and isinstance(value, dict):
        value = {**defined[part], **value}
    try:
        Policy.read({**defined, part: value})
    except BadInput as exc:
        return str(exc)
    return ""


def _renumbered(why: str, path: Path) -> str:
    """Give a rule that was read by itself its number in the policy."""
    return (
        re.sub(r"\b(acl|grant) 1\b", lambda found: f"{found[1]} {int(path[1]) + 1}", why) if path[0] in _RULES else why
    )
