# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the policy names users and tags that exist."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the names that match no node."""
    if not server.names_are_known or not server.policy_answered:
        return
    policy, _document, why = server.policy
    unknown: list[str] = []
    try:
        unknown = server.unknown_names
    except ValueError as exc:
        policy, why = None, str(exc)
    if policy is None:
        hint = f"the policy cannot be read: {why}"
        yield context.check(None, aspect="names", expected="a policy that can be read", observed=None, hint=hint)
        return
    yield context.check(
        not unknown,
        aspect="names",
        expected={"unknown": []},
        observed={"unknown": unknown},
        hint=f"headscale accepts {', '.join(unknown)} although it does not know them, and rules with them match no node: correct "
        "the names (`headscale users list`; users end with @)",
        command="headscale policy get",
    )
