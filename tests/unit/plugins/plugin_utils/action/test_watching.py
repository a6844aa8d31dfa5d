# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many peers a node watches, and how often it sends something."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.pacing import PER_CORE, watch_of
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.peers import stream_count
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.watching import Watch, plan_watch, takes_part

_CORES = 2
_MOST = watch_of(shared=True, cores=_CORES)
_SIZES = [1, 2, 3, 4, 7, 12, 24, 25, 50, 51, 100, 101, 250, 1000]


def _plan(nodes: int, *, most: float = _MOST, shared: bool = True) -> Watch:
    return plan_watch(nodes, nodes - 1, most=most, shared=shared)


def _taking_part(nodes: int, share: float) -> list[int]:
    names = [f"n{number}" for number in range(nodes)]
    return [place for place, name in enumerate(names) if takes_part(name, names, share)]


@pytest.mark.parametrize(
    ("nodes", "interval", "peers"),
    [(2, 0.1, 1), (3, 0.1, 2), (4, 0.1, 3), (10, 0.43, 9), (15, 0.5, 7), (50, 0.5, 2), (250, 0.5, 1)],
)
def test_small_meshes_are_watched_as_a_whole_and_larger_ones_in_part(nodes: int, interval: float, peers: int) -> None:
    plan = _plan(nodes)
    assert (round(plan.interval_s, 2), plan.peers) == (interval, peers)


def test_hosts_with_cores_of_their_own_all_watch_and_talk() -> None:
    for nodes in _SIZES:
        plan = _plan(nodes, most=2000, shared=False)
        assert (plan.pinging, plan.talking) == (1.0, 1.0)


@pytest.mark.parametrize("nodes", _SIZES)
def test_a_watch_leaves_most_of_the_cores_to_others(nodes: int) -> None:
    plan = _plan(nodes)
    pings = len(_taking_part(nodes, plan.pinging)) * plan.peers * 2 / plan.interval_s
    talkers = len(_taking_part(nodes, plan.talking))
    talk = 3.5 * talkers * min(nodes - 1, stream_count(nodes)) * 2 / plan.pause_s
    # At least one peer of every second node, in both families.
    assert pings <= max(_MOST, nodes * 2 + 4) + 1
    assert pings + talk <= (0.7 if nodes <= 100 else 0.9) * PER_CORE * _CORES or nodes == 1000
    assert plan.pause_s >= plan.interval_s


@pytest.mark.parametrize("nodes", _SIZES[1:])
def test_each_node_watches_or_is_watched(nodes: int) -> None:
    watching = set(_taking_part(nodes, _plan(nodes).pinging))
    assert watching | {(place + 1) % nodes for place in watching} == set(range(nodes))


@pytest.mark.parametrize("nodes", _SIZES)
def test_who_talks_also_watches(nodes: int) -> None:
    plan = _plan(nodes)
    assert plan.talking <= plan.pinging
