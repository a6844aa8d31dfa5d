# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the nodes that the server shows online with those that answer."""

from __future__ import annotations

from ..._judge.answer import addresses, text
from ..records import Cause, Check, CheckContext, Iterator, Record, Server, because, given_name


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each node that another client pinged."""
    for node in server.nodes:
        if tried := _tried(server, node):
            yield because(_online(context, node, tried), _cause(server, node, tried, context.story))


def _tried(server: Server, node: Record) -> dict[str, bool]:
    """Return the clients that pinged a node, and whether it answered."""
    own, known = server.view(node), addresses(node.get("ipAddresses"))
    return {
        view.name: any(view.answered.get(entry, False) for entry in known)
        for view in server.known.views
        if view is not own and any(entry in view.answered for entry in known)
    }


def _cause(server: Server, node: Record, tried: dict[str, bool], story: str) -> Cause | None:
    view = server.view(node) or server.silent_view(node)
    own = server.expired(given_name(node), story) or (view.cause("client", "network", "exit_node") if view else None)
    if own or node.get("online") is not True:
        return own
    # Those who did not reach it may have no way to anybody.
    others = [other for other in server.known.views if other.name in tried]
    causes = [other.cause("network", "client", "relay.https", "relay.upgrade") for other in others]
    return causes[0] if causes and all(causes) else None


def _online(context: CheckContext, node: Record, tried: dict[str, bool]) -> Check:
    online, reached = node.get("online") is True, [name for name, answered in tried.items() if answered]
    if online:
        hint = (
            f"the server shows it online, but it does not answer {', '.join(tried)}: check whether it is up and has a "
            "network; the server notices a lost connection only after a while"
        )
    else:
        hint = (
            f"the server shows it offline (last seen {text(node.get('lastSeen'))}), but it answers {', '.join(reached)}: its "
            "connection to the server is broken; see its doctor.server and doctor.proxy, and the idle timeout of a proxy"
        )
    return context.check(
        online == bool(reached),
        target=given_name(node),
        expected={"online": bool(reached)},
        observed={"online": online, "reached_by": reached},
        evidence={"tried": sorted(tried)},
        hint=hint,
        command="headscale nodes list",
    )
