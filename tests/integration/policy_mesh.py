# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real mesh on loopback that is asked what a policy means: by the packet filter of each client's network map."""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import Node
from policy_strategies import SUBNET, USERS

from .api_fixtures import running, tailscaled, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DEADLINE_S = 60
_EXIT = "0.0.0.0/0,::/0"
# Name, user, tags and routes.
_MACHINES = (
    ("laptop", "alice", (), ""),
    ("phone", "alice", (), ""),
    ("desk", "bob", (), ""),
    ("tv", "carol", (), ""),
    ("web", None, ("tag:web", "tag:db"), ""),
    ("router", None, ("tag:router",), SUBNET),
    ("exit", None, ("tag:exit",), _EXIT),
)


class _LocalAPI(http.client.HTTPConnection):
    """The API that tailscaled offers on its socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("local-tailscaled.sock", timeout=_DEADLINE_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _ask(path: Path, what: str) -> Any:
    with contextlib.closing(_LocalAPI(path)) as api:
        api.request("GET", f"/localapi/v0/{what}", headers={"Sec-Tailscale": "localapi"})
        return json.loads(api.getresponse().read())


@dataclass(frozen=True)
class View:
    """What one client was told."""

    matches: list[dict[str, Any]]
    peers: frozenset[str]

    def accepts(self, source: str, target: str, protocol: int, port: int) -> bool:
        """Whether Tailscale's packet filter accepts a packet that opens a connection (wgengine/filter, `runIn4`)."""
        return any(_accepts(match, source, target, protocol, port) for match in self.matches)


_network = functools.cache(ip_network)
_address = functools.cache(ip_address)


def _accepts(match: dict[str, Any], source: str, target: str, protocol: int, port: int) -> bool:
    if not any(_address(source) in _network(network) for network in match["Srcs"] or ()):
        return False
    ports = [one["Ports"] for one in match["Dsts"] or () if _address(target) in _network(one["Net"])]
    if protocol in (1, 58) and protocol == (58 if ":" in source else 1):
        return bool(ports)
    if protocol not in match["IPProto"]:
        return False
    if protocol in (6, 17, 132):
        return any(one["First"] <= port <= one["Last"] for one in ports)
    return {"First": 0, "Last": 65535} in ports


class PolicyMesh:
    """A server with seven clients."""

    def __init__(self, api: HeadscaleAPI, sockets: dict[str, Path]) -> None:
        """Keep where everything is."""
        self.api, self._sockets = api, sockets
        self.nodes = [Node.read(str(record["name"]), record) for record in api.list_nodes()]
        self._markers = itertools.count(1)
        self.cases = 0

    def install(self, policy: dict[str, Any]) -> tuple[dict[str, Any], dict[str, View]]:
        """Install a policy; return it as installed, and each client's view of it."""
        number = next(self._markers)
        # A source that no node has tells this policy's filter from the previous one.
        marker = f"198.18.{number // 256}.{number % 256}"
        marked = {**policy, "grants": [*policy["grants"], {"src": [marker], "dst": ["*"], "ip": ["tcp:1"]}]}
        self.api.set_policy(json.dumps(marked))
        return marked, {name: self._view(path, f"{marker}/32") for name, path in self._sockets.items()}

    def _view(self, path: Path, marker: str) -> View:
        end = time.monotonic() + _DEADLINE_S
        while True:
            matches = _ask(path, "debug-packet-filter-matches") or []
            if any(marker in (match["Srcs"] or ()) for match in matches):
                return View(matches, self.peers(path))
            if time.monotonic() > end:
                pytest.fail(f"{path} has no filter with {marker}")
            time.sleep(0.02)

    def peers(self, path: Path) -> frozenset[str]:
        """Return the names of the nodes that a client sees."""
        return frozenset(peer["HostName"] for peer in (_ask(path, "status")["Peer"] or {}).values())

    def sees(self, name: str, other: str, expected: bool) -> bool:
        """Whether a client sees another, allowing a network map a moment to arrive in full."""
        end = time.monotonic() + 5
        while (found := other in self.peers(self._sockets[name])) != expected and time.monotonic() < end:
            time.sleep(0.05)
        return found


def _join(
    api: HeadscaleAPI, url: str, tailscale: Callable[..., Any], machine: tuple[str, str | None, tuple[str, ...], str]
) -> None:
    name, user, tags, routes = machine
    numbers = {record["name"]: str(record["id"]) for record in api.list_users()}
    expiration = datetime.now(UTC) + timedelta(hours=1)
    _record, key = api.create_preauthkey(user_id=numbers.get(user or ""), expiration=expiration, tags=tags)
    tailscale(
        "up", f"--login-server={url}", f"--auth-key={key}", f"--hostname={name}", f"--advertise-routes={routes}",
        "--accept-dns=false", "--timeout=25s",
    )  # fmt: skip


@contextlib.contextmanager
def policy_mesh(directory: Path) -> Iterator[PolicyMesh]:
    """Run a server and its clients."""
    with (
        running(directory / "server", more={"tuning": {"batch_change_delay": "20ms"}}) as server,
        contextlib.ExitStack() as stack,
    ):
        api = HeadscaleAPI(url=server.url, api_key=server.new_api_key())
        for user in USERS:
            api.create_user(name=user, email=f"{user}@example.com")
        clients = {name: stack.enter_context(tailscaled(directory / name)) for name, *_rest in _MACHINES}
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda machine: _join(api, server.url, clients[machine[0]], machine), _MACHINES))
        routed = {name: routes.split(",") for name, _user, _tags, routes in _MACHINES if routes}
        wait_for(lambda: sum(bool(record["available_routes"]) for record in api.list_nodes()) == len(routed), "routes")
        for record in api.list_nodes():
            if record["name"] in routed:
                api.approve_routes(record["id"], routed[record["name"]])
        yield PolicyMesh(api, {name: directory / name / "t.sock" for name in clients})
