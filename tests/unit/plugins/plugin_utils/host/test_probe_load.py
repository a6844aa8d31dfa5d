# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the probe keeps a pace, and what it says of the load of its host."""

from __future__ import annotations

import time

from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import load, main
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import each
from hypothesis import given
from hypothesis import strategies as st
from sample import examples


@examples(10)
@given(items=st.integers(1, 12), workers=st.integers(1, 8))
def test_no_more_items_begin_in_a_second_than_the_pace_allows(items: int, workers: int) -> None:
    began = time.monotonic()
    starts: list[float] = each(
        lambda _item: time.monotonic() - began, list(range(items)), began + 30, workers=workers, per_second=100
    )
    assert len(starts) == items
    assert all(start >= index / 100 - 0.001 for index, start in enumerate(starts))


def test_items_whose_turn_is_after_the_deadline_are_left_out() -> None:
    began = time.monotonic()
    assert each(str, list(range(50)), began + 0.2, workers=4, per_second=20)[-1] is None
    assert time.monotonic() - began < 10


def test_pings_keep_the_pace() -> None:
    targets = [f"127.0.0.{number}" for number in range(1, 11)]
    began = time.monotonic()
    answer = main({"observe": [{"id": "p", "kind": "icmp", "targets": targets, "count": 2, "per_second": 50}]})
    assert time.monotonic() - began >= 0.36
    found = answer["observations"]["p"]["data"]
    assert {target: one["received"] for target, one in found.items()} == dict.fromkeys(targets, 2)


def test_the_answer_says_how_busy_the_host_was() -> None:
    figures = main({"observe": [{"kind": "time"}]})["host"]["load"]
    assert figures["cores"] >= 1
    assert figures["ran_s"] > 0
    assert figures["waited_s"] >= 0
    assert 0 <= figures.get("stolen", 0) <= 1
    assert 0 <= figures.get("pressure", 0) <= 1


def test_a_system_without_these_files_says_less(monkeypatch: object) -> None:
    monkeypatch.setattr(load, "_read", lambda _path: "")  # type: ignore[attr-defined]
    monkeypatch.setattr(load, "_waits", [])  # type: ignore[attr-defined]
    figures = load.Watch().figures()
    assert {key: value for key, value in figures.items() if key != "cores"} == {
        "ran_s": None,
        "waited_s": None,
        "load": None,
    }
