# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the routes which a node offers are approved and served."""

from __future__ import annotations

from ..._judge.answer import text
from ..._judge.quoting import quoted
from ..records import Check, CheckContext, Iterator, Record, Server, because, given_name, texts

_EXIT = ("0.0.0.0/0", "::/0")


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each node that has routes."""
    served = {route for node in server.nodes for route in texts(node, "subnetRoutes")}
    for node in server.nodes:
        if texts(node, "availableRoutes") or texts(node, "approvedRoutes"):
            view = server.view(node)
            yield because(_routes(served, context, node), view.cause("tags", "client") if view else None)


def _routes(served: set[str], context: CheckContext, node: Record) -> Check:
    offered, approved = set(texts(node, "availableRoutes")), set(texts(node, "approvedRoutes"))
    waiting, gone = sorted(offered - approved), sorted(approved - offered)
    idle = sorted((offered & approved) - served)
    number = quoted(text(node.get("id")))
    # Approving replaces the routes that were approved before.
    approve = f"`headscale nodes approve-routes -i {number} -r {quoted(','.join(sorted(offered | approved)))}`"
    hints = [
        f"{', '.join(waiting)} is advertised but not approved: {approve}" if waiting else "",
        f"{', '.join(gone)} is approved but not advertised: {_advertise(offered, gone)} there, or take the approval back: "
        f"`headscale nodes approve-routes -i {number} -r {quoted(','.join(sorted(offered & approved)))}`"
        if gone
        else "",
        f"{', '.join(idle)} is approved, but no node serves it: check that the node is online" if idle else "",
    ]
    return context.check(
        not any(hints),
        target=given_name(node),
        expected={"not_approved": [], "not_advertised": [], "not_served": []},
        observed={"not_approved": waiting, "not_advertised": gone, "not_served": idle},
        evidence={
            "offered": sorted(offered),
            "approved": sorted(approved),
            "served": sorted(texts(node, "subnetRoutes")),
        },
        hint="; ".join(filter(None, hints)),
        command="headscale nodes list-routes",
    )


def _advertise(offered: set[str], gone: list[str]) -> str:
    """Return the command that advertises routes again; it replaces those that the node advertises now."""
    subnets = sorted(route for route in offered | set(gone) if route not in _EXIT)
    exits = " --advertise-exit-node" if any(route in _EXIT for route in gone) else ""
    routes = f" --advertise-routes={quoted(','.join(subnets))}" if any(route not in _EXIT for route in gone) else ""
    return f"`tailscale set{exits}{routes}`"
