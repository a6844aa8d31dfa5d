# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server granted the tags that the client requests."""

from __future__ import annotations

from ..._judge.answer import items, mapping, text
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
        hint="; ".join(_why(client, tag) for tag in missing),
        command="tailscale status --json",
    )


def _why(client: Client, tag: str) -> str:
    server = client.known.server
    document = mapping(server.policy[1]) if server else {}
    owners = mapping(document.get("tagOwners"))
    user = text(mapping(client.node.get("user")).get("name"))
    if tag not in owners:
        return f"the server did not grant {tag}, because the policy has no tagOwners for it: add them, then join again"
    names = ", ".join(map(text, items(owners[tag]))) or "no user"
    return (
        f"the server did not grant {tag}, because the policy gives it to {names} and this node belongs to {user or 'none of them'}: "
        f"change tagOwners, or run `headscale nodes tag -i {text(client.node.get('id')) or 'ID'} -t {tag}` on the server"
    )
