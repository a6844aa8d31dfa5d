# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summarize the checks of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...module_utils import _visible
from .._judge.answer import text
from .._judge.brief import brief, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._judge.check import Check

_NAMED_IN_MSG = 5
# Of a name or a cause: targets such as relays have the names that a host tells.
_LONGEST = 2000


def summary(checks: Sequence[Check]) -> dict[str, Any]:
    """Return an assertion's result: all checks, and a message that names the checks that fail it."""
    bad = [check for check in checks if check.bad]
    skipped = sum(check.verdict == "skipped" for check in checks)
    passed = len(checks) - len(bad) - skipped
    message = f"{passed} of {len(checks)} checks passed" + (f", {skipped} skipped" if skipped else "")
    if bad:
        message = f"{len(bad)} of {len(checks)} checks did not pass: {_named(bad)}"
    return {
        "checks": [brief(vars(check)) for check in checks],
        "failed": bool(bad),
        "changed": False,
        "msg": _visible.text(message),
    }


def _named(bad: Sequence[Check]) -> str:
    """Name failed checks by their cause: all checks with one cause share a sentence."""
    causes: dict[str, list[str]] = {}
    for check in bad:
        pair = f"{check.source} -> {cut(check.target, _LONGEST)}" if check.target else check.source
        causes.setdefault(cut(check.hint or text(check.observed) or check.verdict, _LONGEST), []).append(
            f"{check.id} ({pair})"
        )
    sentences = []
    for cause, names in list(causes.items())[:_NAMED_IN_MSG]:
        more = f" and {len(names) - _NAMED_IN_MSG} more" if len(names) > _NAMED_IN_MSG else ""
        sentences.append(f"{', '.join(names[:_NAMED_IN_MSG])}{more}: {cause}")
    return "; ".join(sentences)
