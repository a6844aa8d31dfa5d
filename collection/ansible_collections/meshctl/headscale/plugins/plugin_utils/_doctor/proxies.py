# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Know the reverse proxies that people put in front of Headscale, and their directives."""

from __future__ import annotations

from dataclasses import dataclass

from .._judge.answer import Json, mapping, text


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy, and the directives that matter."""

    upgrade: str
    """How it passes on an upgrade."""
    reject: str
    """What rejects requests."""
    login: str
    """What asks for a password or a login."""
    limit: str
    """What limits how often requests are answered."""
    redirect: str
    """What redirects them."""
    backend: str
    """What names the server behind it."""
    idle: str
    """What ends connections on which nothing was sent for a while."""


NGINX = Proxy(
    upgrade="set `proxy_http_version 1.1`, `proxy_set_header Upgrade $http_upgrade` and "
    "`proxy_set_header Connection $connection_upgrade`",
    reject="`deny`, `limit_except`, or `return` below an `if`",
    login="`auth_basic` or `auth_request`",
    limit="`limit_req`, `limit_conn` or `return`",
    redirect="`return`, `rewrite`, or `error_page` with `auth_request`",
    backend="`proxy_pass`",
    idle="`proxy_read_timeout` and `proxy_send_timeout`",
)
CADDY = Proxy(
    upgrade="`reverse_proxy` forwards it by default: remove `header_up` for Upgrade and Connection, and `transport` with "
    "versions other than 1.1",
    reject="`respond`, `error` or `abort`",
    login="`basic_auth` or `forward_auth`",
    limit="`rate_limit`",
    redirect="`redir` or `forward_auth`",
    backend="`reverse_proxy`",
    idle="`stream_timeout`, and `read_timeout` and `write_timeout` of its `transport`",
)
HAPROXY = Proxy(
    upgrade="it forwards it by default: remove `http-request del-header` and `http-request set-header` for Upgrade and Connection",
    reject="`http-request deny`",
    login="`http-request auth`",
    limit="`http-request deny` with a `stick-table`",
    redirect="`http-request redirect`",
    backend="`server` in the backend",
    idle="`timeout client`, `timeout server` and `timeout tunnel`",
)
APACHE = Proxy(
    upgrade="add `upgrade=ANY` to `ProxyPass`",
    reject="`Require`, or `RewriteRule` with the flag F",
    login="`AuthType` with `Require valid-user`",
    limit="the module that limits requests",
    redirect="`Redirect` or `RewriteRule`",
    backend="`ProxyPass`",
    idle="`ProxyTimeout`, `ProxyWebsocketIdleTimeout`, and `timeout=` of `ProxyPass`",
)
UNNAMED = "a proxy"
_BY_NAME = {"nginx": NGINX, "caddy": CADDY, "apache": APACHE, "haproxy": HAPROXY}
# HAProxy adds no header; these are its pages.
_HAPROXY_SAYS = (
    "Request forbidden by administrative rules.", "No server is available to handle this request.",
    "You have sent too many requests in a given amount of time.", "You need a valid user and password to access this content.",
    "The server didn't respond in time.", "The server returned an invalid or incomplete response.",
)  # fmt: skip
_UNKNOWN = Proxy(
    upgrade=f"in nginx, {NGINX.upgrade}; in Apache, {APACHE.upgrade}; in HAProxy, remove `http-request del-header Upgrade`; bypass "
    "proxies that cannot forward it (Cloudflare)",
    reject="the rule",
    login="its authentication",
    limit="its rate limit",
    redirect="the redirect, or its login",
    backend="the address of headscale",
    idle="its idle timeouts",
)


def name(row: dict[str, Json]) -> str:
    """Return the program that answered, by its own name."""
    said = text(mapping(row.get("headers")).get("server"))
    return said or ("HAProxy" if _is_haproxy(row) else UNNAMED)


def of(row: dict[str, Json]) -> Proxy:
    """Return the proxy that answered."""
    known = name(row).lower()
    return next((proxy for word, proxy in _BY_NAME.items() if known.startswith(word)), _UNKNOWN)


def _is_haproxy(row: dict[str, Json]) -> bool:
    return any(said in text(row.get("body")) for said in _HAPROXY_SAYS)
