# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find in tailscaled's log what it does not say of itself. Pure."""

from __future__ import annotations

import re
from typing import Any

from .._judge.answer import Json, items, mapping, text

CUT = "PollNetMap: unexpected EOF"
"""The other side closed the connection on which tailscaled waits for news."""
_START, _STOPPED, _STATE = "Program starting: ", "tailscaled got signal", "store.New failed: "
_FATAL = (_STATE, "panic: ", "fatal error: ", "createEngine: ", "flag provided but not defined", "invalid value ")
_LONGEST = 300
# The times of s6-log or of the journal with its host and program, and tailscaled's own.
_HEAD = re.compile(r"^(?:[-\d]+ [\d:.]+\s+|\d{9,11}\.\d+ \S+ \S+: )?(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?")
REQUEST: dict[str, Any] = {
    "id": "tailscaled_log",
    "kind": "log",
    "unit": "tailscaled",
    "paths": ["/var/log/meshctl/tailscaled/current"],
    "words": [CUT, _START, _STOPPED, *_FATAL],
    "times": True,
}


def lines(seen: Json) -> list[str]:
    """Return the lines of an observed log."""
    return [text(line) for line in items(mapping(seen).get("lines"))]


def lost_state(seen: Json) -> str:
    """Return why tailscaled could not read its state when it started last, empty if it could."""
    return next((line.partition(_STATE)[2].partition("; ")[0] for line in _since_start(seen) if _STATE in line), "")


def end(seen: Json) -> str:
    """Return how tailscaled ended by its log, for a hint; empty if that was not read."""
    said = _since_start(seen)
    if not said:
        return ""
    stopped = max((number for number, line in enumerate(said) if _STOPPED in line), default=-1)
    # One that cannot even read its options does not log a start.
    later = [line for line in said[stopped + 1 :] if any(word in line for word in _FATAL)]
    if stopped >= 0 and not later:
        return "it was stopped, as its log says"
    errors = later or [line for line in said if any(word in line for word in _FATAL)]
    return f"the last {'error' if errors else 'line'} in its log: {(errors or said)[-1]}"


def _since_start(seen: Json) -> list[str]:
    known = lines(seen)
    at = max((number for number, line in enumerate(known) if _START in line), default=-1)
    short = (_HEAD.sub("", line[:_LONGEST]).strip() for line in known[at + 1 :])
    return list(filter(None, short))
