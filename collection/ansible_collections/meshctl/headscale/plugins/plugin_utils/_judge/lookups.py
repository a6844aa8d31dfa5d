# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a single lookup: a name leads to a node, or does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answer import Answer, addresses, number, text
from .context import CheckContext
from .name_causes import why_not_resolved
from .names import Name, dns_answer, looked_up, name_servers, resolver_asked, values, why_silent, why_unknown
from .observations import GETADDRINFO
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from .check import Check


def resolved(  # noqa: PLR0913, PLR0917
    seen: Answer, context: CheckContext, name: Name, asked: str, aspect: str, budget_ms: float | None
) -> Check:
    found = looked_up(seen, asked)
    outcome = text(found.get("outcome"))
    took, waited = number(found.get("duration_ms")), number(found.get("waited_ms"))
    expected: dict[str, Any] = {"name": asked, "addresses": list(name.required)}
    if budget_ms is not None:
        expected["ms"] = {"at_most": budget_ms}
    command = f"getent ahosts {quoted(asked)}"
    if not outcome or not name.required:
        why = why_unknown(seen, GETADDRINFO) if name.required else f"the server has no such address of {name.node}"
        return context.check(
            None, aspect=aspect, target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    known = addresses(found.get("addresses"))
    if took is None and waited is not None and waited > (budget_ms or waited):
        return context.check(
            False, aspect=aspect, target=name.node, expected=expected, hint=why_silent(seen), command=command,
            observed={"outcome": "no answer", "ms": {"more_than": round(waited)}},
            evidence={"resolver": name_servers(seen)},
        )  # fmt: skip
    if took is None:
        return context.check(
            None, aspect=aspect, target=name.node, expected=expected, observed=None, command=command,
            hint=why_unknown(seen, GETADDRINFO),
        )  # fmt: skip
    same = outcome == "found" and name.leads_to(known)
    fast = budget_ms is None or took <= budget_ms
    return context.check(
        same and fast,
        aspect=aspect,
        target=name.node,
        expected=expected,
        observed={"outcome": outcome, "addresses": known, "ms": round(took, 1)},
        evidence={"error": text(found.get("error")), "resolver": name_servers(seen)},
        hint=why_not_resolved(seen, name, known, same=same),
        command=command,
    )


def not_resolved(seen: Answer, context: CheckContext, name: str, *, aspect: str) -> Check:
    found, row = looked_up(seen, name), dns_answer(seen, name, "A")
    expected = {"name": name, "outcome": "not-found", "rcode": "NXDOMAIN"}
    outcome, rcode = text(found.get("outcome")), text(row.get("rcode"))
    if outcome not in ("found", "not-found") or row.get("outcome") != "answered":
        why = (
            text(found.get("error"))
            or (why_silent(seen) if row.get("outcome") == "answered" else "")
            or late(f"{resolver_asked(seen)} did not answer ({text(row.get('outcome')) or why_unknown(seen, 'dns')})")
        )
        return context.check(
            None,
            aspect=aspect,
            target=name,
            expected=expected,
            observed=None,
            hint=why,
            command=f"getent ahosts {quoted(name)}",
        )
    leads = ", ".join(addresses(found.get("addresses")) or values(row))
    return context.check(
        outcome == "not-found" and rcode == "NXDOMAIN",
        aspect=aspect,
        target=name,
        expected=expected,
        observed={"name": name, "outcome": outcome, "rcode": rcode, "addresses": addresses(found.get("addresses"))},
        hint=f"{name} still resolves to {leads}: the change has not arrived, or a cache keeps the old answer"
        if leads
        else f"the answer is {rcode}, not NXDOMAIN: a failing resolver does not prove that the name was removed",
        command=f"getent ahosts {quoted(name)}",
    )
