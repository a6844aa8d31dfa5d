# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that packets pass where the policy lets them, and only there."""

from __future__ import annotations

from dataclasses import dataclass

from ..._judge.answer import addresses, text
from ..._policy import Evaluation
from ..._policy.ports import opened
from ..records import Check, CheckContext, ClientView, Iterator, Server


@dataclass(frozen=True, kw_only=True)
class _Allowed:
    """What the policy lets pass between clients."""

    denied: frozenset[tuple[str, str]]
    ports: dict[tuple[str, str], tuple[str, ...]]

    def has_ports(self, pair: tuple[str, str], expected: tuple[str, ...] | None) -> bool:
        """Whether the policy opens exactly the expected ports, or none are expected."""
        return expected is None or opened(expected) == opened(self.ports.get(pair, ("*",)))


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each client that pinged others."""
    policy = server.policy[0]
    if not server.listed or policy is None:
        return
    try:
        evaluation = Evaluation(policy, server.members())
        allowed = _Allowed(denied=frozenset(evaluation.forbidden()), ports=evaluation.restricted())
    except ValueError as exc:
        hint = f"the policy cannot be read: {exc}"
        yield context.check(None, aspect="reach", expected="a policy that can be read", observed=None, hint=hint)
        return
    for view in server.known.views:
        if view.echoed:
            yield _reach(server, context, view, allowed)


def _reach(server: Server, context: CheckContext, view: ClientView, allowed: _Allowed) -> Check:
    found = _compare(server, view, allowed)
    blocked, opened, stated = (", ".join(found[key]) for key in ("blocked", "open", "not_as_expected"))
    hints = [
        f"the policy lets it reach {blocked}, and the client there answers, but echo requests do not arrive: a firewall on "
        f"{blocked} drops packets from tailscale0, or shields are up" if blocked else "",
        f"the policy denies it {opened}, but packets pass, because the network map there is old: restart its tailscaled"
        if opened else "",
        f"the policy and mesh_expect disagree on {stated}: correct one of them" if stated else "",
    ]  # fmt: skip
    return context.check(
        not any(hints),
        aspect="reach",
        target=view.name,
        expected={key: [] for key in found},
        observed=found,
        hint="; ".join(filter(None, hints)),
        command="headscale policy get",
    )


def _compare(server: Server, view: ClientView, allowed: _Allowed) -> dict[str, list[str]]:
    """Return the clients whose packets are blocked, pass unexpectedly, or are not expected as the policy has it."""
    nodes = {text(node.get("nodeKey")): addresses(node.get("ipAddresses")) for node in server.nodes}
    found: dict[str, list[str]] = {"blocked": [], "open": [], "not_as_expected": []}
    for other in server.known.views:
        pair, known = (view.name, other.name), [entry for entry in nodes.get(other.key, []) if entry in view.echoed]
        if other is view or not known:
            continue
        passed = any(view.echoed[entry] for entry in known)
        denied = pair in allowed.denied
        if server.known.expect.reaches(*pair) == denied or not allowed.has_ports(
            pair, server.known.expect.ports(*pair)
        ):
            found["not_as_expected"].append(other.name)
        if denied and passed:
            found["open"].append(other.name)
        elif not denied and not passed and any(view.answered.get(entry) for entry in known):
            found["blocked"].append(other.name)
    return found
