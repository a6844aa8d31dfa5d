# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy that answers is named, with its directive."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import control, proxies
from doctor import JSON
from hypothesis import given


def _row(status: int, server: str = "", body: str = "", **headers: str) -> dict[str, Any]:
    return {"outcome": "answered", "status": status, "body": body, "headers": {"server": server, **headers}}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (_row(500, "nginx/1.22.1"), "proxy_http_version 1.1"),
        (_row(500, "Caddy"), "`header_up`"),
        (_row(500, "Apache/2.4.71 (Debian)"), "`upgrade=ANY`"),
        (_row(500), "a proxy in front of headscale does not forward the upgrade: in nginx"),
        (
            _row(403, body="Request forbidden by administrative rules."),
            "HAProxy in front of headscale rejects clients (403)",
        ),
        (_row(503, body="No server is available to handle this request."), "HAProxy does not reach headscale (503)"),
        (_row(301, "nginx", location="https://h/x"), "redirects /ts2021 to https://h/x"),
        (_row(502, "Caddy"), "`reverse_proxy`"),
        (
            _row(401, "nginx/1.22.1"),
            "asks clients to log in (401), which they cannot: remove that for /ts2021 (`auth_basic`",
        ),
        (_row(401, "Caddy"), "`basic_auth` or `forward_auth`"),
        (_row(401, "Apache/2.4.71"), "`Require valid-user`"),
        # Headscale itself says so of an upgrade to websocket.
        (_row(405, "nginx/1.22.1"), "does not forward the upgrade"),
        (_row(400, "nginx/1.22.1", "<h1>No required SSL certificate was sent</h1>"), "remove `ssl_verify_client`"),
        (_row(400, "nginx/1.22.1"), "proxy_http_version 1.1"),
        (_row(429, "Caddy"), "turns clients away (429)"),
        (_row(503, "nginx/1.22.1"), "`limit_req`, `limit_conn` or `return`"),
        (_row(503, "Apache/2.4.71"), "does not reach headscale (503)"),
    ],
)
def test_an_upgrade_that_fails(row: dict[str, Any], words: str) -> None:
    assert words in control.not_upgraded(row)


def test_a_health_page_that_a_proxy_answers() -> None:
    assert "`proxy_pass`" in control.unwell(_row(502, "nginx/1.22.1"))
    assert "its database or the proxy" in control.unwell(_row(500, "nginx/1.22.1"))
    assert "(`reverse_proxy`)" in control.unwell(_row(200, "Caddy", "<html>"))
    assert "redirects /health to https://login/" in control.unwell(_row(302, "nginx", location="https://login/"))
    assert "asks clients to log in (401)" in control.unwell(_row(401, "Caddy"))


def test_who_does_not_answer_rejects_nobody() -> None:
    ours = _row(200, "nginx")
    assert "rejects the User-Agent" in control.agent_rejected(_row(403, "nginx"), ours)
    assert control.agent_rejected({"outcome": "timeout", "status": None}, ours) == ""


def test_the_relay_is_named() -> None:
    assert control.refused(_row(403, "nginx"), "/derp", "the relay").startswith(
        "nginx in front of the relay rejects clients"
    )


@given(JSON)
def test_any_answer_has_a_name(value: Any) -> None:
    row = {"headers": value, "body": value}
    assert proxies.name(row)
    assert proxies.of(row).upgrade


def test_a_connection_that_is_closed_before_tls_may_be_one_to_a_program_that_starts() -> None:
    said = control.no_answer({"outcome": "handshake", "error": "TLS/SSL connection has been closed (EOF)"}, "derper")
    assert "it may just start or end" in said
    assert "may just start" not in control.no_answer(
        {"outcome": "handshake", "error": "WRONG_VERSION_NUMBER"}, "derper"
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"outcome": "proxy", "connected": True, "error": "answers 403 when asked for h:443"},
            "which answers 403 when asked for h:443",
        ),
        ({"outcome": "refused", "connected": False}, "which does not answer (refused): correct or remove HTTPS_PROXY"),
        ({"outcome": "answered", "connected": True}, ""),
        ({"outcome": "tls", "connected": True, "error": "self-signed certificate"}, ""),
    ],
)
def test_the_proxy_through_which_a_client_asks(row: dict[str, Any], said: str) -> None:
    found = control.unproxied({"proxy": "10.0.0.20:3128", **row})
    assert said in found if said else found == ""
    assert control.unproxied(row) == ""
