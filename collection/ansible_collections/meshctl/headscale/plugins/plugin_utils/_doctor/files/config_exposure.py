# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find settings that expose the server more than they need to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network

from ..._judge.answer import address
from ..._judge.interfaces import is_local
from .. import urls
from .finding import Finding
from .settings import Settings

_WORLD, _GROUP = 0o007, 0o070
_MANY_V4, _MANY_V6 = 16, 48


def findings(settings: Settings) -> Iterator[Finding]:
    """Return what makes the server easier to attack, or tells others more than necessary."""
    yield from _listeners(settings)
    yield from _tls(settings)
    yield from _relay(settings)
    yield from _proxies(settings)
    yield from _socket(settings)
    yield from _logs(settings)
    yield from _sign_in(settings)


def is_loopback(listen: str) -> bool:
    """Whether only programs of the same host can connect to a listener."""
    host = re.sub(r":[^:\]]*$", "", listen).strip("[]")
    return urls.is_loopback(host)


def _listeners(settings: Settings) -> Iterator[Finding]:
    metrics = settings.text("metrics_listen_addr")
    if metrics and not is_loopback(metrics):
        yield settings.finding(
            "metrics", "medium", "metrics_listen_addr",
            "the metrics and debug pages listen for other hosts, without a password: they show nodes and traffic",
            "write 127.0.0.1:9090, or block other hosts with a firewall",
        )  # fmt: skip
    if settings.flag("grpc_allow_insecure", otherwise=False) and not is_loopback(
        settings.text("grpc_listen_addr", ":50443")
    ):
        yield settings.finding(
            "grpc", "high", "grpc_allow_insecure", "API keys cross the network without encryption",
            "set grpc_allow_insecure to false, or grpc_listen_addr to 127.0.0.1:50443",
        )  # fmt: skip


def _tls(settings: Settings) -> Iterator[Finding]:
    own = any(settings.text(name) for name in ("tls_cert_path", "tls_letsencrypt_hostname"))
    listen = settings.text("listen_addr")
    if not own and listen and not is_loopback(listen) and settings.text("server_url").startswith("https://"):
        yield settings.finding(
            "tls.listener", "low", "listen_addr",
            "Headscale itself listens for other hosts without TLS: API keys sent to it directly cross the network unencrypted",
            "have it listen on 127.0.0.1 for the proxy, or give it a certificate",
        )  # fmt: skip
    if settings.text("database.type") == "postgres":
        host, mode = settings.text("database.postgres.host"), settings.text("database.postgres.ssl", "false")
        near = host.startswith("/") or host == "localhost" or (address(host) and is_local(address(host)))
        if host and not near and mode in ("false", "disable", "allow", "prefer"):
            yield settings.finding(
                "database.tls", "medium", "database.postgres.ssl", f"the connection to the database on {host} may be unencrypted",
                "set database.postgres.ssl to verify-full",
            )  # fmt: skip


def _relay(settings: Settings) -> Iterator[Finding]:
    name = "derp.server.verify_clients"
    if settings.flag("derp.server.enabled", otherwise=False) and not settings.flag(name, otherwise=True):
        yield settings.finding(
            "relay.open", "medium", name, "anyone can send traffic through the embedded relay", "write true"
        )


def _proxies(settings: Settings) -> Iterator[Finding]:
    for number, name in enumerate(settings.texts("trusted_proxies")):
        try:
            net = ip_network(name, strict=False)
        except ValueError:
            continue
        if 0 < net.prefixlen < (_MANY_V4 if net.version == 4 else _MANY_V6):  # noqa: PLR2004 - IPv4
            yield settings.finding(
                "trusted_proxies.broad", "medium", "trusted_proxies",
                f"every host in {name} can claim any source address in the log", "name the proxy alone, as in 192.0.2.10/32", entry=number,
            )  # fmt: skip


def _socket(settings: Settings) -> Iterator[Finding]:
    # A number is another finding.
    value = settings.get("unix_socket_permission")
    said = value if isinstance(value, str) else ""
    mode = int(said, 8) if re.fullmatch(r"[0-7]{1,6}", said) else 0o700
    if mode & _WORLD:
        yield settings.finding(
            "socket", "high", "unix_socket_permission", "every user of the server can administer Headscale through its socket",
            'write "0770", and add administrators to its group',
        )  # fmt: skip


def _logs(settings: Settings) -> Iterator[Finding]:
    if settings.text("log.level").lower() in ("debug", "trace"):
        yield settings.finding(
            "log.debug", "low", "log.level", "the log shows details of nodes and users, and grows fast", "write info"
        )
    if settings.flag("database.debug", otherwise=False):
        yield settings.finding(
            "log.debug", "low", "database.debug", "the log shows queries of the database", "write false"
        )
    if settings.flag("logtail.enabled", otherwise=False):
        yield settings.finding(
            "logtail",
            "low",
            "logtail.enabled",
            "clients send their logs to Tailscale Inc.",
            "write false, unless that is intended",
        )


def _sign_in(settings: Settings) -> Iterator[Finding]:
    rules = ("oidc.allowed_domains", "oidc.allowed_users", "oidc.allowed_groups")
    if settings.text("oidc.issuer") and not any(settings.texts(name) for name in rules):
        yield settings.finding(
            "oidc.open", "medium", "oidc.issuer", "any account at this provider can join the mesh",
            "set oidc.allowed_domains, oidc.allowed_groups or oidc.allowed_users",
        )  # fmt: skip
    secrets = [name for name in ("oidc.client_secret", "database.postgres.pass") if settings.text(name)]
    for name in secrets:
        yield settings.finding(
            "secret", "info", name, f"the file holds a secret ({name})",
            "keep it out of the repository: use oidc.client_secret_path, or the variable HEADSCALE_DATABASE_POSTGRES_PASS",
        )  # fmt: skip
