# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line of a check."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import lines


@pytest.mark.parametrize(
    ("observed", "text"),
    [
        ({"latency_ms": 0.84, "path": "direct", "endpoint": "203.0.113.2:41642"}, "0.8 ms, direct 203.0.113.2:41642"),
        ({"median_ms": 0.5, "worst_ms": 123.4}, "0.5 ms, worst 123 ms"),
        ({"sent": 3, "received": 3, "rtt_ms": [5.03, 0.5]}, "sent 3, received 3, rtt 5.0/0.5 ms"),
        ({"state": "Running", "online": True, "addresses": ["100.64.0.1"]}, "Running, online yes, 100.64.0.1"),
        ({"replies": {"100.64.0.2": 0, "fd7a::2": 0}}, "replies (100.64.0.2: 0, fd7a::2: 0)"),
        ({"after_s": 2.41}, "after 2.4 s"),
        ("no answer", "no answer"),
        (None, ""),
        ({}, ""),
        ([], ""),
        (0, "0"),
        (False, "no"),
    ],
)
def test_observed_in_short(observed: Any, text: str) -> None:
    assert lines.brief(observed) == text


def test_observed_is_never_long() -> None:
    assert len(lines.brief({"body": "x" * 5000})) == 100


def test_line_and_hint() -> None:
    check = {"id": "us1.path", "source": "a", "target": "b", "verdict": "failed", "observed": "relayed", "hint": "look"}
    assert lines.check_text(check) == "✗ us1.path  a → b  relayed"
    assert lines.hint_text(check) == "look"
    assert lines.hint_text({**check, "verdict": "passed"}) == ""
    assert lines.check_text({"id": "us1.x", "source": "a", "target": None, "verdict": "passed"}) == "✓ us1.x  a"
