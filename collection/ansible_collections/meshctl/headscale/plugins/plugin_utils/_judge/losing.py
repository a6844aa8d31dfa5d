# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge how many pings a watch has lost: a path that loses packets all the time is never silent for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .answer import items, mapping, number
from .flowing import Lost, lost_of, probability
from .spans import MOST_READ, spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .spans import Span

# Fewer pings say too little: one short interruption would be a large share of them.
_FEWEST: Final = 50
# How probable so many losses may be at most, if a path loses no more than the budget. With 5 %, that is 17 of 100 pings, or 26
# of 200. A healthy path that loses one packet in a hundred loses as many with a probability below 1e-15.
BY_CHANCE: Final = 1e-5
# A budget below this would let two packets fail that are lost in the course of minutes.
_LEAST_BUDGET: Final = 0.01


def pings_lost(line: Mapping[str, Any], *, ahead_s: float, since: float, outages: Sequence[Span]) -> Lost:
    """Return how many pings to an address were lost, and of how many; none of none if that is not known.

    The longest silence does not count, because the silence budget allows one, nor do silences during an outage on purpose, or before
    the node was reached.
    """
    rows = [mapping(one) for one in items(line.get("outages"))[:MOST_READ]]
    silences = [(span, int(number(row.get("lost")) or 0)) for row in rows for span in spans_of([row], ahead_s)]

    def explained(span: Span) -> bool:
        return span.start < since or any(span.meets(one) for one in outages)

    left_out = sum(count for span, count in silences if explained(span))
    left_out += max((count for span, count in silences if not explained(span)), default=0)
    answered, lost = number(line.get("answered")) or 0, number(line.get("lost")) or 0
    return lost_of(lost - left_out, answered + lost - left_out) or Lost()


def too_many(lost: Lost, budget_percent: float) -> bool:
    """Whether more pings were lost than the budget allows, and not by chance."""
    return lost.sent >= _FEWEST and beyond_chance(lost, budget_percent, BY_CHANCE)


def beyond_chance(lost: Lost, budget_percent: float, by_chance: float) -> bool:
    """Whether more was lost than the budget allows, and a path that loses just the budget loses as much less often than `by_chance`."""
    budget = min(1.0, max(_LEAST_BUDGET, budget_percent / 100))
    return lost.share > budget and probability(lost.times, lost.sent, budget) < by_chance
