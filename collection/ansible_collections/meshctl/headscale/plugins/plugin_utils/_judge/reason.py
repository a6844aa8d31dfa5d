# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reasons in words that also say whether a machine with too few cores can be behind them, so that no code reads the words."""

from __future__ import annotations

# Types of errors and failures that time decides.
_LATE = frozenset({"deadline", "timeout", "TimeoutError", "hung", "silent", "withheld", "unreachable"})


class Reason(str):
    """Why a check is bad; text that is made of it does not keep `late`."""

    __slots__ = ("late",)
    late: bool

    def __new__(cls, words: str, *, late: bool) -> Reason:
        """Return a reason; `late` says whether it may only mean that something took too long."""
        made = super().__new__(cls, words)
        made.late = late
        return made

    def followed_by(self, words: str) -> Reason:
        """Return the reason with more words, as late as it is."""
        return Reason(f"{self}{words}", late=self.late)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Leave the process, or be copied, as plain text: Ansible takes results out of its workers so."""
        return str, (str(self),)


def late(words: str) -> Reason:
    """Return a reason that may only mean that something took too long."""
    return Reason(words, late=True)


def settled(words: str) -> Reason:
    """Return a reason that no load explains."""
    return Reason(words, late=False)


def of_error(words: str, kind: str) -> Reason:
    """Return why an observation failed, from the type of its error."""
    return Reason(words, late=kind in _LATE)


def is_late(reason: str) -> bool | None:
    """Whether a reason may only mean that something took too long, None if it does not say."""
    return reason.late if isinstance(reason, Reason) else None
