# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times in which something was so, as hosts report them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from .answer import Json, items, mapping, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .saturation import Load

# Two of them belong together when one begins this soon after the other.
_TOGETHER_S: Final = 1.0
# A host keeps no more than this of anything.
MOST_READ: Final = 50
# What comes and goes, or ends, is so for a larger part of the time than what a saturated machine causes.
_RARELY: Final = 0.03


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time on the controller's clock in which something was so."""

    start: float
    end: float
    what: str = ""

    def meets(self, other: Span) -> bool:
        """Whether both were at the same time, or nearly."""
        return self.start <= other.end + _TOGETHER_S and other.start <= self.end + _TOGETHER_S

    @property
    def seconds(self) -> float:
        """Return how long it was."""
        return round(self.end - self.start, 1)


def by_load(spans: Sequence[Span], load: Load, *, lasted_s: float, budget_s: float = 0.0) -> bool:
    """Whether a saturated machine explains silences: there were few in a long time, apart from one not much longer than allowed.

    The latter is for TCP, which waits longer each time when it sends a packet again.
    """
    if not load.saturated:
        return False
    lengths = sorted(span.end - span.start for span in spans)
    if lengths and lengths[-1] <= budget_s * load.patience:
        lengths.pop()
    return sum(lengths) <= _RARELY * lasted_s


def at_once(spans: Iterable[Span], others: Sequence[Span]) -> bool:
    """Whether any of some spans meets any of others."""
    return any(span.meets(other) for span in spans for other in others)


def clock(at: float) -> str:
    """Return the time of day of an event."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"[:-5] + " UTC"
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def spans_of(listed: Json, ahead: float) -> list[Span]:
    """Return spans of a host's clock, which is ahead, on the controller's."""
    return [
        Span(start=at - ahead, end=at - ahead + lasted)
        for one in map(mapping, items(listed)[:MOST_READ])
        if (at := number(one.get("at"))) is not None and (lasted := number(one.get("s"))) is not None
    ]
