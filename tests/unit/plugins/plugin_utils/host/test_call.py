# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host makes a request with its own key."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = {"/refused": 400, "/moved": 302}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        # What repeats the key would not come back.
        shown = self.headers["Authorization"].swapcase()
        self.wfile.write(f"{self.path} {shown} ".encode() + body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("hskey-api-x\n")
    path.chmod(0o600)
    return path


def ask(url: str, key: Path, **more: Any) -> dict[str, Any]:
    request = {
        "method": "POST", "url": url, "headers": {}, "body": "{}", "api_key_file": str(key), "timeout": 5, "largest": 1000, **more,
    }  # fmt: skip
    return call.main(request)


def test_the_key_of_the_host_is_used(url: str, key: Path) -> None:
    found = ask(f"{url}/api", key)
    assert (found["status"], found["body"], found["exposed"]) == (200, "/api bEARER HSKEY-API-X {}", False)
    assert found["headers"]["Content-Type"] == "application/json"


def test_refusals_and_redirects_are_answers(url: str, key: Path) -> None:
    assert ask(f"{url}/refused", key)["status"] == 400
    moved = ask(f"{url}/moved", key)
    assert (moved["status"], moved["headers"]["Location"]) == (302, "/elsewhere")


def test_others_can_read_the_key(url: str, key: Path) -> None:
    key.chmod(0o644)
    assert ask(url, key)["exposed"]


@pytest.mark.parametrize("text", ["", "two words", "two\nlines"])
def test_a_file_without_a_key_is_a_problem(url: str, key: Path, text: str) -> None:
    key.write_text(text)
    assert set(ask(url, key)) == {"problem"}


def test_problems(url: str, key: Path, tmp_path: Path) -> None:
    assert "too large" in ask(url, key, largest=3)["problem"]
    assert "No such file" in ask(url, tmp_path / "none")["problem"]
    assert "refused" in ask("http://127.0.0.1:9", key)["problem"]
