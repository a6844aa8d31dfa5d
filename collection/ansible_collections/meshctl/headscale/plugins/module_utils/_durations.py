# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations and moments as Headscale writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput

_UTC = timezone.utc
# A Prometheus duration: each unit at most once, the largest first.
_DURATION = re.compile(
    r"(?:(?P<y>\d{1,9})y)?(?:(?P<w>\d{1,9})w)?(?:(?P<d>\d{1,9})d)?(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m)?(?:(?P<s>\d{1,9})s)?(?:(?P<ms>\d{1,9})ms)?"
)
_SECONDS = {"y": 365 * 86400.0, "w": 7 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?(?P<zone>[Zz]|[+-]\d\d:\d\d)"
)
# Headscale's database and JSON hold moments of four-digit years only.
_LONGEST = timedelta(days=365 * 290)


def parse_duration(text: str, *, option: str) -> timedelta:
    """Return the duration that a text such as `90d` or `1h30m` means."""
    match = _DURATION.fullmatch(text.strip()) if text.strip() else None
    if match is None:
        raise BadInput(
            f"{option} is {text!r}, which is not a duration: write for example 30m, 24h, 90d or 1h30m "
            "(units y, w, d, h, m, s, ms, the largest first)."
        )
    seconds = sum(int(number) * _SECONDS[unit] for unit, number in match.groupdict().items() if number)
    if seconds > _LONGEST.total_seconds():
        raise BadInput(f"{option} is {text!r}, which is longer than the 290 years that Headscale can hold.")
    return timedelta(seconds=seconds)


def parse_moment(text: str) -> datetime:
    """Return the moment that an RFC 3339 text names; raise ValueError when it is none."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2030-01-31T12:00:00Z")
    zone = "+00:00" if match["zone"] in "Zz" else match["zone"]
    micros = (match["fraction"] or "")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{match['date']}T{match['time']}.{micros}{zone}").astimezone(_UTC)


def moment_or_none(text: str | None) -> datetime | None:
    """Return the moment, or None for no moment: absent, or Go's zero time, which JSON shows as the year 1."""
    if not text or text.startswith("0001-01-01"):
        return None
    return parse_moment(text)


def format_moment(moment: datetime) -> str:
    """Return a moment as Headscale takes it."""
    return moment.astimezone(_UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def utc_now() -> datetime:
    """Return the present moment of this machine."""
    return datetime.now(_UTC)


def is_past(text: str | None, *, now: datetime) -> bool:
    """Whether a moment, as the API gives it, is over. No moment is never over."""
    return text is not None and parse_moment(text) <= now
