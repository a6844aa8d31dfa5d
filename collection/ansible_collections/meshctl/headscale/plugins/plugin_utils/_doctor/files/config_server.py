# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the prefixes, the certificates, the database, the timers and the other settings that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from .. import urls
from ..prefixes import CHROME_OS, SUPPORTED, Network, inside
from .finding import Finding
from .keys import KEYS
from .settings import Settings, duration

_SHORTEST_INACTIVITY_S = 65
_FEWEST = 8
_MODES = ("file", "database")
_DATABASES = ("sqlite", "sqlite3", "postgres")
_CHALLENGES = ("HTTP-01", "TLS-ALPN-01")
_PKCE = ("S256", "plain")
_DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)*")
_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic", "disabled")


def findings(settings: Settings) -> Iterator[Finding]:
    """Return the settings that keep Headscale from starting or do not work."""
    yield from _prefixes(settings)
    yield from _required(settings)
    yield from _certificates(settings)
    yield from _database(settings)
    yield from _timers(settings)
    yield from _choices(settings)


def _prefixes(settings: Settings) -> Iterator[Finding]:
    given = {f"prefixes.{family}": settings.text(f"prefixes.{family}") for family in ("v4", "v6")}
    if not any(given.values()):
        yield settings.finding(
            "prefixes", "high", "prefixes", "no prefix is configured, and Headscale refuses to start",
            "set prefixes.v4 (100.64.0.0/10) or prefixes.v6 (fd7a:115c:a1e0::/48)", stops=True,
        )  # fmt: skip
    for name, said in given.items():
        if said:
            yield from _prefix(settings, name, said)
    if settings.text("prefixes.allocation", "sequential") not in ("sequential", "random"):
        yield settings.finding(
            "prefixes", "high", "prefixes.allocation", "Headscale does not know this allocation, and refuses to start",
            "write sequential or random", stops=True,
        )  # fmt: skip


def _prefix(settings: Settings, name: str, said: str) -> Iterator[Finding]:
    net = _network(said)
    if net is None or "/" not in said:
        yield settings.finding(
            "prefixes", "high", name, f"{said!r} is not a prefix, and Headscale refuses to start", "write one, such as 100.64.0.0/10",
            stops=True,
        )  # fmt: skip
    elif net.version != int(name[-1]):
        yield settings.finding("prefixes", "high", name, f"{said} is a prefix of the other family", "correct it")
    elif not (room := _room(net)):
        yield settings.finding(
            "prefixes", "high", name, f"{said} has no address for a node, because the first, the last and those of "
            f"{CHROME_OS} are not given to nodes: Headscale lets none join", "use 100.64.0.0/10 and fd7a:115c:a1e0::/48",
        )  # fmt: skip
    elif net.num_addresses < _FEWEST:
        yield settings.finding(
            "prefixes", "medium", name, f"{said} has room for {room} nodes, and Headscale refuses further ones",
            "use a larger part of 100.64.0.0/10 or of fd7a:115c:a1e0::/48, such as all of it",
        )  # fmt: skip
    elif not any(inside(net, known) for known in SUPPORTED):
        yield settings.finding(
            "prefixes", "high", name, f"{said} is not part of a range that clients support",
            "use a part of 100.64.0.0/10 or of fd7a:115c:a1e0::/48",
        )  # fmt: skip


def _network(said: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(said, strict=False)
    except ValueError:
        return None


def _room(net: Network) -> int:
    """Return how many nodes can have an address of a prefix."""
    return 0 if inside(net, CHROME_OS) else max(0, net.num_addresses - 2)


def _required(settings: Settings) -> Iterator[Finding]:
    if not settings.text("noise.private_key_path"):
        yield settings.finding(
            "required", "high", "noise.private_key_path", "noise.private_key_path is missing, and Headscale refuses to start",
            "set it to a file in Headscale's state directory", stops=True,
        )  # fmt: skip
    for name in settings.texts("trusted_proxies"):
        net = _network(name)
        if net is None or "/" not in name or not net.prefixlen:
            yield settings.finding(
                "trusted_proxies", "high", "trusted_proxies", f"Headscale refuses to start with the trusted proxy {name!r}",
                "write the prefix of the proxy, such as 127.0.0.1/32", stops=True,
            )  # fmt: skip


def _certificates(settings: Settings) -> Iterator[Finding]:
    certificate, key = "tls_cert_path", "tls_key_path"
    has = {name: bool(settings.text(name)) for name in (certificate, key, "tls_letsencrypt_hostname")}
    if has["tls_letsencrypt_hostname"] and (has[certificate] or has[key]):
        yield settings.finding(
            "tls", "high", "tls_letsencrypt_hostname",
            "tls_letsencrypt_hostname and tls_cert_path or tls_key_path are set, and Headscale refuses to start",
            "keep one kind of certificate", stops=True,
        )  # fmt: skip
    elif has[certificate] != has[key]:
        present, missing = (certificate, key) if has[certificate] else (key, certificate)
        yield settings.finding(
            "tls", "high", present, f"{missing} is missing: a certificate needs both files", "set it"
        )
    wanted, named = urls.host(settings.text("server_url")), settings.text("tls_letsencrypt_hostname").lower()
    if named and wanted and named != wanted:
        yield settings.finding(
            "tls", "high", "tls_letsencrypt_hostname", f"the certificate is for {named}, and clients ask for {wanted}",
            "write the host of server_url in both",
        )  # fmt: skip
    if settings.text("tls_letsencrypt_challenge_type", "HTTP-01") not in _CHALLENGES:
        yield settings.finding(
            "tls", "high", "tls_letsencrypt_challenge_type", "Headscale does not know this challenge, and refuses to start",
            "write HTTP-01 or TLS-ALPN-01", stops=True,
        )  # fmt: skip


def _database(settings: Settings) -> Iterator[Finding]:
    kind = settings.text("database.type")
    if kind not in _DATABASES:
        yield settings.finding(
            "database", "high", "database.type", "Headscale does not know this database, and refuses to start",
            "write sqlite or postgres", stops=True,
        )  # fmt: skip
    elif kind == "postgres":
        for name in ("host", "name", "user"):
            if not settings.text(f"database.postgres.{name}"):
                yield settings.finding(
                    "database", "high", f"database.postgres.{name}", "the database needs this setting", "set it"
                )
        if re.search(r"[\s'\\]", settings.text("database.postgres.pass")):
            yield settings.finding(
                "database", "high", "database.postgres.pass",
                "the password has blanks, quotes or backslashes, which Headscale does not quote: it does not start, and logs part of the password",
                "use another password",
            )  # fmt: skip
    elif not settings.text("database.sqlite.path"):
        yield settings.finding("database", "high", "database.sqlite.path", "the database has no file", "set it")


def _timers(settings: Settings) -> Iterator[Finding]:
    name = "node.ephemeral.inactivity_timeout"
    old = "ephemeral_node_inactivity_timeout"
    used = old if old in settings and name not in settings else name
    if _is_readable(settings, used) and settings.seconds(used, 120) <= _SHORTEST_INACTIVITY_S:
        yield settings.finding(
            "timer", "high", used, f"{used} is not above 65 s, and Headscale refuses to start", "write 30m", stops=True
        )
    interval, timeout = "node.routes.ha.probe_interval", "node.routes.ha.probe_timeout"
    every, wait = settings.seconds(interval, 10), settings.seconds(timeout, 5)
    readable = _is_readable(settings, interval) and _is_readable(settings, timeout)
    if readable and every > 0 and (every < 2 or wait < 1 or wait >= every):  # noqa: PLR2004 - Headscale's own limits
        yield settings.finding(
            "timer", "high", interval if every < 2 else timeout,  # noqa: PLR2004
            f"{interval} must be at least 2 s and longer than {timeout}, which must be at least 1 s; Headscale refuses to start",
            "write 10s and 5s, or 0 for no probes", stops=True,
        )  # fmt: skip
    for name, found in (
        ("tuning.node_store_batch_size", settings.text("tuning.node_store_batch_size", "100").lstrip("0")),
        ("tuning.node_store_batch_timeout", settings.seconds("tuning.node_store_batch_timeout", 0.5) > 0),
    ):
        if _is_readable(settings, name) and (not found or str(found).startswith("-")):
            yield settings.finding(
                "timer",
                "high",
                name,
                f"{name} is not above zero, and Headscale refuses to start",
                "remove it",
                stops=True,
            )


def _is_readable(settings: Settings, name: str) -> bool:
    """Whether Headscale can read a setting; if not, that is another finding."""
    value = settings.get(name)
    return (
        name not in settings
        or KEYS.get(name) == "int"
        or (isinstance(value, str) and duration(value) is not None)
        or value == 0
    )


def _choices(settings: Settings) -> Iterator[Finding]:
    mode, path = settings.text("policy.mode", "file"), settings.text("policy.path")
    if mode not in _MODES:
        yield settings.finding(
            "policy", "high", "policy.mode", "Headscale does not know this mode, reads no policy, and lets all packets pass",
            "write file or database",
        )  # fmt: skip
    elif mode == "database" and path:
        yield settings.finding(
            "policy",
            "low",
            "policy.path",
            "policy.path is ignored, because policy.mode is database",
            "remove one of them",
        )
    if settings.text("log.level", "info").lower() not in _LEVELS:
        yield settings.finding(
            "log", "medium", "log.level", "Headscale does not know this level, and logs everything", "write info"
        )
    if settings.text("log.format", "text") not in ("text", "json", ""):
        yield settings.finding(
            "log", "medium", "log.format", "Headscale does not know this format", "write text or json"
        )
    if settings.text("oidc.client_secret") and settings.text("oidc.client_secret_path"):
        yield settings.finding(
            "oidc", "high", "oidc.client_secret", "oidc.client_secret and oidc.client_secret_path are both set, and Headscale refuses "
            "to start", "keep oidc.client_secret_path", stops=True,
        )  # fmt: skip
    yield from _sign_in(settings)


def _sign_in(settings: Settings) -> Iterator[Finding]:
    """Return what keeps users from logging in at their provider."""
    if not settings.text("oidc.issuer"):
        return
    if "/.well-known" in settings.text("oidc.issuer"):
        yield settings.finding(
            "oidc", "high", "oidc.issuer", "oidc.issuer is the address of the provider's description, to which Headscale adds "
            "/.well-known/openid-configuration itself", "write the URL before /.well-known",
        )  # fmt: skip
    if "oidc.scope" in settings and "openid" not in settings.texts("oidc.scope"):
        yield settings.finding(
            "oidc", "high", "oidc.scope", "without the scope openid, the provider sends no token with the user's name",
            "add openid",
        )  # fmt: skip
    if settings.flag("oidc.pkce.enabled", otherwise=False) and settings.text("oidc.pkce.method", "S256") not in _PKCE:
        yield settings.finding(
            "oidc", "medium", "oidc.pkce.method", "Headscale does not know this method, and logs users in without PKCE", "write S256",
        )  # fmt: skip
    for number, domain in enumerate(settings.texts("oidc.allowed_domains")):
        if not _DOMAIN.fullmatch(domain):
            yield settings.finding(
                "oidc", "high", "oidc.allowed_domains", f"{domain!r} is not a domain, so no mail address belongs to it",
                "write what follows @ in the addresses of users, such as example.com", entry=number,
            )  # fmt: skip
    if not settings.text("oidc.client_id"):
        yield settings.finding(
            "oidc", "high", "oidc.client_id", "the provider does not know Headscale without oidc.client_id, so no user can log in",
            "set it to the id that the provider gave",
        )  # fmt: skip
