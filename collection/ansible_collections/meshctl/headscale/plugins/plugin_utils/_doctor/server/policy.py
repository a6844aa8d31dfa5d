# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the policy names users and tags that exist."""

from __future__ import annotations

from ..._policy import refused_users
from ..records import Check, CheckContext, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the names that match no node."""
    if not server.names_are_known or not server.policy_answered:
        return
    policy, document, why = server.policy
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
        hint=_hint(unknown, refused_users(document, unknown)) if unknown else "",
        command="headscale policy get",
    )


def _hint(unknown: list[str], refused: dict[str, str]) -> str:
    boot = [name for name, where in refused.items() if where == "nodeAttrs"]
    tested = [name for name in refused if name not in boot]
    accepted = [name for name in unknown if name not in refused]
    gone = "name users that do not exist, directly or through a group"
    said = [
        _accepted(accepted) if accepted else "",
        f"headscale does not start again with this policy, because nodeAttrs {gone} ({', '.join(boot)})" if boot else "",
        f"headscale refuses this policy when it is set again, because tests {gone} ({', '.join(tested)})" if tested else "",
    ]  # fmt: skip
    return f"{'; '.join(filter(None, said))}: correct the names (`headscale users list`; users end with @)"


def _accepted(names: list[str]) -> str:
    kind, one = "user" if all("@" in name for name in names) else "name", len(names) == 1
    gone = f"this {kind} does not exist" if one else f"these {kind}s do not exist"
    return f"headscale accepts {', '.join(names)} although {gone}, and rules that name {'it' if one else 'them'} match no node"
