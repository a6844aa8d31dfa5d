# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each node has the name of its machine."""

from __future__ import annotations

import re

from ..._judge.answer import text
from ..._judge.brief import some
from ..._judge.quoting import quoted
from ..records import Check, CheckContext, Iterator, Record, Server, given_name


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each node."""
    of_name: dict[str, list[Record]] = {}
    for node in server.nodes:
        of_name.setdefault(_own(node), []).append(node)
    taken = {given_name(node).lower() for node in server.nodes}
    # Nodes that were given different names by hand may all have the same host name.
    numbered = {own: any(_is_numbered(given_name(other), own) for other in alike) for own, alike in of_name.items()}
    for node in server.nodes:
        own = _own(node)
        yield _name(context, node, of_name[own], numbered=numbered[own], free=own not in taken)


def _own(node: Record) -> str:
    return text(node.get("name")).lower()


def _name(context: CheckContext, node: Record, alike: list[Record], *, numbered: bool, free: bool) -> Check:
    given, own = given_name(node), _own(node)
    hint = ""
    if len(alike) == 1 and numbered and free:
        reason = (
            f"its host name is {own}; it got a number while another node had that name, which is free now: "
            f"`headscale nodes rename -i {quoted(text(node.get('id')))} {quoted(own)}`, unless the number is intended"
        )
        return context.skipped(reason, target=given, expected={"name": own})
    if len(alike) > 1 and numbered:
        hint = (
            f"the nodes {some([text(other.get('id')) for other in alike])} all have the host name {own}, so only one has "
            f"that name in the mesh: {_remedy(alike)}"
        )
    return context.check(
        not hint,
        target=given,
        expected={"name": given, "nodes_of_that_name": 1},
        observed={"name": given, "calls_itself": own, "nodes_of_that_name": len(alike)},
        hint=hint,
        command="headscale nodes list",
    )


def _remedy(alike: list[Record]) -> str:
    """Return what to do about nodes of one name: the server does not know which of those that are offline will come back."""
    rename = "rename one on its machine (`tailscale set --hostname=NAME`)"
    offline = [text(node.get("id")) for node in alike if node.get("online") is not True]
    if not offline:
        return f"all are online, so {rename}"
    return (
        f"{rename}, or delete what is stale of those that are offline, {some(offline)} (`headscale nodes delete -i ID`)"
    )


def _is_numbered(given: str, own: str) -> bool:
    """Whether headscale appended a number to a node's host name because that was taken."""
    return bool(own) and re.fullmatch(re.escape(own) + r"-[0-9]+", given.lower()) is not None
