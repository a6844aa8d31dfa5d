# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that names of the mesh resolve; the first level that fails is the cause."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import addresses, items, mapping, text
from ..._judge.names import NSSWITCH, host_sources, local_stub
from ..._judge.observations import FILES
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, because

AFTER = ("client", "interface", "tun", "kernel_route", "firewall")


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask tailscaled, the host and the host's own resolver for the client's own name."""
    names = [client.name] if client.name else []
    queries = [{"name": name, "type": "AAAA" if ":" in client.resolver else "A"} for name in names]
    stub = local_stub(client.resolvers)
    own = [{"id": "local_dns", "kind": "dns", "server": stub, "queries": queries}] if stub else []
    return [
        {"id": "own_name", "kind": "getaddrinfo", "names": names},
        {"id": "dns", "kind": "dns", "server": client.resolver, "queries": queries},
        {"id": FILES, "kind": "files", "paths": [NSSWITCH]},
        *own,
    ]


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether server, client, tailscaled and host all do their part."""
    if client.name and client.no_mesh_names:
        return context.skipped(client.no_mesh_names, expected="names of the mesh resolve")
    own = set(addresses(client.me.get("TailscaleIPs")))
    asked = client.row("dns", name=client.name)
    answers = [mapping(entry).get("value") for entry in items(asked.get("answers"))]
    system = client.row("own_name", name=client.name)
    levels = {
        "server": mapping(client.status.get("CurrentTailnet")).get("MagicDNSEnabled") is True,
        "accepted": client.prefs.get("CorpDNS") is True,
        "tailscaled": bool(own & set(addresses(answers))),
        "host": bool(own & set(addresses(system.get("addresses")))),
    }
    check = context.check(
        all(levels.values()) if client.name else None,
        expected=dict.fromkeys(levels, True),
        observed=levels if client.name else None,
        evidence={
            "name": client.name,
            "resolv_conf": client.resolvers,
            "error": text(system.get("error")),
            "outcome": text(asked.get("outcome")),
        },
        hint=_hint(client, levels, asked, addresses(answers), addresses(system.get("addresses")))
        if client.name
        else "the node has no name, because it is not in the mesh",
        command=f"getent ahosts {quoted(client.name)}",
    )
    return because(check, client.cause("tun", *client.to_resolver) if client.running else client.cause("client"))


def _hint(client: Client, levels: dict[str, bool], asked: dict[str, Any], given: list[str], found: list[str]) -> str:
    if not levels["server"]:
        return _not_on_server(client)
    if not levels["accepted"]:
        return "this client ignores the server's DNS settings: `tailscale set --accept-dns=true`"
    if not levels["tailscaled"]:
        return _not_by_tailscaled(client, asked, given)
    if found:
        return (
            f"this host resolves its own name to {', '.join(found)} and not to its mesh addresses: something else "
            "answers first, such as an entry in /etc/hosts (`getent -s files hosts`) or another resolver"
        )
    if not client.asks_tailscaled:
        return (
            f"the host asks {', '.join(client.resolvers) or 'no server'} and not tailscaled: another program rewrites /etc/resolv.conf, or "
            "tailscaled cannot write it; let systemd-resolved or NetworkManager manage it, or stop that program, and restart tailscaled"
        )
    return _not_by_own_resolver(client) or _not_by_lookup(client)


def _not_on_server(client: Client) -> str:
    if client.magic_dns_off:
        return (
            "MagicDNS is off on the server: set dns.magic_dns and dns.base_domain in its configuration, or remove mesh_domain from the "
            "inventory if it is meant to be off"
        )
    return "tailscaled does not tell whether MagicDNS is on (CurrentTailnet in `tailscale status --json`): read its log"


def _not_by_own_resolver(client: Client) -> str:
    """Return what the host's own resolver does wrong, empty if there is none or if it answers rightly."""
    stub, row = local_stub(client.resolvers), client.row("local_dns", name=client.name)
    if not stub or not row:
        return ""
    if text(row.get("outcome")) != "answered":
        return (
            f"the host asks its own resolver {stub}, which does not answer ({text(row.get('outcome'))}): check that it runs and is well, or "
            "let tailscaled write /etc/resolv.conf"
        )
    given = addresses([mapping(entry).get("value") for entry in items(row.get("answers"))])
    if set(given) & set(addresses(client.me.get("TailscaleIPs"))):
        return ""
    return (
        f"the host's own resolver {stub} answers {', '.join(given) or text(row.get('rcode')) or 'without addresses'} for this node's own name "
        f"{client.name}, and tailscaled answers rightly: it does not forward names of the mesh to tailscaled, or has kept an old answer; see "
        "`resolvectl status`, and empty its cache"
    )


def _not_by_lookup(client: Client) -> str:
    """Return why programs on the host do not find a name that the resolvers know."""
    sources, error = host_sources(client), text(client.row("own_name", name=client.name).get("error"))
    if sources and not {"dns", "resolve"} & set(sources):
        return f"{NSSWITCH} lists no name server as a source of hosts ({' '.join(sources)}), so programs on this host ask none: add dns there"
    return (
        f"tailscaled resolves this node's own name {client.name}, and programs on this host do not{f' ({error})' if error else ''}: their "
        f"lookup does not get to tailscaled in time; see the hosts line of {NSSWITCH}, and a cache such as nscd or systemd-resolved"
    )


def _not_by_tailscaled(client: Client, asked: dict[str, Any], given: list[str]) -> str:
    """Return why tailscaled does not answer with the node's own addresses."""
    if text(asked.get("outcome")) != "answered":
        return f"tailscaled's own resolver {client.resolver} does not answer: read tailscaled's log and restart it"
    if given:
        return (
            f"tailscaled resolves this node's own name {client.name} to {', '.join(given)} and not to its mesh addresses, as an entry of that "
            "name in dns.extra_records (or in the file of dns.extra_records_path) on the server does: remove that entry"
        )
    return (
        f"tailscaled answers {text(asked.get('rcode')) or 'without addresses'} for this node's own name {client.name}, so its network map is outdated: look at "
        "its connection to the server, and restart tailscaled"
    )
