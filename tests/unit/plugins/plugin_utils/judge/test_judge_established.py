# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that were open when the policy closed their port must go on; one that was never open proves nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.established import Established, judge_established
from healthy_mesh import context

PEER = Node(name="two", addresses=("100.64.0.2",))
EXPECT = Established(peers=(PEER,), port=20003, since=1000.0, asked=1004.0, phase="narrowed")
OPEN = {"host": "100.64.0.2", "outcome": "open", "opened": 998.0, "last": 1007.9, "exchanged": 40, "tries": 1}


def _seen(**changes: Any) -> dict[str, Any]:
    return {"observations": {"held": {"ok": True, "data": {"now": 1008.0, "streams": [OPEN | changes]}}}}


def test_a_connection_that_goes_on_passes() -> None:
    (check,) = judge_established(_seen(), context("policy"), EXPECT)
    assert (check.verdict, check.aspect, check.family, check.target) == (
        "passed",
        "narrowed.established",
        "ipv4",
        "two",
    )
    assert check.observed == {"outcome": "open", "after_change_s": 7.9}


@pytest.mark.parametrize(
    ("changes", "verdict", "hint"),
    [
        ({"outcome": "reset", "last": 1000.5}, "failed", "it ended with 'reset'"),
        ({"last": 1001.0}, "failed", "nothing has come back for 7.0 s"),
        ({"last": 1003.9}, "failed", "nothing has come back for 4.1 s"),
        ({"last": 999.0, "opened": 998.0}, "failed", "nothing has come back for 9.0 s"),
        ({"opened": None, "last": None, "outcome": "timeout", "tries": 3}, "error", "3 tries, the last one ended with 'timeout'"),
        ({"opened": 1001.0}, "error", "no connection to two was open when the policy changed"),
    ],
)  # fmt: skip
def test_a_connection_that_ended_fails_and_one_that_never_was_is_an_error(
    changes: dict[str, Any], verdict: str, hint: str
) -> None:
    (check,) = judge_established(_seen(**changes), context("policy"), EXPECT)
    assert check.verdict == verdict
    assert hint in check.hint


def test_the_clock_of_the_host_may_be_ahead() -> None:
    ahead = Established(peers=(PEER,), port=20003, since=900.0, asked=904.0, ahead_s=100.0)
    (check,) = judge_established(_seen(), context("policy"), ahead)
    assert check.verdict == "passed"
    assert check.observed["after_change_s"] == 7.9


def test_a_watch_that_does_not_answer_is_an_error() -> None:
    broken = {"observations": {"held": {"ok": False, "error": {"message": "it does not answer"}}}}
    (check,) = judge_established(broken, context("policy"), EXPECT)
    assert (check.verdict, check.hint) == ("error", "it does not answer")
