# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks arrive as they were made, whether there are few or many."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.handed import hand_over, handed_over
from hypothesis import given
from hypothesis import strategies as st

_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(values=st.lists(_VALUES, max_size=8), times=st.integers(0, 20))
def test_checks_arrive_as_they_were_made(values: list[Any], times: int) -> None:
    checks = [{"id": "us1.reachable.ipv4", "observed": value} for value in values] * times
    sent = hand_over({"checks": checks, "failed": False})
    assert handed_over(sent) == checks
    assert isinstance(sent["checks"], str) is (len(checks) > 20)
    assert sent["failed"] is False


@pytest.mark.parametrize("given", [None, "", "no JSON", "{}", {"id": "x"}, 3, "[" * 100_000])
def test_a_result_of_another_task_has_no_checks(given: Any) -> None:
    assert handed_over({"checks": given}) == []
    assert handed_over({}) == []
