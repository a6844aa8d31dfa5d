# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made of the controller's own tailscaled: never an error, whatever listens there."""

from __future__ import annotations

import contextlib
import http.server
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import tailscaled
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.tailscaled import operating_systems

_STATUS = """{"Self": {"PublicKey": "nodekey:a", "OS": "linux"}, "Peer": {
    "nodekey:b": {"PublicKey": "nodekey:b", "OS": "macOS"}, "nodekey:c": {"PublicKey": "nodekey:c", "OS": ""}}}"""


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return what makes a stand-in for LocalAPI that gives this answer."""
    servers = []

    def serve(body: str, status: int = 200) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.headers["Host"] == "local-tailscaled.sock" else 403)
                self.end_headers()
                self.wfile.write(body.encode())

            def address_string(self) -> str:
                return "socket"

            def log_message(self, *_words: object) -> None:
                pass

        path = tmp_path / f"{len(servers)}.sock"
        server = socketserver.UnixStreamServer(str(path), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return str(path)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_node_that_it_is_shown(answering: Callable[[str], str]) -> None:
    assert operating_systems(answering(_STATUS)) == {"nodekey:a": "linux", "nodekey:b": "macOS"}


@pytest.mark.parametrize("body", ["", "null", "[]", "no JSON", '{"Self": 3, "Peer": []}', '{"Peer": {"x": null}}'])
def test_an_answer_of_something_else(answering: Callable[[str], str], body: str) -> None:
    assert operating_systems(answering(body)) == {}


def test_a_status_that_is_refused(answering: Callable[..., str]) -> None:
    assert operating_systems(answering(_STATUS, 403)) == {}


def test_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert operating_systems(str(tmp_path / "file")) == operating_systems(str(tmp_path / "none")) == {}
    assert operating_systems("") == {}


@pytest.mark.parametrize("conduct", ["trickles", "trickles headers", "floods", "nests"])
def test_whatever_listens_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conduct: str) -> None:
    monkeypatch.setattr(tailscaled, "_PATIENCE_S", 0.5)
    stop = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with contextlib.suppress(OSError):
                if conduct == "trickles headers":
                    self.request.sendall(b"HTTP/1.1 200 OK\r\nA: ")
                else:
                    self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                if conduct == "nests":
                    self.request.sendall(b"[" * 100_000)
                while conduct != "nests" and not stop.wait(0.05 if "trickles" in conduct else 0):
                    self.request.sendall(b"x" * (1 if "trickles" in conduct else 1 << 20))

    path = tmp_path / "hostile.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        began = time.monotonic()
        assert operating_systems(str(path)) == {}
        assert time.monotonic() - began < 5
        stop.set()
        server.shutdown()
