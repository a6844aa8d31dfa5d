# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one record that every assertion leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["passed", "failed", "skipped", "error"]


@dataclass(kw_only=True)
class Check:
    """One thing that was asserted: what was expected of whom, what was seen, and what to do about it."""

    id: str
    story: str
    source: str
    target: str | None = None
    verdict: Verdict
    expected: Any = None
    observed: Any = None
    duration_ms: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    reproduce: str = ""

    @property
    def bad(self) -> bool:
        """Whether this check must fail its task."""
        return self.verdict in ("failed", "error")

    def as_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON data."""
        return asdict(self)
