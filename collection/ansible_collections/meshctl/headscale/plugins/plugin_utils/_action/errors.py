# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an action's error becomes a result."""

from __future__ import annotations

from typing import Any, Literal

# meshctl's exit codes follow from this: 2 for bad input, 3 for what could not run.
Kind = Literal["bad_input", "could_not_run"]


def failure(message: str, kind: Kind) -> dict[str, Any]:
    """Return the result of a task that failed for a reason that the user can act on."""
    return {"failed": True, "changed": False, "msg": message, "meshctl_error": kind}
