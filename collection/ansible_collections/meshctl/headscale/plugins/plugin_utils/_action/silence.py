# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a host that has hung no more for the rest of the story, so that the other hosts need not wait for it. Pure.

A busy host may be late once. A host counts as silent when it did not answer within the deadline of an assertion, or in two
tasks in a row. The fact remembers that; the next story asks once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .._judge.answer import Json, mapping, text

FACT: Final = "mesh_silent"
_ENOUGH: Final = 2


def reason(known: Json, story: Json) -> str:
    """Return why a host is not asked again in this story, empty if it is asked; `known` is the fact."""
    fact = mapping(known)
    if not story or fact.get("story") != story or fact.get("times") != _ENOUGH:
        return ""
    return f"{text(fact.get('message'))}; it is not asked again in this story"


def remember(known: Json, story: Json, answer: Mapping[str, Any], *, in_vain: bool = False) -> dict[str, Any] | None:
    """Return the fact after an answer, None if it stays as it is; `in_vain` says that an assertion's time is up."""
    before = mapping(known)
    failure = mapping(answer.get("failure"))
    if failure.get("type") == "silent" or not story:
        return None
    if failure.get("type") != "timeout":
        return {} if before else None
    times = _ENOUGH if in_vain or before else 1
    return {"story": story, "times": times, "message": text(failure.get("message"))}
