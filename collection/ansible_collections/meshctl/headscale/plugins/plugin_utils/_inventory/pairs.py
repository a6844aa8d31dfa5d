# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read `mesh_pairs`: which pairs of nodes are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ALL: Final = "all"
_KEYS: Final = frozenset({"per_node", "seed"})


def read_pairs(value: Any) -> dict[str, int] | None:  # noqa: ANN401 - an inventory's data
    """Return `per_node` and, if it is given, `seed`; None for all pairs. Raise ValueError for anything else."""
    if value == ALL:
        return None
    if not isinstance(value, Mapping) or "per_node" not in value or set(value) - _KEYS:
        raise ValueError(value)
    found = {str(key): _whole(entry) for key, entry in value.items() if entry is not None}
    if found.get("per_node", 0) < 1:
        raise ValueError(value)
    return found


def _whole(value: Any) -> int:  # noqa: ANN401
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(value)
    return value


def is_pairs(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a valid `mesh_pairs`."""
    try:
        read_pairs(value)
    except ValueError:
        return False
    return True
