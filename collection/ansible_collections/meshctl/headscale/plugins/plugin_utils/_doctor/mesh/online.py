# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the nodes that the server shows online with those that answer."""

from __future__ import annotations

from ..._judge.answer import addresses, text
from ..records import Cause, Check, CheckContext, ClientView, Iterator, Record, Server, because, given_name

# What keeps a client from reaching any other.
_CUT_OFF = ("network", "client", "relay.https", "relay.upgrade")
_MOST_NAMED = 3
_Tried = tuple[Record, dict[str, bool]]


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each node that other clients pinged, and one of whether a single client contradicts the others."""
    disputed: list[_Tried] = []
    compared = False
    for node in server.nodes:
        tried = _tried(server, node)
        compared = compared or len(tried) > 1
        # Two clients that it answers are enough; what only one says must not decide about another node.
        if sum(tried.values()) == 1 and _silent(server, tried):
            reason = "it answers only one of the clients that asked"
            # A node outside the inventory, such as a phone, may have begun to sleep in between.
            if server.view(node) or server.silent_view(node):
                disputed.append((node, tried))
                reason = f"{reason}: see {context.story}.online.agree"
            yield context.skipped(reason, target=given_name(node), expected={"online": "as other clients see it"})
        elif tried:
            yield because(_online(context, node, tried), _cause(server, node, tried, context.story))
    if compared:
        causes = [_cause_of_dispute(server, node, tried, context.story) for node, tried in disputed]
        yield because(_agree(context, disputed), causes[0] if causes and all(causes) else None)


def _tried(server: Server, node: Record) -> dict[str, bool]:
    """Return the clients that pinged a node, and whether it answered."""
    key, known = text(node.get("nodeKey")), addresses(node.get("ipAddresses"))
    return {
        view.name: any(view.answered.get(entry, False) for entry in known)
        for view in server.known.views
        if not (key and view.key == key) and any(entry in view.answered for entry in known)
    }


def _own_cause(server: Server, node: Record, story: str) -> Cause | None:
    view = server.view(node) or server.silent_view(node)
    return server.expired(given_name(node), story) or (view.cause("client", "network", "exit_node") if view else None)


def _cause(server: Server, node: Record, tried: dict[str, bool], story: str) -> Cause | None:
    own = _own_cause(server, node, story)
    if own or node.get("online") is not True:
        return own
    # Those who did not reach it may have no way to anybody.
    others = [other for other in server.known.views if other.name in tried]
    causes = [other.cause(*_CUT_OFF) for other in others]
    return causes[0] if causes and all(causes) else None


def _silent(server: Server, tried: dict[str, bool]) -> list[ClientView]:
    """Return the clients that a node did not answer, without those that reach no node, as they say themselves."""
    if all(tried.values()):
        return []
    return [view for view in server.known.views if tried.get(view.name) is False and not view.cause(*_CUT_OFF)]


def _cause_of_dispute(server: Server, node: Record, tried: dict[str, bool], story: str) -> Cause | None:
    """Return why a node does not answer, or what each client that it does not answer says about the path to it."""
    if own := _own_cause(server, node, story):
        return own
    view = server.view(node) or server.silent_view(node)
    name = view.name if view else given_name(node)
    causes = [other.cause(f"path of {name}") for other in _silent(server, tried)]
    return causes[0] if all(causes) else None


def _agree(context: CheckContext, disputed: list[_Tried]) -> Check:
    names = [given_name(node) for node, _tried in disputed]
    said = "; ".join(_dispute(node, tried) for node, tried in disputed[:_MOST_NAMED])
    more = f"; and {len(disputed) - _MOST_NAMED} more" if len(disputed) > _MOST_NAMED else ""
    return context.check(
        not disputed,
        aspect="agree",
        expected={"disputed": []},
        observed={"disputed": names},
        evidence={given_name(node): tried for node, tried in disputed[:_MOST_NAMED]},
        hint=f"clients disagree: {said}{more}; either a path between these hosts is broken, or a client reports a wrong result: compare "
        "`tailscale ping` on each of them",
        command="headscale nodes list",
    )


def _dispute(node: Record, tried: dict[str, bool]) -> str:
    reached, silent = ([name for name, answered in tried.items() if answered is true] for true in (True, False))
    state = "online" if node.get("online") is True else f"offline (last seen {text(node.get('lastSeen'))})"
    others = ", ".join(silent[:_MOST_NAMED]) + (", …" if len(silent) > _MOST_NAMED else "")
    return f"{given_name(node)}, which the server shows {state}, answers {', '.join(reached)}, but not {others}"


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
