# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real headscale on loopback, for tests of the API client, the modules and the inventory plugin."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.plugin_utils._paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 30


def find_program(name: str) -> str:
    """Return a real binary: named by the environment, on PATH, or cached; skip the test without one."""
    named = os.environ.get(f"MESHCTL_TEST_{name.upper()}") or shutil.which(name)
    if named:
        return named
    cached = sorted((cache_dir() / "bin").glob(f"*/{name}"))
    if not cached:
        pytest.skip(f"no {name} found: set MESHCTL_TEST_{name.upper()}")
    return str(cached[-1])


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of a condition, or fail at the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.05)
    return value


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass
class RealHeadscale:
    """A running headscale in a directory of its own."""

    directory: Path
    executable: str
    tls: trustme.CA | None = None
    policy_mode: str = "database"
    url: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    config: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Choose ports and write the configuration."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config = self.directory / "config.yaml"
        http, metrics, grpc = free_ports(3)
        (stun,) = free_ports(1, socket.SOCK_DGRAM)
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{http}"
        self.config.write_text(yaml.safe_dump(self._settings(http, metrics, grpc, stun)))

    def _settings(self, http: int, metrics: int, grpc: int, stun: int) -> dict[str, Any]:
        base = self.directory
        return {
            "server_url": self.url,
            "listen_addr": f"127.0.0.1:{http}",
            "metrics_listen_addr": f"127.0.0.1:{metrics}",
            "grpc_listen_addr": f"127.0.0.1:{grpc}",
            "noise": {"private_key_path": str(base / "noise.key")},
            "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48", "allocation": "sequential"},
            "derp": {
                "server": {
                    "enabled": True,
                    "region_id": 999,
                    "region_code": "test",
                    "region_name": "test",
                    "stun_listen_addr": f"127.0.0.1:{stun}",
                    "private_key_path": str(base / "derp.key"),
                    "automatically_add_embedded_derp_region": True,
                    "ipv4": "127.0.0.1",
                },
                "urls": [],
                "paths": [],
                "auto_update_enabled": False,
            },
            "disable_check_updates": True,
            "database": {"type": "sqlite", "sqlite": {"path": str(base / "db.sqlite")}},
            "policy": self._policy(),
            "dns": {"magic_dns": True, "base_domain": "mesh.internal", "override_local_dns": False},
            "unix_socket": str(base / "hs.sock"),
            "unix_socket_permission": "0700",
            "logtail": {"enabled": False},
            **self._certificate(),
            **self.more,
        }

    def _policy(self) -> dict[str, str]:
        if self.policy_mode != "file":
            return {"mode": "database"}
        path = self.directory / "policy.hujson"
        path.write_text('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}')
        return {"mode": "file", "path": str(path)}

    def _certificate(self) -> dict[str, str]:
        if self.tls is None:
            return {}
        certificate = self.tls.issue_cert("127.0.0.1")
        key, chain = self.directory / "tls.key", self.directory / "tls.pem"
        certificate.private_key_pem.write_to_path(str(key))
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(str(chain), append=True)
        self.tls.cert_pem.write_to_path(str(self.ca_path))
        return {"tls_cert_path": str(chain), "tls_key_path": str(key)}

    @property
    def ca_path(self) -> Path:
        """The certificate authority's file, where the server speaks TLS."""
        return self.directory / "ca.pem"

    def start(self) -> None:
        """Start the server and wait until it is healthy."""
        log = (self.directory / "headscale.log").open("ab")
        command = [self.executable, "serve", "-c", str(self.config)]
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)
        wait_for(self._healthy, f"headscale to be healthy, see {self.directory / 'headscale.log'}")

    def _healthy(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.ca_path)) if self.tls else None
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", context=context) as answer:
            return bool(answer.status == 200)
        return False

    def stop(self) -> None:
        """Stop the server."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def command(self, *words: str) -> Any:
        """Return what the `headscale` command prints as JSON."""
        done = subprocess.run(
            [self.executable, "-c", str(self.config), *words, "-o", "json"],
            check=True,
            capture_output=True,
            cwd=self.directory,
        )
        return json.loads(done.stdout or "null")

    def new_api_key(self, expiration: str = "1d") -> str:
        """Make an API key with the server's own command."""
        return str(self.command("apikeys", "create", "-e", expiration))

    def new_node(self, name: str, user: str) -> str:
        """Register a node that no machine is behind; return its id."""
        auth_id = f"hskey-authreq-{secrets.token_urlsafe(18)}"
        self.command("debug", "create-node", "--name", name, "--user", user, "--key", auth_id)
        return str(self.command("auth", "register", "--auth-id", auth_id, "--user", user)["id"])


@contextlib.contextmanager
def running(directory: Path, **settings: Any) -> Iterator[RealHeadscale]:
    """Run a headscale of its own for a while."""
    server = RealHeadscale(directory, find_program("headscale"), **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def real_headscale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHeadscale]:
    """A headscale with an HTTP API and its policy in the database."""
    with running(tmp_path_factory.mktemp("headscale")) as server:
        yield server


@pytest.fixture(scope="session")
def real_headscale_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHeadscale]:
    """A headscale behind TLS of an authority that no system trusts, with its policy in a file."""
    with running(tmp_path_factory.mktemp("headscale-tls"), tls=trustme.CA(), policy_mode="file") as server:
        yield server


@pytest.fixture(scope="session")
def api_key(real_headscale: RealHeadscale) -> str:
    """An API key of the plain server."""
    return real_headscale.new_api_key()


@pytest.fixture
def api(real_headscale: RealHeadscale, api_key: str) -> HeadscaleAPI:
    """A client of the plain server."""
    return HeadscaleAPI(url=real_headscale.url, api_key=api_key)


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"t{secrets.token_hex(4)}"


@contextlib.contextmanager
def tailscaled(directory: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[bytes]]]:
    """Run a real tailscaled in userspace; yield what runs `tailscale` with it."""
    directory.mkdir()
    socket_path = directory / "t.sock"
    client = find_program("tailscale")
    arguments = ["--tun=userspace-networking", "--state=mem:", f"--statedir={directory}", f"--socket={socket_path}"]
    with (directory / "tailscaled.log").open("wb") as log:
        process = subprocess.Popen(
            [find_program("tailscaled"), *arguments, "--port=0", "--no-logs-no-support"],
            stdout=log,
            stderr=log,
            env={**os.environ, "TS_DISABLE_PORTMAPPER": "1", "TS_PANIC_IF_HIT_MAIN_CONTROL": "1"},
        )
    try:
        wait_for(socket_path.exists, "tailscaled's socket")
        yield lambda *words: subprocess.run(
            [client, f"--socket={socket_path}", *words], check=True, capture_output=True, timeout=DEADLINE_S
        )
    finally:
        process.terminate()
        process.wait(timeout=15)
