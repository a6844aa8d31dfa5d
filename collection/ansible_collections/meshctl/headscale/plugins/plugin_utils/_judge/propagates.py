# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge how fast a change of the mesh arrives on a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .answer import Answer, Json, mapping, number
from .budget import since_change
from .context import CheckContext
from .lookups import not_resolved, resolved
from .names import Name
from .observations import ICMP
from .quoting import quoted

if TYPE_CHECKING:
    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Propagates:
    """The expected effect of a change on a host."""

    aspect: str
    budget_s: float
    present: tuple[Name, ...] = ()
    absent: tuple[str, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()


def judge_propagates(answer: Json, context: CheckContext, expect: Propagates, *, elapsed_s: float) -> list[Check]:
    """Return a check of each name and address; `elapsed_s` is the time since the change."""
    seen = Answer(answer)
    checks = [resolved(seen, context, name, name.fqdn, expect.aspect, None) for name in expect.present]
    checks += [not_resolved(seen, context, name, aspect=expect.aspect) for name in expect.absent]
    checks += [_silent(seen, context, node, known, expect.aspect) for node, known in expect.silent]
    return since_change(checks, elapsed_s=elapsed_s, budget_s=expect.budget_s)


def _silent(seen: Answer, context: CheckContext, node: str, known: str, aspect: str) -> Check:
    """Judge that an address no longer answers over the mesh."""
    result = mapping(mapping(seen.data(ICMP)).get(known))
    sent, received = number(result.get("sent")), number(result.get("received"))
    expected = {"address": known, "replies": 0}
    ok = None if not sent or received is None or received < 0 else received == 0
    return context.check(
        ok,
        aspect=aspect,
        family=6 if ":" in known else 4,
        target=node,
        expected=expected,
        observed={"sent": sent, "received": received} if ok is not None else None,
        hint=seen.why(ICMP) if ok is None else f"{node} still answers at {known}",
        command=f"ping -c 1 {quoted(known)}",
    )
