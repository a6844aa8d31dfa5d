# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the exit node, through which all traffic goes, passes it on."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from ..._judge.answer import address, addresses, items, mapping, text
from ..._policy import INTERNET, Evaluation, Policy
from ..observed import Check, CheckContext, Client, Iterator
from ..records import texts
from ..urls import authority

_Address = IPv4Address | IPv6Address
_HTTPS = 443
_END = "`tailscale set --exit-node=` on this host stops using it"


def requests(client: Client) -> list[dict[str, Any]]:
    """Connect to the server and the relays, as programs on this host do and as tailscaled does."""
    if not _used(client):
        return []
    hosts = [client.server_host, *(relay.where for relay in client.relays)]
    plain = [
        {"url": f"https://{authority(host, _HTTPS)}/", "connect": address(host), "insecure": True}
        for host in dict.fromkeys(filter(None, hosts))
    ]
    around = [{**page, "bypass": True} for page in plain]
    return [
        {"id": "through_exit", "kind": "http", "targets": plain, "try_timeout_s": 4.0},
        {"id": "around_exit", "kind": "http", "targets": around, "try_timeout_s": 4.0},
    ]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return whether the exit node works, if the client uses one."""
    if used := _used(client):
        peer = _peer(client, used)
        name = text(peer.get("HostName")) or used
        problem, expected = _unusable(peer), {"exit_node": "passes traffic on"}
        if not problem and (lost := _lost(client)) is not None:
            problem = _closed(client, peer, lost)
            if not problem:
                reason = (
                    f"whether exit node {name} passes traffic on was not seen: only {', '.join(map(str, lost))} did not answer through it, and "
                    "autogroup:internet does not include such addresses"
                )
                yield context.skipped(reason, target=name, expected=expected)
                return
        yield context.check(
            not problem,
            target=name,
            expected=expected,
            observed={"exit_node": name, "online": peer.get("Online"), "offered": peer.get("ExitNodeOption")},
            hint=f"all traffic of this host goes through exit node {name}, {problem}; {_END}",
            command="tailscale status",
        )


def _used(client: Client) -> str:
    return (text(client.prefs.get("ExitNodeID")) or text(client.prefs.get("ExitNodeIP"))) if client.running else ""


def _peer(client: Client, used: str) -> dict[str, Any]:
    return next(
        (peer for peer in client.peers if used == peer.get("ID") or used in items(peer.get("TailscaleIPs"))), {}
    )


def _unusable(peer: dict[str, Any]) -> str:
    if not peer:
        return "which the server does not show to this node"
    if peer.get("Online") is False:
        return "which is offline"
    if peer.get("ExitNodeOption") is not True:
        return "which is not approved as an exit node: `headscale nodes list-routes`"
    return ""


def _lost(client: Client) -> Sequence[_Address] | None:
    """Return the addresses that answer around the exit node, if nothing at all does through it; None if that is not so."""
    through, around = client.rows("through_exit"), client.rows("around_exit")
    reached = [row.get("address") for row in around if row.get("connected")]
    if not through or any(row.get("connected") for row in through) or not reached:
        return None
    return [ip_address(found) for found in addresses(reached)]


def _closed(client: Client, peer: dict[str, Any], lost: Sequence[_Address]) -> str:
    """Return what is wrong with an exit node through which nothing passes, as far as the policy tells; empty if it may be well."""
    granted = _granted(client, peer, lost)
    private = bool(lost) and not any(entry in INTERNET for entry in lost)
    # A policy that opens the internet leaves private addresses out.
    if private and not granted and _granted(client, peer) is not False:
        return ""
    if granted is False:
        return (
            f"which the policy does not let {_owner(client)} use for the internet: add `autogroup:internet:*` to the dst of a rule whose "
            "src matches this node"
        )
    unseen = "" if granted else ", and that the policy grants this node autogroup:internet (meshctl could not tell)"
    return f"which does not forward it: check net.ipv4.ip_forward and the forwarding rules there{unseen}"


def _owner(client: Client) -> str:
    """Return this node as a policy names it."""
    user = text(mapping(client.node.get("user")).get("name"))
    names = texts(client.node, "tags") or ([user if "@" in user else f"{user}@"] if user else [])
    return f"this node ({', '.join(names)})" if names else "this node"


def _granted(client: Client, peer: dict[str, Any], targets: Sequence[_Address] = ()) -> bool | None:
    """Whether the policy lets this node's packets leave through the exit node, to any of these addresses or to the internet; None if unknown."""
    server = client.known.server
    policy = server.policy[0] if server else None
    if server is None or policy is None:
        return None
    router = server.node_of(text(peer.get("PublicKey")))
    if not (server.names_are_known and client.node and router):
        return True if policy.unrestricted else None if _is_open(policy) else False
    known = {text(node.get("nodeKey")): server.member(node, text(node.get("nodeKey"))) for node in server.nodes}
    me, there = (known[text(node.get("nodeKey"))] for node in (client.node, router))
    try:
        return Evaluation(policy, list(known.values()), server.owners()).leaves(me, there, "tcp", _HTTPS, targets)
    except ValueError:
        return None


def _is_open(policy: Policy) -> bool:
    """Whether the policy lets any node use the internet."""
    targets = (policy.names.hosts.get(target, target) for rule in policy.rules for target in rule.targets)
    return any(target in ("*", "autogroup:internet") or target.endswith("/0") for target in targets)
