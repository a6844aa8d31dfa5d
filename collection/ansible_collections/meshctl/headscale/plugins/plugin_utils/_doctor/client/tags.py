# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server granted the tags that the client requests."""

from __future__ import annotations

from ..._judge.answer import items, text
from ..._judge.quoting import quoted
from ..._policy import Node
from ..._policy.aliases import Resolver
from ..observed import Check, CheckContext, Client, Iterator


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return which tags were not granted."""
    requested = {text(tag) for tag in items(client.prefs.get("AdvertiseTags"))}
    if not requested or not client.me:
        return
    granted = {text(tag) for tag in items(client.me.get("Tags"))}
    missing = sorted(requested - granted)
    yield context.check(
        not missing,
        expected={"tags": sorted(requested)},
        observed={"tags": sorted(granted)},
        hint=_hint(client, missing, requested, granted),
        command="tailscale status --json",
    )


def _hint(client: Client, missing: list[str], requested: set[str], granted: set[str]) -> str:
    server = client.known.server
    policy, _document, unread = server.policy if server else (None, None, "")
    if server is None or policy is None:
        why = f" ({unread})" if unread else ""
        return f"the server did not grant {', '.join(missing)}, and the reason is unknown, because the policy was not read{why}: check its tagOwners"
    me = server.member(client.node, "")
    resolver = Resolver(policy.names, [me], server.owners())
    said = [_why(resolver, me, tag) for tag in missing]
    if others := sorted(granted - requested):
        said.append(
            f"the server gives this node {', '.join(others)}, which it does not request, and the reason is unknown: first find out which tags "
            "this node should have"
        )
    if known := [tag for tag in missing if tag in policy.names.owners and tag not in me.tags]:
        # The command replaces all tags of a node.
        every = quoted(",".join(sorted({*granted, *me.tags, *known})))
        number = quoted(text(client.node.get("id"))) if client.node.get("id") else "ID"
        said.append(f"or set its tags on the server with `headscale nodes tag -i {number} -t {every}`")
    return "; ".join(said)


def _why(resolver: Resolver, me: Node, tag: str) -> str:
    lost, owners = f"the server did not grant {tag}", resolver.names.owners.get(tag)
    if tag in me.tags:
        return f"the server lists {tag} for this node, but the client has not heard of it: run the doctor again, and restart tailscaled if it stays"
    if owners is None:
        return f"{lost}, because the policy has no tagOwners for it: add them, then join again"
    given = f"the policy gives it to {', '.join(owners) or 'no user'}"
    if me.user is None:
        unknown = "a node with tags has no user" if me.tags else "the user of this node was not seen"
        return f"{lost}, and the reason is unknown: {given}, and {unknown}"
    if resolver.owns(me.user, tag):
        return (
            f"{lost}, and the reason is unknown: {given}, so this node, which belongs to {me.user.name}, is now allowed the tag; join again "
            "without a preauthkey, because headscale looks at requested tags only when a user logs a node in"
        )
    return f"{lost}, because {given} and this node belongs to {me.user.name}: change tagOwners"
