# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headscale and a relay behind real reverse proxies: the documented configurations work, and wrong ones are named."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import control
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import web
from proxies import PROGRAMS, RELAY, SERVER, Places, documented, running

from .api_fixtures import RealHeadscale, find_program, free_ports, real_headscale, tailscaled, unique, wait_for

__all__ = ["real_headscale", "unique"]
pytestmark = pytest.mark.integration
_URL = f"https://{SERVER}"
_NGINX_AGENT = 'location / {\nif ($http_user_agent ~ "Go-http-client") { return 403; }'
_NGINX_LIMIT = "limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;\nserver {\nlimit_req zone=one;"
_NGINX_CERTIFICATE = "server {\nssl_verify_client on; ssl_client_certificate /etc/ssl/mesh/chain.pem;"
_APACHE_AGENT = (
    "RewriteEngine On\nRewriteCond %{HTTP_USER_AGENT} ^Go-http-client\nRewriteRule ^ - [F]\nProxyPass / http"
)
_CADDY = "reverse_proxy 127.0.0.1:8080"
_APACHE = "127.0.0.1:8080/ upgrade=ANY"
# What is changed in the documented configuration, and what the doctor says.
WRONG = (
    ("nginx", "proxy_set_header Upgrade $http_upgrade;\n", "", "nginx/[^ ]+ .* forward the upgrade: set `proxy_http_version 1.1`"),
    ("nginx", "$http_upgrade;\n", "websocket;\n", "forward the upgrade: .*`proxy_set_header Upgrade"),
    ("nginx", "location / {", _NGINX_AGENT, "rejects the User-Agent Go-http-client .*`return` below an `if`"),
    ("nginx", "location / {", "location / { limit_except GET { deny all; }", r"rejects clients \(403\): .*`limit_except`"),
    ("nginx", "location / {", "location /ts2021 { return 301 https://$host:8443/; }\nlocation / {", "redirects /ts2021 to .*`return`"),
    ("nginx", "location / {", 'location / { auth_basic "x"; auth_basic_user_file /dev/null;', r"asks clients to log in \(401\).*`auth_basic`"),
    ("nginx", "location / {", "location / { return 302 https://login.example.com/;", "redirects /health to https://login.example.com/"),
    ("nginx", "server {", _NGINX_LIMIT, r"turns clients away \(503\).*`limit_req`"),
    ("nginx", "server {", _NGINX_CERTIFICATE, "asks clients for a certificate.*`ssl_verify_client`"),
    ("nginx", "8080", "9", r"nginx/[^ ]+ does not reach headscale \(502\): .*`proxy_pass`"),
    ("caddy", _CADDY, f"{_CADDY} {{\nheader_up -Upgrade\n}}", "Caddy .* forward the upgrade: .*`header_up`"),
    ("caddy", _CADDY, f"@go header User-Agent Go-http-client*\nrespond @go 403\n{_CADDY}", "rejects the User-Agent .*`respond`"),
    ("caddy", _CADDY, f"redir /ts2021 https://other.example.com\n{_CADDY}", "redirects /ts2021 to https://other.example.com.*`redir`"),
    ("caddy", "8080", "9", r"Caddy does not reach headscale \(502\): .*`reverse_proxy`"),
    ("haproxy", "default_backend", "http-request del-header Upgrade\n default_backend", "in HAProxy, remove `http-request del-header"),
    ("haproxy", "default_backend", "http-request deny if { path /ts2021 }\n default_backend",
     r"HAProxy .* rejects clients \(403\): .*`http-request deny`"),
    ("haproxy", "default_backend", "http-request deny deny_status 429\n default_backend",
     r"HAProxy .* turns clients away \(429\).*`http-request deny`"),
    # HAProxy itself tries four times.
    pytest.param("haproxy", "8080", "9", r"HAProxy does not reach headscale \(503\): .*`server` in the backend", marks=pytest.mark.slow),
    ("apache", _APACHE, "127.0.0.1:8080/", "Apache/.* forward the upgrade: add `upgrade=ANY` to `ProxyPass`"),
    ("apache", _APACHE, f"{_APACHE[:-3]}websocket", "add `upgrade=ANY` to `ProxyPass`"),
    ("apache", "ProxyPass / http", _APACHE_AGENT, "rejects the User-Agent .*`RewriteRule` with the flag F"),
)  # fmt: skip


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real derper that leaves TLS to its proxy."""
    directory = tmp_path_factory.mktemp("derper")
    (port,) = free_ports(1)
    options = ["-a", f"127.0.0.1:{port}", "-http-port", "-1", "-stun=false", "-c", str(directory / "key")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([find_program("derper"), *options], stdout=log, stderr=log, cwd=directory)
    wait_for(lambda: _listens(port), "derper listens")
    yield port
    process.terminate()
    process.wait(timeout=15)


@pytest.fixture
def places(tmp_path: Path, real_headscale: RealHeadscale, relay: int) -> Places:
    (https,) = free_ports(1)
    found = Places(tmp_path, https, int(real_headscale.url.rpartition(":")[2]), relay)
    found.certify(trustme.CA())
    return found


@contextlib.contextmanager
def _proxied(name: str, places: Places, text: str) -> Iterator[None]:
    if not shutil.which(PROGRAMS[name]):
        reason = f"{PROGRAMS[name]} is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with running(name, places, text) as process:
        wait_for(lambda: _listens(places.https) or process.poll() is not None, f"{name} listens")
        assert process.poll() is None, (places.directory / f"{name}.log").read_text()
        yield


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _fetched(places: Places, host: str, page: dict[str, Any]) -> dict[str, Any]:
    """Return a page as the probe fetches it from a host, which is the proxy on loopback here."""
    path = page["url"].removeprefix(f"https://{host}")
    ours = {"url": f"https://{host}:{places.https}{path}", "connect": "127.0.0.1", "host_header": host, "bypass": False}
    target = {**page, **ours, "ca_file": str(places.directory / "ca.pem")}
    row: dict[str, Any] = web.fetch({"targets": [target]}, time.monotonic() + 10)[0]
    return {**row, "url": page["url"]}


def _trouble(places: Places) -> str:
    """Return what the doctor says of the server, as its findings `server` and `proxy` do."""
    pages = control.asked(_URL)
    rows = [_fetched(places, SERVER, page) for page in pages]
    for row, page in zip(rows, pages, strict=True):
        if hint := control.agent_rejected(row, _fetched(places, SERVER, {**page, "user_agent": "meshctl"})):
            return hint
    return control.trouble(rows, _URL)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_documented_configuration_works(name: str, places: Places) -> None:
    with _proxied(name, places, documented(name)):
        assert _trouble(places) == ""
        derp = {**control.AS_CLIENT, "url": f"https://{RELAY}/derp", "upgrade": "DERP"}
        assert _fetched(places, RELAY, derp)["status"] == control.SWITCHING


@pytest.mark.parametrize(
    "name", ["nginx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("haproxy", "apache"))]
)
def test_a_real_client_joins_through_the_documented_configuration(
    name: str, places: Places, real_headscale: RealHeadscale, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caddy is left out: it serves no address without a name, and no name leads to loopback here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(places.directory / "ca.pem"))
    user = real_headscale.command("users", "create", unique)["id"]
    key = real_headscale.command("preauthkeys", "create", "-u", str(user))["key"]
    with _proxied(name, places, documented(name)), tailscaled(places.directory / "client") as tailscale:
        tailscale("up", f"--login-server=https://127.0.0.1:{places.https}", f"--auth-key={key}", f"--hostname={unique}")
        wait_for(lambda: _online(real_headscale, unique), "the server has the client online")


def _online(server: RealHeadscale, name: str) -> bool:
    return any(node["name"] == name and node.get("online") for node in server.command("nodes", "list") or [])


@pytest.mark.parametrize(("name", "old", "new", "said"), WRONG)
def test_a_wrong_configuration_is_named_with_its_directive(
    name: str, old: str, new: str, said: str, places: Places
) -> None:
    text = documented(name)
    assert old in text
    with _proxied(name, places, text.replace(old, new, 1)):
        found = _trouble(places)
    assert re.search(said, found), found


@pytest.mark.parametrize(("name", "old", "new"), [
    ("nginx", "proxy_set_header Upgrade $http_upgrade;", ""), ("caddy", "reverse_proxy 127.0.0.1:3340", "respond 403"),
    ("haproxy", "use_backend relay", "http-request deny if { path /derp }\n use_backend relay"),
    ("apache", "127.0.0.1:3340/ upgrade=ANY", "127.0.0.1:3340/"),
])  # fmt: skip
def test_a_wrong_configuration_in_front_of_a_relay_is_named(name: str, old: str, new: str, places: Places) -> None:
    head, found, tail = documented(name).rpartition(old)
    assert found
    with _proxied(name, places, head + new + tail):
        row = _fetched(places, RELAY, {**control.AS_CLIENT, "url": f"https://{RELAY}/derp", "upgrade": "DERP"})
    assert row["status"] != control.SWITCHING
    assert "in front of the relay" in control.refused(row, "/derp", "the relay")
