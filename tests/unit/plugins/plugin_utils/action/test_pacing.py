# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast the probe of a host goes while others are probed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.pacing import (
    CROWD,
    OWN_CORES,
    PER_CORE,
    Pace,
    pace_of,
    watch_of,
)
from hypothesis import given
from hypothesis import strategies as st

_COUNTS = st.integers(1, 2000)


@given(cores=st.integers(1, 64), hosts=_COUNTS, forks=_COUNTS)
def test_all_hosts_that_are_probed_at_once_stay_within_what_their_cores_carry(
    cores: int, hosts: int, forks: int
) -> None:
    pace = pace_of(shared=True, cores=cores, hosts=hosts, forks=forks)
    last = pace_of(shared=True, cores=cores, hosts=hosts, forks=forks, place=hosts - 1)
    assert min(hosts, forks) * min(pace.per_second, last.per_second) <= PER_CORE * cores * 1.001
    left = (hosts - 1) % forks + 1
    assert left * last.per_second <= PER_CORE * cores * 1.001
    assert last.per_second >= pace.per_second
    assert pace_of(shared=False, cores=cores, hosts=hosts, forks=forks).per_second == OWN_CORES


def test_the_last_hosts_of_a_play_use_what_is_left() -> None:
    paces = [pace_of(shared=True, cores=2, hosts=51, forks=20, place=place).per_second for place in range(51)]
    assert paces == [PER_CORE * 2 / 20] * 40 + [PER_CORE * 2 / 11] * 11
    # The hosts before it may not be done yet.
    (alone,) = {pace_of(shared=True, cores=2, hosts=21, forks=20, place=20).per_second}
    assert alone == PER_CORE * 2 / 4


@given(
    rate=st.floats(1, 5000),
    sizes=st.lists(
        st.tuples(st.sampled_from(["icmp", "disco", "tsmp", "exchange"]), st.integers(0, 300), st.integers(1, 20)),
        min_size=1,
        max_size=4,
    ),
)
def test_requests_get_the_time_that_their_pace_takes(rate: float, sizes: list[tuple[str, int, int]]) -> None:
    asked: list[dict[str, Any]] = [
        {"id": str(number), "kind": kind, "targets": ["192.0.2.1"] * targets, "count": count}
        for number, (kind, targets, count) in enumerate(sizes)
    ]
    paced, seconds = Pace(per_second=rate).requests(asked)
    for before, after in zip(asked, paced, strict=True):
        assert {key: after[key] for key in before} == before
        turns = len(before["targets"]) * (before["count"] if before["kind"] == "icmp" else 1)
        assert turns / after["per_second"] <= seconds * 1.01 + 0.01
    # Those that run at once share the pace: only the most expensive may take all the time.
    assert sum(one["per_second"] for one in paced if one["kind"] == "icmp" and one["targets"]) <= rate * 1.01


def test_what_is_inside_a_capture_or_a_sequence_is_paced_too() -> None:
    pings = {"kind": "icmp", "targets": ["192.0.2.1", "192.0.2.2"], "count": 5}
    paced, seconds = Pace(per_second=20).requests(
        [
            {"kind": "capture", "during": [pings]},
            {"kind": "addresses"},
            {"kind": "sequence", "steps": [{"kind": "metrics"}, pings]},
        ]
    )
    assert paced[0]["during"][0]["per_second"] == paced[2]["steps"][1]["per_second"] == 10
    assert "per_second" not in paced[2]["steps"][0]
    assert seconds == pytest.approx(1.0)
    assert Pace().requests([{"kind": "status"}]) == ([{"kind": "status"}], 0.0)


def test_hosts_that_share_cores_make_fewer_transfers_at_once() -> None:
    request = {"kind": "exchange", "targets": [{"host": "192.0.2.1"}]}
    assert "at_once" not in Pace(per_second=1000).requests([request])[0][0]
    assert Pace(per_second=100).requests([request])[0][0]["at_once"] == 1


@given(cores=st.integers(1, 64), hosts=_COUNTS, forks=_COUNTS, count=st.floats(0, 1e5))
def test_no_pace_is_faster_than_the_least_time(cores: int, hosts: int, forks: int, count: float) -> None:
    pace = pace_of(shared=True, cores=cores, hosts=hosts, forks=forks)
    assert pace.least_s(count) == pytest.approx(hosts * count / (PER_CORE * cores))
    last = pace_of(shared=True, cores=cores, hosts=hosts, forks=forks, place=hosts - 1)
    assert last.least_s(count) == pytest.approx(pace.least_s(count))
    assert pace_of(shared=False, cores=cores, hosts=hosts, forks=forks).least_s(count) == 0


def test_a_watch_of_a_crowd_sends_less() -> None:
    few, many = (watch_of(shared=True, cores=2, nodes=nodes) for nodes in (CROWD, CROWD + 1))
    assert many == few / 2
    assert watch_of(shared=False, cores=2, nodes=CROWD + 1) == watch_of(shared=False, cores=2)


def test_a_watch_leaves_most_of_shared_cores_to_others() -> None:
    assert watch_of(shared=True, cores=2) < PER_CORE < watch_of(shared=False, cores=1)
    assert watch_of(shared=True, cores=64) == watch_of(shared=False, cores=64)
