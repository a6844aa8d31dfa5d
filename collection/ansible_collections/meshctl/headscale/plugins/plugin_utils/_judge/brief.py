# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shorten what a host said, so that a check has a size that people and reports can hold, and acts on no terminal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...module_utils import _visible
from .answer import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

# An honest check is far below these limits, but for lists of a thousand nodes.
_LONGEST, _MOST = 4000, 64_000
_EACH = 8


def brief(check: dict[str, Any]) -> dict[str, Any]:
    """Return a check's fields with long texts cut, and lists and objects ended where their field becomes too large.

    Ansible prints the result of a failed task: control characters in it are visible.
    """
    return {name: _Shortened().of(value) for name, value in check.items()}


def some(names: Sequence[str], most: int = 20) -> str:
    """Return names as a text, only the first of many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def cut(value: str, longest: int = _LONGEST) -> str:
    """Return a text, with a note instead of what is too long."""
    return value if len(value) <= longest else f"{value[:longest]}… ({len(value) - longest} more characters)"


class _Shortened:
    """One field, and how much more of it there may be."""

    def __init__(self) -> None:
        self._left = _MOST

    def of(self, value: Json) -> Json:
        self._left -= _EACH
        if isinstance(value, str):
            shown = cut(_visible.text(value))
            self._left -= len(shown)
            return shown
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list | tuple):
            return self._list(value)
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            if self._left < 0:
                found["…"] = f"{len(value) - len(found)} more"
                break
            found[self.of(key)] = self.of(item)
        return found

    def _list(self, value: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for item in value:
            if self._left < 0:
                found.append(f"… {len(value) - len(found)} more")
                break
            found.append(self.of(item))
        return found
