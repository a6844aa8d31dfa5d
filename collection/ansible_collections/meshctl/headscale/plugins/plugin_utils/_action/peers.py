# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Select the peers of an assertion by `mesh_expect`, which may say that some nodes do not reach others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...module_utils._plain import plain
from .._inventory.expect import Expectation, read_expect
from .._judge.answer import mapping
from .assertion import NotAsserted

# About as many in the whole mesh, unless there are more nodes.
_TRANSFERS = 48

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._judge.context import Node
    from .assertion import Assertion
    from .probing import ProbingAction


def expectation(task: ProbingAction) -> Expectation:
    """Return what the inventory's `mesh_expect` states; raise `BadInput`."""
    groups = {
        name: [str(host) for host in members]
        for name, members in mapping(plain(task.known.get("groups") or {})).items()
    }
    return read_expect(task.setting("expect"), groups)


def reached(task: Assertion, peers: Sequence[Node]) -> tuple[Node, ...]:
    """Return the peers that the host must reach; raise `NotAsserted` if there are none."""
    expect = expectation(task)
    return _some(task, [peer for peer in peers if expect.reaches(task.host, peer.name)])


def seen(task: Assertion, peers: Sequence[Node]) -> tuple[Node, ...]:
    """Return the peers that the server must show to the host; raise `NotAsserted` if there are none."""
    expect = expectation(task)
    return _some(task, [peer for peer in peers if expect.sees(task.host, peer.name)])


def _some(task: Assertion, peers: Sequence[Node]) -> tuple[Node, ...]:
    if not peers:
        raise NotAsserted(f"by mesh_expect, {task.host} has no peer here")
    return tuple(peers)


def following(host: str, nodes: Sequence[str], peers: Sequence[str], count: int) -> list[str]:
    """Return the first peers after a host in the list of nodes, so that every node is chosen as often as it chooses."""
    start = nodes.index(host) if host in nodes else -1
    ring = [*nodes[start + 1 :], *nodes[: max(start, 0)]]
    return [name for name in ring if name in peers][:count]


def stream_count(nodes: int) -> int:
    """Return the number of peers with a transfer or a stream: in a large mesh, all of them would load the hosts for minutes."""
    return max(1, _TRANSFERS // max(1, nodes))
