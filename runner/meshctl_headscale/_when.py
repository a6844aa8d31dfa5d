# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a time that the user names."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from meshctl_headscale import _collection
from meshctl_headscale._exit import BadInputError

_AGO = re.compile(r"(?:\d{1,9}(?:y|w|d|h|m|s))+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?")


def moment(text: str, option: str) -> float:
    """Return a time in seconds since 1970: `now`, how long ago (`2h`), or a date with or without a time, in UTC."""
    found = moment_or_none(text)
    if found is None:
        raise BadInputError(
            f"{option} is {text!r}, which is not a time: write for example 2h (two hours ago), 7d, 2026-01-31 or "
            "2026-01-31T12:00 (UTC)."
        )
    return found


def moment_or_none(text: str) -> float | None:
    """Return the time that a text names, or None if it names none."""
    text = text.strip()
    if text == "now":
        return time.time()
    try:
        if _AGO.fullmatch(text):
            found = time.time() - seconds(text, "the time")
        elif _DATE.fullmatch(text):
            date = datetime.fromisoformat(text)
            found = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        else:
            return None
        # In UTC, a time at the edge of the calendar may be beyond it.
        datetime.fromtimestamp(found, tz=UTC)
    except (ValueError, OverflowError, BadInputError):
        return None
    return found


def seconds(text: str, option: str) -> float:
    """Return a duration such as `5m` in seconds."""
    durations = _collection.durations
    try:
        return float(durations.parse_duration(text, option=option).total_seconds())
    except _collection.errors.BadInput as error:
        raise BadInputError(str(error)) from None
