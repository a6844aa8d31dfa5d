# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a node watches, and which of its peers have connections."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.action.hold import idle_time, lasting
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.peers import following, stream_count


def test_every_node_is_watched_by_as_many_as_it_watches() -> None:
    nodes = [f"n{number}" for number in range(9)]
    chosen = {node: following(node, nodes, [other for other in nodes if other != node], 3) for node in nodes}
    assert chosen["n7"] == ["n8", "n0", "n1"]
    assert {sum(node in found for found in chosen.values()) for node in nodes} == {3}
    assert (stream_count(3), stream_count(50)) == (16, 1)


def test_a_watch_ends_before_the_listeners_of_its_connections() -> None:
    assert lasting(60, [120.0, 90.0]) == 60
    assert lasting(300, [120.0, 38.5]) == 38.5
    assert lasting(1000, []) == 900


@pytest.mark.parametrize(
    ("hold", "budget", "idle"), [(10, 3, 5), (30, 3, 15), (5, 3, 1), (1, 3, 1), (10, 9, 1), (600, 3, 300)]
)
def test_a_connection_is_idle_for_as_long_as_a_stall_can_still_be_seen(hold: float, budget: float, idle: float) -> None:
    assert idle_time(hold, budget) == idle
