# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much longer than others the hosts of an inventory may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MOST: Final = 60


def patience(templar: Any, variables: Mapping[str, Any] | None) -> float:  # noqa: ANN401
    """Return the inventory's `mesh_patience` as a factor; what is no such number is refused by the assertions."""
    try:
        factor = float(templar.template((variables or {}).get("mesh_patience", 1)))
    except (TypeError, ValueError):
        return 1.0
    return factor if 1 <= factor <= MOST else 1.0
