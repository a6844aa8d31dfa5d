# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the networks of the host's own interfaces are not routed into the mesh."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from ..._judge.answer import items, mapping, text
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, Iterator
from ..urls import overlap

AFTER = ("exit_node",)
_MOST = 8


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask the kernel for its route to an address of each network."""
    return [{"id": "own_routes", "kind": "routes", "get": [_probe_of(net) for net in client.networks[:_MOST]]}]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return which networks of the host the mesh takes over."""
    routes = mapping(mapping(client.data("own_routes")).get("get"))
    if not client.running or not client.interface:
        return
    inside = [
        net for net in client.networks[:_MOST] if mapping(routes.get(_probe_of(net))).get("dev") == client.interface
    ]
    routers = {net: name for net in inside for name in _routers(client, net)}
    if inside and not routers and client.prefs.get("ExitNodeID"):
        reason = f"the exit node carries traffic for {', '.join(inside)} too: `tailscale set --exit-node-allow-lan-access` stops that"
        yield context.skipped(reason, expected={"routed_into_the_mesh": []})
        return
    ways = ", ".join(f"{net} (to {name})" for net, name in routers.items())
    yield context.check(
        not routers,
        expected={"routed_into_the_mesh": []},
        observed={"routed_into_the_mesh": sorted(routers)},
        hint=f"this host sends packets for its own network into the mesh: {ways}, because it accepts that route: "
        "`tailscale set --accept-routes=false` on this host",
        command=f"ip route get {quoted(_probe_of(inside[0]))}" if inside else "",
    )


def _routers(client: Client, net: str) -> list[str]:
    return [
        text(peer.get("HostName"))
        for peer in client.peers
        if any(
            overlap(net, text(route)) for route in items(peer.get("PrimaryRoutes")) if not text(route).endswith("/0")
        )
    ]


def _probe_of(net: str) -> str:
    """Return an address of a network that is most likely not the host's own."""
    return str(ip_network(net)[-2])
