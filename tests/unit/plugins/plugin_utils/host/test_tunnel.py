# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages are fetched through the HTTP proxy of tailscaled's environment, as tailscaled does."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import tunnel, web

_SECRET = "user:p%40ss"


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example.com:3128"}, ("proxy.example.com", 3128, "")),
        ({"https_proxy": "proxy:3128/"}, ("proxy", 3128, "")),
        ({"HTTPS_PROXY": f"http://{_SECRET}@[2001:db8::1]:8080"}, ("2001:db8::1", 8080, _SECRET)),
        ({"HTTPS_PROXY": "http://proxy"}, ("proxy", 80, "")),
        ({"HTTPS_PROXY": "socks5://proxy:1080"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "localhost, .example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "hs.example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "ample.com,10.0.0.0/8"}, ("proxy", 1, "")),
    ],
)
def test_the_proxy_of_an_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: Any) -> None:
    monkeypatch.setattr(tunnel, "_environment", lambda: environment)
    assert tunnel.proxy_of("hs.example.com") == found


def test_networks_need_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "_environment", lambda: {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "10.0.0.0/8"})
    assert tunnel.proxy_of("10.1.2.3") is None
    assert tunnel.proxy_of("192.0.2.1") == ("proxy", 1, "")


def _proxy(answer: bytes) -> tuple[socket.socket, list[bytes]]:
    listener, asked = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        peer, _address = listener.accept()
        with peer:
            asked.append(peer.recv(4096))
            peer.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listener, asked


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy", "answers 403 when asked for hs.example.com:443"),
        (b"", "proxy", "answers nothing when asked for hs.example.com:443"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "handshake", ""),
    ],
)
def test_what_a_proxy_answers(monkeypatch: pytest.MonkeyPatch, answer: bytes, outcome: str, said: str) -> None:
    listener, asked = _proxy(answer)
    with listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(tunnel, "_environment", lambda: {"HTTPS_PROXY": f"http://{_SECRET}@127.0.0.1:{port}"})
        page = {"url": "https://hs.example.com/health", "as_tailscaled": True}
        row: dict[str, Any] = web.fetch({"targets": [page]}, time.monotonic() + 10)[0]
    assert row["proxy"] == f"127.0.0.1:{port}"
    assert row["outcome"] in (outcome, "broken", "reset") if outcome == "handshake" else row["outcome"] == outcome
    assert said in row.get("error", "")
    assert asked[0].startswith(b"CONNECT hs.example.com:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in asked[0]
    assert "p@ss" not in str(row)


def test_only_what_tailscaled_asks_goes_through_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "_environment", lambda: {"HTTPS_PROXY": "http://127.0.0.1:1"})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        row: dict[str, Any] = web.fetch(
            {"targets": [{"url": f"https://127.0.0.1:{listener.getsockname()[1]}/"}], "try_timeout_s": 1},
            time.monotonic() + 10,
        )[0]
    assert "proxy" not in row
