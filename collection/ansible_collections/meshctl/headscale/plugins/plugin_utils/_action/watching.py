# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan which nodes watch how many peers, and how often they send something, so that a watch leaves most of the cores to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .peers import stream_count

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERVAL_S: Final = 0.1
# Three requests that are lost in a row are an outage: with a longer interval, short outages would pass unnoticed.
_LONGEST_INTERVAL_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 0.4
# What a block of a connection and a datagram, each with its answer, take together, in echo requests.
_TALK: Final = 3.5
# Mesh addresses of a node.
_FAMILIES: Final = 2
# In a larger mesh whose nodes share cores, every second node talks, so that each node is one end of a connection; at most so many do.
_ALL_TALK, _MOST_TALK = 24, 50


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What each node does in a mesh."""

    interval_s: float
    """Seconds between two pings to an address."""
    peers: int
    """How many peers a node pings."""
    pause_s: float
    """Seconds between two blocks of a connection, and two datagrams of a flow."""
    pinging: float
    """The share of the nodes that watch at all."""
    talking: float
    """The share of the nodes that have connections and flows."""


def plan_watch(nodes: int, peers: int, *, most: float, shared: bool) -> Watch:
    """Return what each of `nodes` does, of which each has so many peers: all of them together send at most `most` pings per second."""
    nodes, per_node = max(1, nodes), most / max(1, nodes)
    interval = min(_LONGEST_INTERVAL_S, max(_INTERVAL_S, _FAMILIES * peers / per_node))
    pinged = per_node * interval / _FAMILIES
    talking = 1.0 if not shared or nodes <= _ALL_TALK else min(0.5, _MOST_TALK / nodes)
    connections = _FAMILIES * nodes * talking * min(nodes - 1, stream_count(nodes))
    return Watch(
        interval_s=interval,
        peers=max(1, min(peers, int(pinged))),
        pause_s=max(interval, min(_LONGEST_PAUSE_S, _TALK * connections / (2 * most))),
        # Where every second node watches a peer, each node is watched or watches.
        pinging=max(0.5, min(1.0, pinged)) if shared else 1.0,
        talking=talking,
    )


def takes_part(host: str, nodes: Sequence[str], share: float) -> bool:
    """Return whether a node is one of a share of them, evenly spread."""
    place = nodes.index(host) if host in nodes else 0
    return int((place + 1) * share) > int(place * share)
