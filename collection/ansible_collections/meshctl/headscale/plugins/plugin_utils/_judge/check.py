# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record that every assertion leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Verdict = Literal["passed", "failed", "skipped", "error"]
Family = Literal["ipv4", "ipv6"]
BAD: Final = ("failed", "error")
"""The verdicts that fail a task, a story and a run."""
SUPPORTED: Final = "supported"
"""The assertion of a check that says, skipped, why the inventory cannot run its story."""


@dataclass(kw_only=True)
class Check:
    """One asserted fact: what was expected, what was observed, and what to do about a difference."""

    id: str
    story: str
    assertion: str
    aspect: str = ""
    family: Family | None = None
    source: str
    target: str | None = None
    verdict: Verdict
    expected: Any = None
    observed: Any = None
    duration_ms: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    reproduce: str = ""
    late: bool | None = None
    """Whether it may only be bad because something took too long; None if its reason does not say. Not part of a report."""
    tentative: bool = False
    """Whether it has passed, but a later look may still find what this one could not try. Not part of a report."""

    @property
    def bad(self) -> bool:
        """Whether this check fails its task."""
        return self.verdict in BAD

    def as_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON data."""
        known = asdict(self)
        del known["late"], known["tentative"]
        return known
