# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe's pings that are repeated until they are answered."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import icmp

LATE = "127.0.0.2"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "_AGAIN_S", 0.1)


def ping(*targets: str, try_timeout_s: float, count: int = 1) -> Any:
    ask = {
        "targets": targets,
        "count": count,
        "interval_s": 0.1,
        "try_timeout_s": try_timeout_s,
        "until_answered": True,
    }
    answer = probe.main({"observe": [{"id": "it", "kind": "icmp", **ask}], "deadline_s": 5})["observations"]["it"]
    if not answer["ok"]:
        pytest.skip(answer["error"]["message"])
    return answer["data"]


def test_a_target_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    count = icmp.Echo.count

    def lose_three(self: icmp.Echo, number: int, *reply: Any) -> None:
        target = self.sent[number][0]
        if target != LATE or self.found[target]["sent"] > 3:
            count(self, number, *reply)

    monkeypatch.setattr(icmp.Echo, "count", lose_three)
    found = ping("127.0.0.1", LATE, try_timeout_s=4)
    assert [(found[target]["sent"], found[target]["received"]) for target in ("127.0.0.1", LATE)] == [(1, 1), (4, 1)]


def test_a_target_that_never_answers_is_asked_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp.Echo, "count", lambda *_reply: None)
    began = time.monotonic()
    found = ping("127.0.0.1", try_timeout_s=0.35)["127.0.0.1"]
    assert 0.35 <= time.monotonic() - began < 3
    assert (2 <= found["sent"] <= 4, found["received"]) == (True, 0)


def test_each_target_is_asked_the_given_number_of_times_first() -> None:
    assert ping("127.0.0.1", try_timeout_s=4, count=3)["127.0.0.1"]["received"] == 3
