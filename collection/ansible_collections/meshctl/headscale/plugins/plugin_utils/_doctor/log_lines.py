# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shorten lines of headscale's log. They hold texts of nodes, so no line costs more time than its length. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_LONGEST = 4000
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_TIME = re.compile(r"[-\d]+[ T][\d:.]+Z?\s+(?:[-\d]+T[\d:]+Z?\s+)?")
_PLACE = re.compile(r"(?<!\S)\S{1,300} > ")
_BEGAN = re.compile(r"(\d{9,11}\.\d{1,9}) |(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")


def time_of(line: str) -> float | None:
    """Return the time at the beginning of a line, in seconds; times of one log can be compared."""
    if not (began := _BEGAN.match(line)):
        return None
    try:
        return float(began[1] or datetime.fromisoformat(f"{began[2]} {began[3]}").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def recent(lines: list[str], words: str, seconds: float) -> list[float]:
    """Return how many seconds before the end of a log the words occurred in it, the last ones first."""
    times = [(found, line) for line in lines if (found := time_of(line)) is not None]
    if not times:
        return []
    end = times[-1][0]
    return [end - at for at, line in reversed(times) if words in line and 0 <= end - at <= seconds]


def without_time(line: str) -> str:
    """Return a line without the time at its beginning, colours and places in headscale's code."""
    short = line[:_LONGEST]
    began = _TIME.match(short)
    return without_places(short[began.end() :] if began else short)


def without_places(line: str) -> str:
    """Return a line without colours and places in headscale's code, such as `github.com/juanfont/…:1 > `."""
    return _PLACE.sub(_unless_place, _COLOUR.sub("", line[:_LONGEST])).strip()


def _unless_place(match: re.Match[str]) -> str:
    return "" if "github.com/" in match[0] else match[0]
