# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hand checks from a task to the callbacks. Pure.

Ansible copies and converts each value of a result several times. In a large mesh that takes longer than to make the checks,
so many of them are one text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .answer import Json, items

if TYPE_CHECKING:
    from collections.abc import Mapping

_FEW = 20


def hand_over(result: dict[str, Any]) -> dict[str, Any]:
    """Return a task's result, with its checks as one text if there are many."""
    checks = items(result.get("checks"))
    return {**result, "checks": json.dumps(checks)} if len(checks) > _FEW else result


def handed_over(result: Mapping[str, Any]) -> list[Json]:
    """Return the checks of a result, none if there are none or they cannot be read."""
    given = result.get("checks")
    if not isinstance(given, str):
        return items(given)
    try:
        return items(json.loads(given))
    except (ValueError, RecursionError):
        return []
