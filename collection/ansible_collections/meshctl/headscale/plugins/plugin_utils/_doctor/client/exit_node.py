# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the exit node, through which all traffic goes, passes it on."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import address, items, text
from ..observed import Check, CheckContext, Client, Iterator

_END = "`tailscale set --exit-node=` on this host stops using it"


def requests(client: Client) -> list[dict[str, Any]]:
    """Connect to the server and the relays, as programs on this host do and as tailscaled does."""
    if not _used(client):
        return []
    hosts = [client.server_host, *(relay.where for relay in client.relays)]
    urls = dict.fromkeys(f"https://{host}/" for host in hosts if host)
    plain = [{"url": url, "insecure": True} for url in urls]
    around = [
        {**page, "bypass": True, "connect": address(url[8:-1]) or ""} for page, url in zip(plain, urls, strict=True)
    ]
    return [
        {"id": "through_exit", "kind": "http", "targets": plain, "try_timeout_s": 4.0},
        {"id": "around_exit", "kind": "http", "targets": around, "try_timeout_s": 4.0},
    ]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return whether the exit node works, if the client uses one."""
    if used := _used(client):
        peer = _peer(client, used)
        name = text(peer.get("HostName")) or used
        problem = _problem(client, peer)
        yield context.check(
            not problem,
            target=name,
            expected={"exit_node": "passes traffic on"},
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


def _problem(client: Client, peer: dict[str, Any]) -> str:
    if not peer:
        return "which the server does not show to this node"
    if peer.get("Online") is False:
        return "which is offline"
    if peer.get("ExitNodeOption") is not True:
        return "which is not approved as an exit node: `headscale nodes list-routes`"
    through, around = client.rows("through_exit"), client.rows("around_exit")
    if not through or any(row.get("connected") for row in through) or not any(row.get("connected") for row in around):
        return ""
    if not _allowed(client):
        return "which the policy does not let it use for the internet: add `autogroup:internet:*` to a rule's dst"
    return "which does not forward it: check net.ipv4.ip_forward and the forwarding rules there"


def _allowed(client: Client) -> bool:
    """Whether the policy grants the internet to any node."""
    server = client.known.server
    policy = server.policy[0] if server else None
    if policy is None or policy.unrestricted:
        return True
    return any(_is_internet(target) for rule in policy.rules for target in rule.targets)


def _is_internet(target: str) -> bool:
    return target in ("*", "autogroup:internet", "autogroup:danger-all") or target.endswith("/0")
