# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that a router forwards, and that a node accepts the routes of others."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import items, mapping, text
from ..observed import Check, CheckContext, Client, Iterator
from ..urls import overlap

_FORWARDING = {4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding"}
_EXIT = ("0.0.0.0/0", "::/0")


def requests(_client: Client) -> list[dict[str, Any]]:
    """Read whether the host forwards."""
    return [{"id": "forwarding", "kind": "files", "paths": list(_FORWARDING.values())}]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return a check of a router's forwarding, and mention routes that this node does not accept."""
    if advertised := [text(route) for route in items(client.prefs.get("AdvertiseRoutes"))]:
        yield _forwards(client, context, advertised)
    served = {
        text(peer.get("HostName")): text(route)
        for peer in client.peers
        for route in items(peer.get("PrimaryRoutes"))
        # A route to the host's own network would cut it off from that.
        if text(route) not in _EXIT and not any(overlap(text(route), net) for net in client.networks)
    }
    if served and client.prefs.get("RouteAll") is not True:
        routers = ", ".join(f"{route} ({name})" for name, route in served.items())
        reason = (
            f"this node does not accept the routes of subnet routers, {routers}, which is the default on Linux: "
            "`tailscale set --accept-routes`"
        )
        yield context.skipped(reason, aspect="accepted", expected=sorted(served.values()))


def _forwards(client: Client, context: CheckContext, advertised: list[str]) -> Check:
    families = sorted({6 if ":" in route else 4 for route in advertised})
    files = mapping(client.data("forwarding"))
    observed = {
        f"ipv{family}": text(mapping(files.get(_FORWARDING[family])).get("text")).strip() for family in families
    }
    return context.check(
        all(value == "1" for value in observed.values()),
        aspect="forwarding",
        expected=dict.fromkeys(observed, "1"),
        observed=observed,
        evidence={"advertised": advertised},
        hint=f"it advertises {', '.join(advertised)} but does not forward packets: "
        "`sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`",
        command="sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
    )
