# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node that the module `node` returns after a change is the one that the server lists."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._http import Reply
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task
from ansible_collections.meshctl.headscale.plugins.modules.node import SPECIFICATION, handle

EXIT = ["0.0.0.0/0", "::/0"]
ALICE, TAGGED = {"id": "1", "name": "alice"}, {"id": "2147455555", "name": "tagged-devices"}


class _Server:
    """Answer as Headscale 0.29 does: changes return the node without its routes, and with its former user."""

    def __init__(self) -> None:
        self.node: dict[str, Any] = {
            "id": "7", "name": "debian", "givenName": "gateway", "user": ALICE, "tags": [],
            "approvedRoutes": ["10.0.0.0/24", *EXIT], "availableRoutes": ["10.0.0.0/24", *EXIT],
        }  # fmt: skip
        self.calls: list[str] = []

    def send(self, method: str, url: str, *, headers: Any, body: bytes | None) -> Reply:
        del headers
        path = url.partition("/api/v1/")[2].partition("?")[0]
        self.calls.append(f"{method} {path}")
        sent = json.loads(body) if body else {}
        if method == "GET":
            listed = {
                **self.node,
                "user": TAGGED if self.node["tags"] else ALICE,
                "subnetRoutes": self.node["approvedRoutes"],
            }
            return self._reply({"nodes": [listed] if self.node["id"] else []})
        if method == "DELETE":
            self.node["id"] = ""
            return self._reply({})
        if "rename" in path:
            self.node["givenName"] = path.rpartition("/")[2]
        elif "tags" in path:
            self.node["tags"] = sent["tags"]
        elif "approve_routes" in path:
            self.node["approvedRoutes"] = sent["routes"]
            served = [route for route in sent["routes"] if route not in EXIT]
            return self._reply({"node": {**self.node, "subnetRoutes": served}})
        else:
            self.node["expiry"] = "2020-01-31T12:00:00Z"
        return self._reply({"node": self.node})

    @staticmethod
    def _reply(document: dict[str, Any]) -> Reply:
        return Reply(status=200, body=json.dumps(document), content_type="application/json", location="", date=None)


def _handled(server: _Server, *, check: bool = False, **given: Any) -> dict[str, Any]:
    defaults = {name: option.get("default") for name, option in SPECIFICATION["options"].items()}
    module: Any = SimpleNamespace(params={**defaults, "name": "gateway", **given}, check_mode=check)
    return handle(Task(module, api=HeadscaleAPI(url="https://h.test", api_key="k", sender=server)))


CHANGES: list[dict[str, Any]] = [
    {"new_name": "router"},
    {"tags": ["tag:a"]},
    {"approved_routes": ["10.0.0.0/24"]},
    {"approved_routes": EXIT},
    {"expiry": "2030-01-31T12:00:00Z"},
    {"state": "expired"},
    {"new_name": "router", "tags": ["tag:a"], "approved_routes": EXIT},
]


@pytest.mark.parametrize("wanted", CHANGES)
def test_a_change_returns_the_node_that_the_server_lists(wanted: dict[str, Any]) -> None:
    server = _Server()
    changed = _handled(server, **wanted)
    assert changed["changed"] is True
    assert [call for call in server.calls if call.startswith("GET")] == ["GET node"] * 2
    assert changed["node"]["subnet_routes"] == server.node["approvedRoutes"]
    assert changed["node"]["user"]["name"] == ("tagged-devices" if "tags" in wanted else "alice")
    assert changed["diff"]["after"]["given_name"] == wanted.get("new_name", "gateway")
    again = _handled(server, name=server.node["givenName"], state=wanted.get("state", "present"))
    assert (again["changed"], again["node"]) == (False, changed["node"])


@pytest.mark.parametrize("wanted", CHANGES)
def test_check_mode_asks_once_and_writes_nothing(wanted: dict[str, Any]) -> None:
    server = _Server()
    assert _handled(server, check=True, **wanted)["changed"] is True
    assert server.calls == ["GET node"]


def test_a_run_that_changes_nothing_and_one_that_deletes_ask_once() -> None:
    server = _Server()
    assert _handled(server, new_name="gateway")["changed"] is False
    assert _handled(server, state="absent")["node"] is None
    assert server.calls == ["GET node", "GET node", "DELETE node/7"]
