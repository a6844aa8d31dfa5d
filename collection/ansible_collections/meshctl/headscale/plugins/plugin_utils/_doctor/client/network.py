# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that anything outside of the host's own network answers it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ..._judge.answer import endpoint, mapping, text
from ..observed import Check, CheckContext, Client, Iterator, because
from . import kernel_route

AFTER = ("exit_node", "kernel_route")
# What a packet that arrives nowhere leads to; everything else comes from a host that answered.
_SILENT = ("timeout", "net-unreachable", "host-unreachable", "net-down", "no-name", "failed", "not-asked", "not-found")


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return a finding if neither the relays nor the server nor a resolver answer, nor a node elsewhere."""
    asked = _asked(client)
    by_address = [name for name in asked if name.startswith("relay ")]
    if not by_address or len(asked) == len(by_address) or not all(outcome in _SILENT for outcome in asked.values()):
        return
    if any(_is_elsewhere(client, host) for host in _answering(client)):
        return
    near = " (nodes in its own network do)" if _answering(client) else ""
    check = context.check(
        False,
        expected={"answers": "at least one"},
        observed=asked,
        hint=f"nothing outside this host's own network answers: {', '.join(asked)}{near}; check its link, its route "
        "(`ip route`), and the packet filters of the host and of its router",
        command="ip route",
    )
    taken = client.cause("kernel_route") if kernel_route.takes_everything(client) else None
    yield because(check, client.cause("exit_node") or taken)


def _asked(client: Client) -> dict[str, str]:
    """Return how each request to another host ended."""
    asked = {}
    for relay in client.relays:
        tcp, udp = client.page("relays", relay.url), client.stun(relay)
        if relay.addresses and tcp and udp:
            both = ["answered" if tcp.get("connected") else text(tcp.get("outcome")), text(udp.get("outcome"))]
            asked[f"relay {relay.target}"] = next((one for one in both if one not in _SILENT), both[0])
    for row in client.rows("server")[:1]:
        asked["server"] = "answered" if row.get("connected") else text(row.get("outcome"))
    for name in client.outside_names:
        if outcome := text(client.row("outside", name=name).get("outcome")):
            asked[f"the name {name}"] = outcome
    return asked


def _answering(client: Client) -> list[str]:
    """Return the physical addresses at which other nodes answered."""
    rows = [mapping(row) for row in mapping(client.data("disco")).values()]
    found = [endpoint(mapping(row.get("last")).get("endpoint"))[0] for row in rows if row.get("answered") is True]
    return [host for host in found if host]


def _is_elsewhere(client: Client, host: str) -> bool:
    return not any(ip_address(host) in ip_network(net) for net in client.networks)
