# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What US6 expects of a host follows from mesh_routes, mesh_exit_nodes and the topology."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations import routes

PLACES: dict[str, dict[str, Any]] = {
    "one": {"subnet": "a", "address": "192.168.1.10", "public_address": "203.0.113.2"},
    "two": {"subnet": "b", "address": "10.0.0.10", "public_address": "203.0.113.3"},
    "three": {"subnet": "b", "address": "10.0.0.11", "public_address": "203.0.113.3"},
    "printer": {"subnet": "a", "address": "192.168.1.20"},
    "nas": {"subnet": "b", "address": "10.0.0.20"},
    "web": {"subnet": "wan", "address": "203.0.113.80"},
}
SETTINGS: dict[str, Any] = {
    "routes": [
        {"prefix": "192.168.1.0/24", "routers": ["one"], "target": "printer"},
        {"prefix": "10.0.0.0/24", "routers": ["two", "three"], "target": "nas"},
    ],
    "exit_nodes": ["two"],
    "backend": "lab",
    "manage": True,
    "allow_disruptive": True,
    "canaries": [],
    "slices": 1,
}


class _View:
    def __init__(self, host: str, *, check: bool = False, **settings: Any) -> None:
        self.host, self._check, self._settings = host, check, SETTINGS | settings

    def variable(self, name: str) -> Any:
        return self._check if name == "ansible_check_mode" else None

    def setting(self, name: str) -> Any:
        return self._settings[name]

    def of_host(self, host: str, name: str) -> Any:
        return None

    def shared(self, name: str) -> Any:
        return self._settings.get(name)

    def group(self, name: str) -> list[str]:
        return {"clients": ["one", "two", "three"], "lan": ["printer", "nas", "web"]}.get(name, [])

    def topology(self) -> dict[str, Any]:
        return PLACES


def test_each_host_advertises_accepts_and_uses_what_it_should() -> None:
    one, two, three = (routes.expected(_View(host)) for host in ("one", "two", "three"))
    assert [found["advertise"] for found in (one, two, three)] == [["192.168.1.0/24"], ["10.0.0.0/24"], ["10.0.0.0/24"]]
    assert [found["exit"] for found in (one, two, three)] == [False, True, False]
    assert [found["uses"] for found in (one, two, three)] == [["10.0.0.0/24"], ["192.168.1.0/24"], ["192.168.1.0/24"]]
    # Two routers of one network would get that network from each other.
    assert [found["accepts"] for found in (one, two, three)] == [True, False, False]


def test_the_story_knows_who_shares_who_observes_and_who_leaves() -> None:
    found = routes.expected(_View("one"))
    assert found["routers"] == {
        "one": ["192.168.1.0/24"],
        "two": ["10.0.0.0/24", "0.0.0.0/0", "::/0"],
        "three": ["10.0.0.0/24"],
    }
    assert (found["shared"], found["sharing"], found["observer"]) == ("10.0.0.0/24", ["two", "three"], "one")
    assert found["specific"] == {"prefix": "10.0.0.20/32", "covering": "10.0.0.20/30", "other": "198.51.100.0/24"}
    assert (found["exit_node"], found["exit_user"]) == ("two", "one")
    assert (found["single"], found["single_router"], found["single_target"]) == (["192.168.1.0/24"], "one", "printer")
    assert (found["allowed"], found["disruption"]) == (True, True)


def test_a_policy_names_the_owner_of_a_node() -> None:
    nodes = {
        "one": {"user": "jo", "tags": []},
        "two": {"user": "jo@", "tags": []},
        "three": {"user": "tagged-devices", "tags": ["tag:router", "tag:web"]},
    }
    assert routes.owners(_View("one", mesh_nodes=nodes)) == {"one": "jo@", "two": "jo@@", "three": "tag:router"}
    nodes["one"]["user"] = "jo@example.com"
    assert routes.owners(_View("one", mesh_nodes=nodes))["one"] == "jo@example.com@"


def test_another_client_becomes_an_exit_node() -> None:
    assert routes.new_exit(_View("one")) == "three"
    assert routes.new_exit(_View("one", exit_nodes=[])) == "three"
    assert routes.new_exit(_View("one", exit_nodes=["two", "three"])) == ""


def test_the_networks_of_one_target_are_tested_together() -> None:
    more = [*SETTINGS["routes"], {"prefix": "fd00:a::/64", "routers": ["one"], "target": "printer"}]
    assert routes.expected(_View("one", routes=more))["single"] == ["192.168.1.0/24", "fd00:a::/64"]


@pytest.mark.parametrize(
    ("settings", "verified", "allowed", "disruption"),
    [
        ({"allow_disruptive": False}, True, True, False),
        ({"backend": "libvirt"}, False, False, False),
        ({"manage": False}, False, False, False),
        ({"check": True}, False, False, False),
        ({"backend": "hosts", "manage": False}, True, False, False),
        ({"routes": [], "exit_nodes": []}, False, True, False),
    ],
)
def test_what_the_story_may_do(settings: dict[str, Any], verified: bool, allowed: bool, disruption: bool) -> None:
    found = routes.expected(_View("one", **settings))
    assert (found["allowed"], found["disruption"]) == (allowed, disruption)
    assert (routes.not_verified(_View("one", **settings)) == "") == verified


def test_reasons_name_the_variable() -> None:
    assert "set mesh_routes" in routes.no_routes(_View("one", routes=[], exit_nodes=[]))
    assert "mesh_manage" in routes.no_changes(_View("one", backend="libvirt"))
    assert "two may not be disturbed: set mesh_allow_disruptive" in routes.no_failover(
        _View("one", allow_disruptive=False)
    )
    assert "list two routers" in routes.no_failover(_View("one", routes=SETTINGS["routes"][:1]))


def test_the_web_server_and_the_neighbour_are_outside_the_mesh() -> None:
    assert routes.web(_View("one")) == ("web", "203.0.113.80")
    assert routes.neighbour(_View("one")) == ("printer", "192.168.1.20")
    assert routes.neighbour(_View("two")) == ("nas", "10.0.0.20")


def test_each_host_outside_the_mesh_is_made_to_listen_by_one_client() -> None:
    found = {host: routes.expected(_View(host))["listeners"] for host in ("one", "two", "three", "server")}
    assert found == {
        "one": [{"host": "printer", "addresses": ["192.168.1.20"]}],
        "two": [{"host": "nas", "addresses": ["10.0.0.20"]}],
        "three": [{"host": "web", "addresses": ["203.0.113.80"]}],
        "server": [],
    }
    assert routes.expected(_View("one", backend="hosts"))["listeners"] == [
        {"host": "web", "addresses": ["203.0.113.80"]}
    ]
