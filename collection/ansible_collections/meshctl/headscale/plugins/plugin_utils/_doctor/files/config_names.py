# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the URL of the server, the mesh domain, its name servers and its records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..._judge.answer import address, items, mapping, text
from ..._judge.names import QUAD_100, QUAD_100_V6
from .. import urls
from ..prefixes import is_mesh_address
from .finding import Finding
from .settings import Settings

_LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
# Clients take any name whose parts are short enough, such as _msdcs.example.com; a star has no meaning to them.
_PART = re.compile(r"[^.*\s]{1,63}")
_TYPES = ("", "A", "AAAA")
# Other servers of these providers are not worth a false alarm.
_PROVIDERS = (
    "canadianshield.cira.ca", "cloudflare-dns.com", "controld.com", "dns.google", "mullvad.net", "nextdns.io", "quad9.net", "wikimedia-dns.org",
)  # fmt: skip


def is_dns_name(name: str) -> bool:
    """Whether a text is a DNS name without a dot at its end."""
    return len(name) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _can_be_asked_for(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and all(map(_PART.fullmatch, name.split(".")))


def findings(settings: Settings) -> Iterator[Finding]:
    """Return what is wrong with names and URLs."""
    yield from _url(settings)
    yield from _domain(settings)
    yield from _name_servers(settings)
    yield from _search_domains(settings)
    yield from _records(settings)


def _url(settings: Settings) -> Iterator[Finding]:
    url = settings.text("server_url")
    if not re.match(r"https?://", url):
        yield settings.finding(
            "server_url", "high", "server_url", "server_url is not an http or https URL, and Headscale refuses to start",
            "write the URL that clients use, such as https://headscale.example.com", stops=True,
        )  # fmt: skip
        return
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        yield settings.finding(
            "server_url", "high", "server_url", "server_url names no valid host or port", "correct it"
        )
    elif parts.path.strip("/") or parts.query or parts.fragment:
        yield settings.finding(
            "server_url", "high", "server_url", "server_url has a path, and clients ignore it",
            f"write {parts.scheme}://{parts.netloc}, and give Headscale its own name",
        )  # fmt: skip
    elif _is_own_host(parts.hostname or ""):
        yield settings.finding(
            "server_url", "high", "server_url", "server_url means the host itself on every host, so other hosts never find the server",
            "write the name that all clients use, such as https://headscale.example.com",
        )  # fmt: skip
    elif urls.problem(url):
        yield settings.finding(
            "server_url", "high", "server_url",
            "after an interruption, clients of an http server try only https on port 443, and never recover",
            f"give the server a certificate, and set server_url to https://{parts.hostname}",
        )  # fmt: skip


def _is_own_host(host: str) -> bool:
    known = address(host)
    return urls.is_loopback(host) or bool(known and ip_address(known).is_unspecified)


def _domain(settings: Settings) -> Iterator[Finding]:
    name, domain = "dns.base_domain", settings.text("dns.base_domain")
    magic = settings.flag("dns.magic_dns", otherwise=True)
    if not domain:
        if magic:
            yield settings.finding(
                "base_domain", "high", name, "dns.base_domain is empty although MagicDNS is on, and Headscale refuses to start",
                "set dns.base_domain to a domain that nothing else uses, such as mesh.internal", stops=True,
            )  # fmt: skip
        return
    bare, host = domain.rstrip(".").lower(), urls.host(settings.text("server_url"))
    refused = is_refused_domain(settings)
    if not is_dns_name(domain.rstrip(".")):
        yield settings.finding(
            "base_domain", "high", name, "dns.base_domain is not a DNS name", "use one such as mesh.internal"
        )
    elif refused or (magic and host and urls.within(host, bare) and not _has_record(settings, host)):
        effect = "and Headscale refuses to start" if refused else "which nodes resolve only if dns.extra_records has it"
        yield settings.finding(
            "base_domain", "high", name, f"dns.base_domain contains the server's own name {host}, {effect}",
            "choose another domain, which contains neither the server nor a relay", stops=refused,
        )  # fmt: skip
    elif urls.within(bare, "local"):
        yield settings.finding(
            "base_domain", "medium", name, "systems ask for names below local by multicast (mDNS), and not tailscaled",
            "choose another domain, such as mesh.internal",
        )  # fmt: skip
    elif domain != bare:
        yield settings.finding(
            "base_domain", "medium", name, "dns.base_domain has upper-case letters or a dot at its end, and never matches a query",
            f"write {bare}",
        )  # fmt: skip


def is_refused_domain(settings: Settings) -> bool:
    """Whether Headscale refuses dns.base_domain because of server_url, of which it compares the end with the port."""
    domain = settings.text("dns.base_domain")
    try:
        whole = urlsplit(settings.text("server_url")).netloc.rpartition("@")[2]
    except ValueError:
        return False
    return bool(domain) and (re.sub(r":\d*$", "", whole) == domain or whole.endswith(f".{domain}"))


def _has_record(settings: Settings, host: str) -> bool:
    """Whether the file has a record of a name; those of dns.extra_records_path are not seen."""
    return any(text(mapping(record).get("name")).rstrip(".").lower() == host for record in _listed_records(settings))


def _name_servers(settings: Settings) -> Iterator[Finding]:
    name = "dns.nameservers.global"
    if settings.flag("dns.override_local_dns", otherwise=True) and not settings.texts(name):
        yield settings.finding(
            "nameservers", "high", name,
            "dns.override_local_dns is on without dns.nameservers.global, and Headscale refuses to start",
            "name resolvers, or set dns.override_local_dns to false", stops=True,
        )  # fmt: skip
    for number, server in enumerate(settings.texts(name)):
        if not _is_resolver(server):
            yield settings.finding(
                "nameservers", "medium", name, f"{server!r} is not a resolver", "write an IP address, or the URL of DNS over HTTPS",
                entry=number,
            )  # fmt: skip
        elif urls.host(server) and not _is_known_provider(server):
            yield settings.finding(
                "nameservers", "medium", name,
                f"clients do not ask {server}: they support DNS over HTTPS only of providers that they know, such as "
                "https://dns.nextdns.io/ID or https://dns.quad9.net/dns-query",
                "write the IP address of the resolver", entry=number,
            )  # fmt: skip
        elif problem := _leads_back(server):
            yield settings.finding(
                "nameservers",
                "medium",
                name,
                f"{server} {problem}",
                "name resolvers that all clients reach",
                entry=number,
            )
    split = "dns.nameservers.split"
    for domain, servers in mapping(settings.get(split)).items():
        if not _can_be_asked_for(domain.rstrip(".")):
            yield settings.finding(
                "nameservers", "medium", split, f"{domain!r} is not a domain", "correct it", entry=domain
            )
        listed = servers if isinstance(servers, list) else [servers]
        if not listed or not all(_is_resolver(text(server)) for server in listed):
            yield settings.finding(
                "nameservers", "medium", split, f"the resolvers of {domain!r} are not addresses or URLs",
                "write a list of IP addresses, or of URLs of DNS over HTTPS", entry=domain,
            )  # fmt: skip


def _search_domains(settings: Settings) -> Iterator[Finding]:
    for number, domain in enumerate(settings.texts("dns.search_domains")):
        if not is_dns_name(domain.rstrip(".")):
            yield settings.finding(
                "nameservers", "medium", "dns.search_domains", f"{domain!r} is not a domain, and matches no name",
                "write a domain such as corp.example.com", entry=number,
            )  # fmt: skip


def _leads_back(server: str) -> str:
    """Return why a resolver is the client that asks it, empty if it is not."""
    if server in (QUAD_100, QUAD_100_V6):
        return "is tailscaled on each client, which then asks itself"
    if address(server) and urls.is_loopback(server):
        return "means each client itself, and most clients have no resolver there"
    return ""


def _is_known_provider(url: str) -> bool:
    """Whether clients know a provider of DNS over HTTPS (tailscale.com/net/dns/publicdns)."""
    return url.startswith("http://") or any(urls.within(urls.host(url), domain) for domain in _PROVIDERS)


def _is_resolver(said: str) -> bool:
    if said.startswith(("https://", "http://")):
        return bool(urls.host(said))
    return "/" not in said and bool(address(said))


def _listed_records(settings: Settings) -> list[object]:
    return items(settings.get("dns.extra_records"))


def _records(settings: Settings) -> Iterator[Finding]:
    name, path = "dns.extra_records", "dns.extra_records_path"
    if name in settings and path in settings:
        yield settings.finding(
            "records",
            "high",
            path,
            f"{name} and {path} are both set, and Headscale refuses to start",
            "keep one of them",
            stops=True,
        )
    host = urls.host(settings.text("server_url"))
    for number, record in enumerate(_listed_records(settings)):
        known = mapping(record)
        kind, value = text(known.get("type")).upper(), text(known.get("value"))
        # Whether it is an A or an AAAA record, clients see from the address.
        good = address(value) and _can_be_asked_for(text(known.get("name")).rstrip("."))
        if kind not in _TYPES or not good:
            yield settings.finding(
                "records", "medium", name, f"clients ignore record {number + 1} ({text(known.get('name'))})",
                "write a name, the type A or AAAA, and an address", entry=number,
            )  # fmt: skip
        elif host and text(known.get("name")).rstrip(".").lower() == host and is_mesh_address(value):
            yield settings.finding(
                "records", "high", name,
                f"record {number + 1} leads clients to {value} for the server's own name: they reach that address only while they are "
                "in the mesh, and a client that has lost the server never finds it again",
                "remove the record", entry=number,
            )  # fmt: skip
