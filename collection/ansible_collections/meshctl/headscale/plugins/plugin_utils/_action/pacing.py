# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pace probes, so that the load that they cause never becomes a verdict.

The machines of a lab share this computer's cores, and so do virtual machines. At most `forks` of them are probed at once,
and each gets its part of what the cores can carry. Existing hosts do not share theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Request = dict[str, Any]

# An echo request from one client to another and its reply take about 0.4 ms of a core, mostly in tailscaled.
PER_CORE: Final = 1400.0
OWN_CORES: Final = 1000.0
# In a mesh of more nodes that share cores, each node does less of what all of them do.
CROWD: Final = 50
# What an entry of `targets` costs, in echo requests.
_COSTS: Final = {"icmp": 1.0, "disco": 3.0, "tsmp": 3.0, "exchange": 8.0}
_TRANSFERS: Final = 4
_ALONE: Final = 500.0
_PER_OPEN: Final = 40.0
_NARROWEST: Final = 2
# The last hosts of a play may begin while others are still probed.
_FEWEST_AT_ONCE: Final = 4
_WATCH: Final = 2000.0
_WATCH_PER_CORE: Final = 210.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What the probe of one host may do while others are probed: a number of echo requests per second."""

    per_second: float = OWN_CORES
    turns: float = 0.0
    """How often hosts wait until others have been probed, 0 if they share no cores."""

    def requests(self, requests: list[Request]) -> tuple[list[Request], float]:
        """Return the requests, each with its pace, and the seconds that they take for it; all begin at once."""
        together = max(1, sum(_weight(request) > 0 for request in requests))
        rate = self.per_second / together
        longest = max((_weight(request) for request in requests), default=0.0) / rate
        return [_paced(request, rate) for request in requests], longest

    def least_s(self, count: float) -> float:
        """Return the seconds in which all hosts together cannot have sent so many echo requests each."""
        return self.turns * count / self.per_second


def pace_of(*, shared: bool, cores: int, hosts: int, forks: int, place: int = 0) -> Pace:
    """Return the pace of the host in one place of a play, if the hosts share these cores or have cores that only they use.

    As many hosts as `forks` are probed at once. When fewer are left in the end, each of them may do more.
    """
    if not shared:
        return Pace()
    hosts, forks = max(1, hosts), max(1, forks)
    before_last = (hosts - 1) // forks * forks
    together = forks if place < before_last else hosts - before_last
    together = max(together, min(hosts, forks, _FEWEST_AT_ONCE))
    return Pace(per_second=PER_CORE * max(1, cores) / together, turns=hosts / together)


def watch_of(*, shared: bool, cores: int, nodes: int = 0) -> float:
    """Return how many echo requests per second all hosts together may send all the time, during other probes."""
    if not shared:
        return _WATCH
    per_core = _WATCH_PER_CORE / 2 if nodes > CROWD else _WATCH_PER_CORE
    return min(_WATCH, per_core * max(1, cores))


def _weight(request: Request) -> float:
    """Return what a request costs, with all observations that it consists of."""
    inner = sum(_weight(step) for key in ("steps", "during") for step in request.get(key) or ())
    count = float(request.get("count") or 1) if request.get("kind") == "icmp" else 1.0
    return inner + _COSTS.get(str(request.get("kind")), 0.0) * len(request.get("targets") or ()) * count


def _paced(request: Request, rate: float) -> Request:
    steps: Request = {
        key: [_paced(step, rate) for step in request[key]] for key in ("steps", "during") if key in request
    }
    cost = _COSTS.get(str(request.get("kind")))
    more: Request = {"per_second": rate / cost} if cost else {}
    if request.get("kind") == "icmp":
        # The first packet to a node makes two clients shake hands, which takes much longer.
        more["window"] = max(_NARROWEST, int(rate / _PER_OPEN))
    if request.get("kind") == "exchange" and rate < _ALONE:
        more["at_once"] = max(1, int(_TRANSFERS * rate / _ALONE))
    return {**more, **request, **steps}
