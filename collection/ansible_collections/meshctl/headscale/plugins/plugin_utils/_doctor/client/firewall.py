# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that packets pass between the host and its own tailscaled, on the interface of the mesh."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import mapping, text
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("interface", "kernel_route", "tun")
_LISTING_S, _ASKING_S = 3.0, 5.5
_MOST_CHAINS = 3


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask tailscaled's resolver through its socket, also for names outside, and read which firewall rules drop packets."""
    if not (client.running and client.interface and client.name):
        return []
    return [
        {"id": "own_dns", "kind": "own_dns", "names": [client.name, *client.outside_names], "timeout_s": _ASKING_S},
        {"id": "firewall", "kind": "firewall", "timeout_s": _LISTING_S},
    ]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return whether a question that tailscaled answers through its socket is answered over the interface as well."""
    outcome = text(client.row("dns", name=client.name).get("outcome"))
    inside = mapping(mapping(client.data("own_dns")).get(client.name))
    if not outcome or inside.get("answered") is not True or client.resolver_astray:
        return
    check = context.check(
        outcome == "answered",
        expected={"through_interface": "answered"},
        observed={"through_interface": outcome, "through_socket": "answered"},
        evidence={"interface": client.interface, "firewall": client.data("firewall")},
        hint=f"something on this host drops packets on {client.interface}: tailscaled answers through its socket, but not at "
        f"{client.resolver} ({outcome}); {_where(client)}",
        command="nft list ruleset",
    )
    yield because(check, client.cause("tun", "interface.up", "kernel_route"))


def _where(client: Client) -> str:
    """Return where to look for the rule."""
    seen = mapping(client.data("firewall"))
    if chains := client.dropping:
        return (
            f"its firewall has chains that drop or reject, {', '.join(chains[:_MOST_CHAINS])}: let them accept what arrives on and "
            f"leaves by {client.interface} (`nft list ruleset`)"
        )
    if seen and seen.get("legacy") is not True:
        return "`nft list ruleset` shows no rule that drops packets: look for eBPF programs (`bpftool net`)"
    unread = "iptables-legacy has rules" if seen else client.why("firewall")
    return f"look for such a rule in its firewall (`nft list ruleset`), which was not read: {unread}"
