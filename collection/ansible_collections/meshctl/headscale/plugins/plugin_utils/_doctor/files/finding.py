# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One finding about a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Severity = Literal["info", "low", "medium", "high"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "low", "medium", "high")
"""The severities, the least important first."""
DEFAULT: Final[Severity] = "medium"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong at a place of a file, what shows it, and what to do."""

    id: str
    severity: Severity
    file: str
    line: int | None = None
    problem: str
    evidence: str = ""
    remedy: str
    stops: bool = False
    """Whether Headscale refuses the file."""

    @property
    def place(self) -> str:
        """Return file and line as compilers write them."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON data."""
        return asdict(self)


def weight(severity: str) -> int:
    """Return a severity as a number that grows with its importance."""
    return SEVERITIES.index(severity)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by importance, then by place, each once."""
    once = dict.fromkeys(findings)
    return sorted(once, key=lambda one: (-weight(one.severity), one.file, one.line or 0, one.id))


def at_least(findings: Iterable[Finding], severity: str) -> list[Finding]:
    """Return the findings of a severity or a higher one."""
    return [one for one in findings if weight(one.severity) >= weight(severity)]
