# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a host that hangs or floods no more for the rest of the story, so that the other hosts need not wait for it. Pure.

A busy host may be late once. A host counts as silent when the controller had to cut it off, when it did not answer within
the deadline of an assertion, or when it was late in two tasks in a row. The next story asks it again, with less patience.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .._judge.answer import Json, mapping, text

FACT: Final = "mesh_silent"
_ENOUGH: Final = 2
_AT_ONCE: Final = ("hung", "flooded")


def reason(known: Json, story: Json) -> str:
    """Return why a host is not asked again in this story, empty if it is asked; `known` is the fact."""
    fact = mapping(known)
    if not story or fact.get("story") != story or not suspect(fact):
        return ""
    return f"{text(fact.get('message'))}; it is not asked again in this story"


def suspect(known: Json) -> bool:
    """Whether the host was silent, in this story or an earlier one."""
    return bool(mapping(known).get("times") == _ENOUGH)


def remember(known: Json, story: Json, answer: Mapping[str, Any], *, in_vain: bool = False) -> dict[str, Any] | None:
    """Return the fact after an answer, None if it stays as it is; `in_vain` says that an assertion's time is up."""
    before = mapping(known)
    failure = mapping(answer.get("failure"))
    if failure.get("type") == "silent" or not story:
        return None
    if failure.get("type") not in ("timeout", *_AT_ONCE):
        return {} if before and not suspect(before) else None
    times = _ENOUGH if in_vain or before or failure["type"] in _AT_ONCE else 1
    return {"story": story, "times": times, "message": text(failure.get("message"))}
