# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that names outside the mesh still resolve."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import addresses, items, mapping, text
from ..._judge.names import QUAD_100, QUAD_100_V6
from ..._judge.quoting import quoted
from ..observed import Cause, Check, CheckContext, Client, because

AFTER = ("exit_node", "interface", "kernel_route", "firewall", "network", "relay")
_DOWN = ("timeout", "host-unreachable", "net-unreachable")


def requests(client: Client) -> list[dict[str, Any]]:
    """Look the names up as programs on the host do."""
    return [{"id": "outside", "kind": "getaddrinfo", "names": client.outside_names}]


def judge(client: Client, context: CheckContext) -> Check:
    """Return which names do not resolve."""
    names = client.outside_names
    if not names:
        return context.skipped("no name outside the mesh is known: set mesh_outside_names", expected="names resolve")
    outcome = {name: text(client.row("outside", name=name).get("outcome")) or "not asked" for name in names}
    bad = [name for name, found in outcome.items() if found != "found"]
    given = [mapping(entry).get("Addr") for entry in items(mapping(client.data("dns_map")).get("Resolvers"))]
    upstream = addresses(given) or addresses(mapping(client.data("dns_config")).get("Nameservers"))
    check = context.check(
        not bad, expected=dict.fromkeys(names, "found"), observed=outcome, hint=_hint(client, bad, upstream),
        evidence={"resolv_conf": client.resolvers, "upstream": upstream}, command=f"getent ahosts {quoted((bad or names)[0])}",
    )  # fmt: skip
    return because(
        check, client.cause("exit_node", "network") or _own_resolver(client, context) or _down(client, upstream)
    )


def _down(client: Client, upstream: list[str]) -> Cause | None:
    """Return that the machine of the only resolver is a relay, and answers nothing as a relay either."""
    silent = [relay for relay in client.relays if client.row("relays", url=relay.url).get("outcome") in _DOWN]
    same = next((relay for relay in silent if set(upstream) == {relay.address}), None)
    return client.cause(f"relay of {same.target}") if same else None


def _own_resolver(client: Client, context: CheckContext) -> Cause | None:
    """Return what keeps the host from asking tailscaled, which the finding about names of the mesh reports as well."""
    if client.asks_tailscaled and (way := client.cause(*client.to_resolver)):
        return way
    own = client.row("own_name", name=client.name)
    lookup = (
        bool(own) and own.get("outcome") != "found" and client.row("dns", name=client.name).get("outcome") == "answered"
    )
    nobody = client.data("resolv_conf") is not None and not client.resolvers
    off = mapping(client.status.get("CurrentTailnet")).get("MagicDNSEnabled") is False
    same = client.name and ((lookup and _resolves_inside(client)) or (nobody and off))
    return Cause(id=f"{context.story}.magic_dns", source=context.source) if same else None


def _resolves_inside(client: Client) -> list[str]:
    """Return the names outside that tailscaled itself resolves."""
    inside = mapping(client.data("own_dns"))
    return [name for name in client.outside_names if mapping(inside.get(name)).get("rcode") == 0]


def _hint(client: Client, bad: list[str], upstream: list[str]) -> str:
    lost = f"{', '.join(bad)} {'does' if len(bad) == 1 else 'do'} not resolve"
    if not {QUAD_100, QUAD_100_V6} & set(client.resolvers):
        servers = ", ".join(client.resolvers) or "no server"
        return f"{lost}, and the host queries {servers}: check that this is the right server and that it is up"
    for node in (client.me, *client.peers):
        if inside := sorted(set(addresses(node.get("TailscaleIPs"))) & set(upstream)):
            return (
                f"{lost}: dns.nameservers.global is {inside[0]}, which is {text(node.get('HostName'))} "
                "in this mesh; a node that takes its DNS settings from the mesh queries itself: `tailscale set --accept-dns=false` there, "
                "and check that it runs a name server"
            )
    if set(bad) <= set(_resolves_inside(client)):
        return (
            f"{lost} for programs on this host, although tailscaled resolves {'it' if len(bad) == 1 else 'them'}: their lookup does not get "
            "to tailscaled in time; see the hosts line of /etc/nsswitch.conf, and a cache such as nscd or systemd-resolved"
        )
    return (
        f"{lost}: tailscaled answers all queries, and its upstream resolvers "
        f"({', '.join(upstream) or 'none'}) do not answer; correct dns.nameservers.global on the server, or set "
        "dns.override_local_dns to false"
    )
