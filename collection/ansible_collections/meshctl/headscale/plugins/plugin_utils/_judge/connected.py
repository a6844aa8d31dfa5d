# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a node is in the mesh and sees its peers as expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, addresses, mapping, text
from .context import CheckContext, Node
from .observations import STATUS
from .quoting import quoted

if TYPE_CHECKING:
    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Connected:
    """The expected view that a node has of the mesh."""

    own: Node | None
    peers: tuple[Node, ...]
    offline: tuple[str, ...] = ()
    hidden: tuple[Node, ...] = ()
    """Nodes that the policy hides from this node: the server must not show them to it."""


def judge_connected(answer: Json, context: CheckContext, expect: Connected) -> list[Check]:
    """Return a check of the node itself and one of each peer."""
    seen = Answer(answer)
    peers = [_peer(seen, context, peer, expect) for peer in expect.peers]
    return [_running(seen, context, expect.own), *peers, *(_hidden(seen, context, peer) for peer in expect.hidden)]


def _running(seen: Answer, context: CheckContext, own: Node | None) -> Check:
    status = mapping(seen.data(STATUS))
    me = mapping(status.get("Self"))
    known = addresses(me.get("TailscaleIPs"))
    expected: dict[str, Any] = {"state": "Running", "online": True}
    if own and own.addresses:
        expected["addresses"] = list(own.addresses)
    observed = {"state": text(status.get("BackendState")), "online": me.get("Online"), "addresses": known}
    fine = observed["state"] == "Running" and observed["online"] is True and bool(known)
    same = not (own and own.addresses) or known == list(own.addresses)
    hint = causes.client(seen)
    if fine and not same:
        hint = "the node's addresses differ from the server's record: it registered again, or that record is outdated"
    return context.check(
        fine and same if status else None,
        aspect="self",
        expected=expected,
        observed=observed if status else None,
        evidence={"health": status.get("Health")} if status else {"error": seen.error(STATUS)},
        hint=hint or "the client reports no mesh address",
        command="tailscale status",
    )


def _peer(seen: Answer, context: CheckContext, peer: Node, expect: Connected) -> Check:
    wanted = peer.name not in expect.offline
    expected: dict[str, Any] = {"online": wanted, "addresses": list(peer.addresses)}
    status = seen.data(STATUS)
    if not mapping(status) or not (peer.addresses or peer.key):
        why = seen.why(STATUS) if not mapping(status) else f"the server has no record of {peer.name}"
        return context.check(None, aspect="peer", target=peer.name, expected=expected, observed=None, hint=why)
    found = causes.find_peer(status, peer)
    known = addresses(found.get("TailscaleIPs"))
    observed = {"online": found.get("Online"), "addresses": known} if found else "not seen"
    right = bool(found) and found.get("Online") is wanted
    same = bool(found) and known == list(peer.addresses)
    return context.check(
        right and same,
        aspect="peer",
        target=peer.name,
        expected=expected,
        observed=observed,
        evidence={
            key: found.get(key) for key in ("ID", "DNSName", "LastSeen", "CurAddr", "Relay", "Expired") if key in found
        },
        hint=_hint(seen, peer, wanted=wanted, right=right),
        command=f"tailscale status | grep {quoted(peer.given_name or peer.name)}",
    )


def _hidden(seen: Answer, context: CheckContext, peer: Node) -> Check:
    status = seen.data(STATUS)
    if not mapping(status) or not (peer.addresses or peer.key):
        why = seen.why(STATUS) if not mapping(status) else f"the server has no record of {peer.name}"
        return context.check(None, aspect="hidden", target=peer.name, expected="not seen", observed=None, hint=why)
    found = causes.find_peer(status, peer)
    return context.check(
        not found,
        aspect="hidden",
        target=peer.name,
        expected="not seen",
        observed={"online": found.get("Online"), "addresses": addresses(found.get("TailscaleIPs"))}
        if found
        else "not seen",
        hint=f"the server shows {peer.name} to this node: the policy lets one of the two reach the other, but mesh_expect does not",
        command=f"tailscale status | grep {quoted(peer.given_name or peer.name)}",
    )


def _hint(seen: Answer, peer: Node, *, wanted: bool, right: bool) -> str:
    if right:
        return (
            f"the addresses of {peer.name} differ from the server's record: the node's network map is outdated, or the peer "
            "registered again"
        )
    if not wanted:
        return f"{peer.name} should be offline, but the server still reports it as online to this node"
    return causes.client(seen) or causes.peer(seen, peer) or f"the server does not show {peer.name} as online"
