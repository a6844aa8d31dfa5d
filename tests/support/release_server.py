# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release server on loopback, pinned modules, and an empty cache."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from release_files import HEADSCALE, TAILSCALE, Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def release(tools: Path) -> Iterator[Release]:
    """Serve a release on loopback."""
    held = Release(tools)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.asked.append(self.path)
            content = held.files.get(self.path)
            if content is None:
                self.send_error(404, "Not Found")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: held.cut.get(self.path, len(content))])

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a directory of pinned modules, as `tools/` of the project."""
    directory = tmp_path / "tools"
    pins = {"headscale": ("github.com/juanfont/headscale", HEADSCALE), "tailscale": ("tailscale.com", TAILSCALE)}
    for name, (module, version) in pins.items():
        (directory / name).mkdir(parents=True)
        text = f"module meshctl.invalid/tools/{name}\n\ngo 1.21\n\nrequire (\n\t{module} v{version} // indirect\n)\n"
        (directory / name / "go.mod").write_text(text)
    return directory


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache directory that does not exist yet."""
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep loopback away from a proxy that the environment may name."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    for name in ("MESHCTL_TOOLS_DIR", "MESHCTL_CACHE_DIR", "MESHCTL_RELEASE_URL_HEADSCALE"):
        monkeypatch.delenv(name, raising=False)
