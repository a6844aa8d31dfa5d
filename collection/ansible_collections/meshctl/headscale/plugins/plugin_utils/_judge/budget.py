# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The time that a change has to arrive everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .check import Check


def since_change(checks: list[Check], *, elapsed_s: float, budget_s: float) -> list[Check]:
    """Note when the checks were observed.

    A check that has not passed by the end of the budget fails. One that passes later has merely been looked at late, on a
    slow machine: that look does not say when the change arrived.
    """
    for check in checks:
        check.evidence |= {"after_s": round(elapsed_s, 3), "budget_s": budget_s}
    return checks
