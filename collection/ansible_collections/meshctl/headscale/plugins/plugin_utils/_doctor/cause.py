# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relate a finding to the one that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._judge.check import Check


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A finding that explains others."""

    id: str
    source: str
    hint: str = ""
    about: str = ""
    """The host that it is about, if a server's finding is about one of several."""

    @classmethod
    def of(cls, check: Check) -> Cause:
        """Return a bad check as a cause."""
        return cls(id=check.id, source=check.source, hint=check.hint)

    def seen_from(self, source: str) -> str:
        """Return how a check of a host refers to this one."""
        of = f" of {self.about}" if self.about else ""
        return f"because of {self.id}{of}" + ("" if source == self.source else f" on {self.source}")


def because(check: Check, cause: Cause | None) -> Check:
    """Mark a bad check as a consequence of a cause, if there is one; a separate guess would be wrong."""
    if cause and check.bad:
        check.hint = cause.seen_from(check.source)
        check.evidence["because"] = {"id": cause.id, "source": cause.source}
    return check


def because_of(check: dict[str, Any]) -> tuple[str, str] | None:
    """Return id and host of the cause that a reported check refers to."""
    known = check["evidence"].get("because")
    return (known["id"], known["source"]) if known else None
