# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write a check as one line of text, for terminals and logs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

# Each assertion decides for itself what it reports as observed.
Json: TypeAlias = Any

MARKS = {"passed": "✓", "failed": "✗", "error": "✗", "skipped": "–"}  # noqa: RUF001
STYLES = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold magenta",
    "skipped": "yellow",
    "interrupted": "bold yellow",
    "not run": "dim",
    "": "dim",
}
_MILLISECONDS = "_ms"
_SECONDS = "_s"
_LONGEST = 100
_SELF_EXPLAINING = ("path", "endpoint", "address", "addresses", "status", "state", "outcome", "url")


def pair(check: Mapping[str, Any]) -> str:
    """Return the source and the target of a check."""
    source, target = str(check.get("source") or ""), check.get("target")
    return f"{source} → {target}" if target else source


def check_text(check: Mapping[str, Any]) -> str:
    """Return the line of a check, without colours."""
    words = [MARKS.get(str(check["verdict"]), "?"), str(check["id"]), "", pair(check)]
    if observed := brief(check.get("observed")):
        words += ["", observed]
    return " ".join(words)


def hint_text(check: Mapping[str, Any]) -> str:
    """Return the hint of a check that did not pass, empty otherwise."""
    return str(check.get("hint") or "") if check["verdict"] != "passed" else ""


def short(value: Json, limit: int) -> str:
    """Return JSON data on one line of at most `limit` characters."""
    line = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def brief(observed: Json) -> str:
    """Return an observation in a few words: `0.8 ms, direct 203.0.113.2:41642`."""
    return short(_brief(observed), _LONGEST)


def milliseconds(value: float) -> str:
    """Return a duration, given in milliseconds, in the unit that people would choose."""
    if value >= 1000:  # noqa: PLR2004
        return f"{value / 1000:.1f} s"
    return f"{_rounded(value)} ms"


def _brief(value: Json) -> str:
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if value.get("path") and value.get("endpoint"):
            # Two fields for one fact.
            value = {**value, "path": f"{value['path']} {value['endpoint']}", "endpoint": None}
        return ", ".join(filter(None, (_named(str(name), part) for name, part in value.items())))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_brief(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _named(name: str, value: Json) -> str:
    """Return a named part of an observation; a unit or a word that explains itself replaces the name."""
    number = _is_number(value)
    if number and name.endswith(_MILLISECONDS):
        label = name.removesuffix(_MILLISECONDS)
        return f"{'' if label in ('latency', 'median', 'duration') else label + ' '}{_rounded(value)} ms"
    if number and name.endswith(_SECONDS):
        return f"{name.removesuffix(_SECONDS)} {_rounded(value)} s"
    if name.endswith(_MILLISECONDS) and isinstance(value, list) and value and all(map(_is_number, value)):
        return f"{name.removesuffix(_MILLISECONDS)} {'/'.join(map(_rounded, value))} ms"
    if isinstance(value, Mapping):
        return f"{name} ({', '.join(f'{part}: {_brief(item)}' for part, item in value.items())})" if value else ""
    text = _brief(value)
    if not text or name in _SELF_EXPLAINING:
        return text
    return f"{name} {text}"


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004
