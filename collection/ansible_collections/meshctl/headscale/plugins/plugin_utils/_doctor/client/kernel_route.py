# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the kernel sends packets for other nodes into the mesh."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import addresses, mapping, text
from ..._judge.names import QUAD_100
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("interface",)
_MOST = 4


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask the kernel for its route to some of the other nodes."""
    asked = _asked(client)
    return [{"id": "mesh_routes", "kind": "routes", "rules": True, "get": [*asked, QUAD_100]}] if asked else []


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return the nodes whose packets leave through another interface."""
    found = mapping(mapping(client.data("mesh_routes")).get("get"))
    routes = {known: text(mapping(found.get(known)).get("dev")) for known in _asked(client)}
    known = {entry: device for entry, device in routes.items() if device}
    if not known:
        return
    wrong: dict[str, str] = {}
    for version in (False, True):
        family = {entry: device for entry, device in known.items() if (":" in entry) is version}
        # tailscaled has no route to a node that it does not trust: one alone proves nothing.
        wrong |= {} if client.interface in family.values() else family
    ways = ", ".join(f"{entry} through {device}" for entry, device in wrong.items())
    check = context.check(
        not wrong,
        expected={"through": client.interface},
        observed=known,
        hint=f"the kernel does not send packets for other nodes into the mesh: {ways}, and not through {client.interface}; restart "
        "tailscaled, which restores its routes, and check `ip rule` for rules of other programs that take precedence",
        command=f"ip route get {quoted(sorted(wrong or known)[0])}",
    )
    yield because(
        check,
        client.cause(
            "interface.up", "interface.taken", *(("interface.ipv6",) if all(":" in entry for entry in wrong) else ())
        ),
    )


def _asked(client: Client) -> list[str]:
    if not client.running or not client.interface:
        return []
    families = {":" in own for own in addresses(client.me.get("TailscaleIPs"))}
    trusted = [peer for peer in client.peers if peer.get("Expired") is not True and peer.get("Online") is True]
    theirs = [known for peer in trusted for known in addresses(peer.get("TailscaleIPs"))]
    return [known for known in theirs if (":" in known) in families][:_MOST]
