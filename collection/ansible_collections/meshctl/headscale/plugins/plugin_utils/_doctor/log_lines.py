# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shorten lines of headscale's log. They hold texts of nodes, so no line costs more time than its length. Pure."""

from __future__ import annotations

import re

_LONGEST = 4000
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_TIME = re.compile(r"[-\d]+[ T][\d:.]+Z?\s+(?:[-\d]+T[\d:]+Z?\s+)?")
_PLACE = re.compile(r"(?<!\S)\S{1,300} > ")


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
