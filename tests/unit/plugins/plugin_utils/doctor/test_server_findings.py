# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about the server and the mesh, from observations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import urls
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.server.config import REMOVED
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.view import ClientView
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from doctor import CONFIG, JSON, examine_server, node, problems
from hypothesis import given
from hypothesis import strategies as st


def _checks(*nodes: dict[str, Any], **known: Any) -> list[Check]:
    return examine_server({"nodes": {"nodes": list(nodes)}}, **known)


def _configured(text: str) -> str:
    found = examine_server({"nodes": {"nodes": [node(1, "a")]}, "config": {"path": "config.yaml", "text": text}})
    return problems(found).get("doctor.config", "")


@pytest.mark.parametrize(
    ("url", "trouble"),
    [
        ("https://headscale.example.com", False),
        ("https://headscale.example.com:8443", False),
        ("http://192.168.1.5:8080", False),
        ("http://127.0.0.1:8080", False),
        ("http://localhost:8080", False),
        ("http://172.20.0.1:8080", False),
        ("http://172.32.0.1:8080", True),
        ("http://203.0.113.2:8080", True),
        ("http://headscale.example.com:8080", True),
        ("headscale.example.com", True),
        ("ftp://headscale.example.com", True),
        ("http://[", True),
    ],
)
def test_server_urls_that_clients_lose(url: str, trouble: bool) -> None:
    assert bool(urls.problem(url)) is trouble


def test_names_within_a_domain() -> None:
    assert urls.within("headscale.example.com", "example.com")
    assert urls.within("Example.com.", "example.com")
    assert not urls.within("notexample.com", "example.com")


def test_a_healthy_server_has_no_findings() -> None:
    assert problems(_checks(node(1, "a"), node(2, "b"))) == {}


@pytest.mark.parametrize("expiry", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2020-01-01T00:00:00Z"])
def test_expiry_dates_in_the_past(expiry: str) -> None:
    assert "doctor.expiry" in problems(_checks(node(1, "a", expiry=expiry)))


def test_two_nodes_of_one_name() -> None:
    found = problems(_checks(node(1, "a"), node(2, "a", givenName="a-1", online=False)))
    assert "1, 2 all have the host name a" in found["doctor.names"]


def test_two_nodes_of_one_host_name_that_were_renamed() -> None:
    assert problems(_checks(node(1, "phone"), node(2, "phone", givenName="kitchen"))) == {}


def test_a_number_that_remains_after_a_name_became_free() -> None:
    checks = _checks(node(1, "laptop", givenName="laptop-1"), node(2, "web-2"), node(3, "other"))
    names = {check.target: check for check in checks if check.id == "doctor.names"}
    assert {name: check.verdict for name, check in names.items()} == {
        "laptop-1": "skipped",
        "web-2": "passed",
        "other": "passed",
    }
    assert "headscale nodes rename -i 1 laptop" in names["laptop-1"].hint


def test_online_is_compared_with_the_nodes_that_answer() -> None:
    view = ClientView(name="a", key="nodekey:1", answered={"100.64.0.2": True, "100.64.0.3": False})
    checks = _checks(node(1, "a"), node(2, "b", online=False), node(3, "c"), views=(view,))
    found = {check.target: check.verdict for check in checks if check.id == "doctor.online"}
    assert found == {"b": "failed", "c": "failed"}, "no client pinged a"


@pytest.mark.parametrize("setting", REMOVED)
def test_settings_that_were_removed(setting: str) -> None:
    config: dict[str, Any] = {"server_url": "https://h"}
    inner = config
    *path, last = setting.split(".")
    for part in path:
        inner = inner.setdefault(part, {})
    inner[last] = "something"
    assert setting in _configured(json.dumps(config))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"derp": {"urls": ["https://maps.example.com"]}, "dns": {"override_local_dns": False}}, "does not start"),
        ({"derp": {}, "dns": {"override_local_dns": False}}, "no relay"),
        ({"derp": {"server": {"enabled": True}}, "dns": {}}, "override_local_dns"),
        ({"derp": {"paths": ["x"]}, "dns": {"base_domain": "h", "override_local_dns": False}}, "the server's own name"),
    ],
)
def test_configurations_with_a_trap(config: dict[str, Any], words: str) -> None:
    assert words in _configured(json.dumps({"server_url": "https://h", **config}))


def test_a_configuration_with_a_url_that_clients_lose() -> None:
    data = {
        "nodes": {"nodes": []},
        "config": {"path": "c", "text": CONFIG.replace("https://h", "http://h.example.com")},
    }
    assert "port 443" in problems(examine_server(data, url="http://h.example.com"))["doctor.config"]


def test_routes() -> None:
    checks = _checks(
        node(1, "a", availableRoutes=["10.0.0.0/24", "10.1.0.0/24"], approvedRoutes=["10.1.0.0/24", "10.2.0.0/24"]),
        node(2, "standby", availableRoutes=["10.3.0.0/24"], approvedRoutes=["10.3.0.0/24"]),
        node(
            3, "primary", availableRoutes=["10.3.0.0/24"], approvedRoutes=["10.3.0.0/24"], subnetRoutes=["10.3.0.0/24"]
        ),
    )
    found = {check.target: check for check in checks if check.id == "doctor.routes"}
    # Approving replaces what was approved.
    assert "approve-routes -i 1 -r 10.0.0.0/24,10.1.0.0/24,10.2.0.0/24`" in found["a"].hint
    assert found["a"].observed == {
        "not_approved": ["10.0.0.0/24"],
        "not_advertised": ["10.2.0.0/24"],
        "not_served": ["10.1.0.0/24"],
    }
    assert {found["standby"].verdict, found["primary"].verdict} == {"passed"}


def test_a_firewall_and_a_policy_are_distinguished() -> None:
    views = (
        ClientView(name="a", key="nodekey:1", answered={"100.64.0.2": True}, echoed={"100.64.0.2": False}),
        ClientView(name="b", key="nodekey:2"),
    )
    nodes = {"nodes": {"nodes": [node(1, "a"), node(2, "b")]}}
    assert "firewall on b" in problems(examine_server(nodes, views=views))["doctor.policy.reach"]
    policy = '{"acls": [{"action": "accept", "src": ["100.64.0.2"], "dst": ["100.64.0.1:*"]}]}'
    found = problems(examine_server({**nodes, "policy": {"policy": policy}}, views=views))["doctor.policy.reach"]
    assert "firewall" not in found
    assert "disagree on b" in found


def test_a_client_that_is_too_old_and_two_servers_under_one_name() -> None:
    views = (
        ClientView(name="a", key="nodekey:1", version="1.78.1", server_key="mkey:1"),
        ClientView(name="b", key="nodekey:2", version="1.90.0", server_key="mkey:2"),
    )
    bad = problems(_checks(node(1, "a"), node(2, "b"), views=views))
    assert "before 1.80" in bad["doctor.upgrade.client"]
    assert "two machines" in bad["doctor.identity"]


def test_without_an_answer_the_api_is_the_finding() -> None:
    assert set(problems(examine_server({}))) == {"doctor.api"}


@given(st.dictionaries(st.sampled_from(["nodes", "users", "preauthkeys", "policy", "web", "config"]), JSON))
def test_no_answer_makes_a_finding_of_the_server_raise(data: dict[str, Any]) -> None:
    for check in examine_server(data, clients=("a",)):
        assert check.verdict in ("passed", "failed", "skipped", "error")
