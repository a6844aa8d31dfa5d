# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell what flaps: it changes so often that each single change says little."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

# Of so many observations, and from which share of changes on; recent changes count more (as in Nagios).
WINDOW = 21
STARTS = 0.2
ENDS = 0.1
_OLDEST, _NEWEST = 0.8, 1.2


def share(states: Sequence[bool]) -> float:
    """Return how large a share of the last observations differs from the one before."""
    recent = states[-WINDOW:]
    steps = WINDOW - 1
    changes = [was != now for was, now in itertools.pairwise(recent)]
    first = steps - len(changes)
    rise = (_NEWEST - _OLDEST) / (steps - 1)
    return sum(_OLDEST + rise * (first + place) for place, changed in enumerate(changes) if changed) / steps


def flaps(states: Sequence[bool], *, before: bool = False) -> bool:
    """Return whether something flaps; once it does, it has to become much calmer."""
    return share(states) >= (ENDS if before else STARTS)


def changes(states: Sequence[bool]) -> int:
    """Return how often the state changed."""
    return sum(was != now for was, now in itertools.pairwise(states))
