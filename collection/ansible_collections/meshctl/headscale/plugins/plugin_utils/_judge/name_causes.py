# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out why a name does not resolve as it should."""

from __future__ import annotations

from typing import Any

from . import causes
from .answer import Answer, addresses, mapping, number, text
from .names import (
    HOSTS,
    NSSWITCH,
    QUAD_100,
    QUAD_100_V6,
    Name,
    dns_answer,
    file_text,
    host_sources,
    local_stub,
    name_servers,
    resolver_asked,
    values,
)
from .observations import RESOLV_CONF, STATUS


def why_not_resolved(seen: Answer, name: Name, known: list[str], *, same: bool) -> str:
    if same:
        return "the correct answer came too late: check that every name server in /etc/resolv.conf answers"
    if _in_hosts(seen, name) and not set(known) - set(name.addresses):
        return f"{HOSTS} answers for {name.fqdn} instead of MagicDNS: remove the entry"
    if foreign := set(known) - set(name.addresses):
        said = f"{', '.join(sorted(foreign))} is not an address of {name.node}: "
        local = any(entry in (file_text(seen, HOSTS) or "").split() for entry in foreign)
        return said + (
            f"it comes from {HOSTS}, remove it there" if local else "the answer is outdated, or from another server"
        )
    if known and all(":" in missing for missing in set(name.required) - set(known)):
        return (
            "tailscaled gives a node with an IPv4 address no AAAA records for its peers unless the policy's nodeAttrs grant it "
            "magicdns-aaaa: grant that, or leave ipv6 out of families"
        )
    direct = dns_answer(seen, name.fqdn, name.kind)
    rightly = direct.get("rcode") == "NOERROR" and set(addresses(values(direct))) & set(name.addresses)
    # A stopped client still answers from its last state, but the system no longer asks it.
    running = text(mapping(seen.data(STATUS)).get("BackendState")) in ("", "Running")
    if rightly and running:
        return _other_dns(seen, name) or _not_asked(seen)
    client = causes.client(seen) if seen.data(STATUS) is not None else ""
    return client or _other_dns(seen, name) or _not_known(direct, name, resolver_asked(seen))


def why_not_over_tcp(seen: Answer, name: Name, row: dict[str, Any], *, same: bool) -> str:
    """Return why tailscaled's resolver does not answer over TCP."""
    resolver = resolver_asked(seen)
    datagram = dns_answer(seen, name.fqdn, name.kind)
    if same:
        took = number(datagram.get("duration_ms"))
        over_udp = (
            f", and over UDP after {took:.0f} ms" if took is not None and datagram.get("outcome") == "answered" else ""
        )
        return (
            f"{resolver} answers correctly over TCP, but too late{over_udp}: if that is much faster, a firewall or another program holds "
            "up TCP port 53 on this host; otherwise the host is overloaded"
        )
    if row.get("outcome") == "answered":
        known = addresses(values(row))
        if addresses(values(datagram)) == [one for one in name.addresses if (":" in one) == (name.kind == "AAAA")]:
            said = ", ".join(known) or text(row.get("rcode"))
            return (
                f"{resolver} answers correctly over UDP, but over TCP with {said}: another program answers TCP port 53 at its address "
                "(`nft list ruleset`, `ss -Hltnp sport = 53`)"
            )
        return why_not_resolved(seen, name, known, same=False)
    client = causes.client(seen) if seen.data(STATUS) is not None else ""
    if client or datagram.get("outcome") != "answered":
        return client or f"{resolver} answers neither over UDP nor over TCP: check that tailscaled is running"
    connected = row.get("connected") is True
    ended = {
        "timeout": "accepts the connection and does not answer in time"
        if connected
        else "does not accept a connection",
        "closed": "closes the connection without an answer",
    }.get(text(row.get("outcome")), "resets the connection" if connected else "refuses the connection")
    return (
        f"{resolver} answers over UDP, but over TCP it {ended}: a firewall on this host stops TCP port 53 (`nft list ruleset`), or "
        "another program answers there; answers that are too long for a datagram are lost"
    )


def _not_asked(seen: Answer) -> str:
    servers = name_servers(seen)
    if stub := local_stub(servers):
        return (
            f"tailscaled answers correctly, but the local resolver {stub} does not forward names of the mesh to it: with "
            "systemd-resolved, `resolvectl status tailscale0` must show its servers and domain (restart tailscaled), and "
            "`resolvectl flush-caches` empties its cache"
        )
    if servers and not {QUAD_100, QUAD_100_V6} & set(servers):
        return (
            f"tailscaled answers correctly, but the system queries {', '.join(servers)}: --accept-dns is off, or another "
            "program owns /etc/resolv.conf"
        )
    sources = host_sources(seen)
    if sources and not {"dns", "resolve"} & set(sources):
        return (
            f"tailscaled answers correctly, but {NSSWITCH} lists no name server as a source of hosts ({' '.join(sources)}): "
            "add dns there"
        )
    searched = mapping(seen.data(RESOLV_CONF)).get("search")
    if servers and searched == []:
        return (
            "tailscaled answers correctly, but /etc/resolv.conf has no search domain: another program has rewritten it"
        )
    return (
        "tailscaled answers correctly, but the system's resolver does not: look for a cache (nscd), and at /etc/hosts"
    )


def _in_hosts(seen: Answer, name: Name) -> bool:
    words = (file_text(seen, HOSTS) or "").lower().split()
    return name.fqdn in words or name.short in words


def _other_dns(seen: Answer, name: Name) -> str:
    """Return which MagicDNS setting of the client cannot lead to this name."""
    tailnet = mapping(mapping(seen.data(STATUS)).get("CurrentTailnet"))
    if tailnet.get("MagicDNSEnabled") is False:
        return "MagicDNS is off on the server: set dns.magic_dns there"
    suffix = text(tailnet.get("MagicDNSSuffix")).strip(".").lower()
    if suffix and not name.fqdn.endswith("." + suffix):
        return f"the server's base domain is {suffix}, and {name.fqdn} is not in it: correct dns.base_domain or mesh_domain"
    return ""


def _not_known(direct: dict[str, Any], name: Name, resolver: str) -> str:
    if direct.get("rcode") == "NXDOMAIN":
        return f"tailscaled does not know {name.fqdn}: the server uses another name, or the network map is outdated"
    return f"tailscaled's resolver {resolver} does not answer for {name.fqdn}: check that MagicDNS is on and the domain correct"
