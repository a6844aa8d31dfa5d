# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the kernel sends packets for other nodes into the mesh."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import addresses, mapping, text
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("interface",)
_MOST = 4
# How the kernel reports a route of the type blackhole, prohibit or unreachable.
_REFUSALS = ("Invalid argument", "Permission denied", "No route to host")


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask the kernel for its route to some of the other nodes."""
    asked = _asked(client)
    return [{"id": "mesh_routes", "kind": "routes", "rules": True, "get": [*asked, client.resolver]}] if asked else []


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return the nodes whose packets leave through another interface."""
    found = mapping(mapping(client.data("mesh_routes")).get("get"))
    routes = {entry: mapping(found.get(entry)) for entry in _asked(client)}
    known = {entry: way for entry, route in routes.items() if (way := text(route.get("dev")) or _refused(route))}
    if not known:
        return
    wrong: dict[str, str] = {}
    for version in (False, True):
        family = {entry: device for entry, device in known.items() if (":" in entry) is version}
        # tailscaled has no route to a node that it does not trust: one alone proves nothing.
        if client.interface in family.values():
            family = {entry: way for entry, way in family.items() if way != client.interface and _silent(client, entry)}
        wrong |= family
    ways = ", ".join(f"{entry} {way if ' ' in way else f'through {way}'}" for entry, way in wrong.items())
    check = context.check(
        not wrong,
        expected={"through": client.interface},
        observed=known,
        hint=f"the kernel does not send packets for other nodes into the mesh: {ways}, and not through {client.interface}; restart "
        "tailscaled, which restores its routes, and check `ip rule` and `ip route show table all` for rules and routes of other programs "
        "that take precedence",
        command=f"ip route get {quoted(sorted(wrong or known)[0])}",
    )
    yield because(
        check,
        client.cause(
            "interface.up", "interface.taken", *(("interface.ipv6",) if all(":" in entry for entry in wrong) else ())
        ),
    )


def _refused(route: dict[str, Any]) -> str:
    """Return that a separate route refuses a node; a host without any route to it has none."""
    said = text(route.get("error"))
    return "nowhere (blackhole, unreachable or prohibit)" if any(word in said for word in _REFUSALS) else ""


def _silent(client: Client, entry: str) -> bool:
    """Whether tailscaled reaches a node that the kernel does not."""
    peer = next((peer for peer in client.peers if entry in addresses(peer.get("TailscaleIPs"))), {})
    tried = mapping(client.data("disco"))
    alive = any(mapping(tried.get(known)).get("answered") is True for known in addresses(peer.get("TailscaleIPs")))
    echo = mapping(mapping(client.data("icmp")).get(entry))
    return alive and bool(echo) and not echo.get("received")


def _asked(client: Client) -> list[str]:
    if not client.running or not client.interface:
        return []
    families = {":" in own for own in addresses(client.me.get("TailscaleIPs"))}
    trusted = [peer for peer in client.peers if peer.get("Expired") is not True and peer.get("Online") is True]
    theirs = [known for peer in trusted for known in addresses(peer.get("TailscaleIPs"))]
    return [known for known in theirs if (":" in known) in families][:_MOST]
