# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations and moments, on every Python that a module may meet on a host."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import (
    format_moment,
    is_past,
    moment_or_none,
    parse_duration,
    parse_moment,
)
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("24h", 86400), ("1h30m", 5400), ("90d", 7776000), ("0s", 0)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text, option="expiration") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "30", "-1h", "30m1h"])
def test_what_is_no_duration_is_named_with_its_option(text: str) -> None:
    with pytest.raises(BadInput, match="expiration"):
        parse_duration(text, option="expiration")


def test_nanoseconds_are_cut_to_what_python_holds() -> None:
    moment = parse_moment("2026-01-31T12:00:00.123456789Z")
    assert moment == datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=timezone.utc)
    assert format_moment(moment) == "2026-01-31T12:00:00Z"


def test_zones_are_one_moment() -> None:
    assert parse_moment("2026-01-31T14:00:00+02:00") == parse_moment("2026-01-31T12:00:00Z")


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z"])
def test_no_moment_is_never_over(text: str | None) -> None:
    assert moment_or_none(text) is None
    assert not is_past(None, now=datetime.now(timezone.utc))
