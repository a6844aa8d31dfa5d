# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the doctor makes of what was seen, without a network."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge import control
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge import doctor_client as client
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.doctor_server import (
    REMOVED,
    ClientView,
    Server,
    judge_server,
)
from hypothesis import given
from hypothesis import strategies as st

_FRAME = CheckContext(story="doctor", assertion="diagnose", source="here")
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NOW = 1_800_000_000.0


def _seen(**data: Any) -> dict[str, Any]:
    return {"host": {"now": _NOW}, "observations": {name: {"ok": True, "data": value} for name, value in data.items()}}


def _node(number: int, name: str, **more: Any) -> dict[str, Any]:
    node = {"id": str(number), "name": name, "givenName": name, "nodeKey": f"nodekey:{number}", "online": True,
            "ipAddresses": [f"100.64.0.{number}"], "expiry": None}  # fmt: skip
    return {**node, **more}


def _bad(nodes: list[dict[str, Any]], **server: Any) -> dict[str, str]:
    checks = judge_server(
        _seen(nodes={"nodes": nodes}, web=[{"url": "https://h/version", "body": '{"version":"v0.29.3"}'}]),
        _FRAME,
        Server(**{"url": "https://h", "unknown_names": (), "config": {}, **server}),
    )
    return {check.id: check.hint for check in checks if check.bad}


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
def test_addresses_that_clients_lose(url: str, trouble: bool) -> None:
    assert bool(client.url_problem(url)) is trouble


def test_names_within_a_domain() -> None:
    assert client.within("headscale.example.com", "example.com")
    assert client.within("Example.com.", "example.com")
    assert not client.within("notexample.com", "example.com")


def test_a_well_server_has_no_findings() -> None:
    assert _bad([_node(1, "a"), _node(2, "b")], config={"server_url": "https://h", **_well_config()}) == {}


def _well_config() -> dict[str, Any]:
    return {"derp": {"paths": ["/etc/headscale/derp.yaml"]}, "dns": {"override_local_dns": False}}


@pytest.mark.parametrize("expiry", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2020-01-01T00:00:00Z"])
def test_dates_that_nobody_meant(expiry: str) -> None:
    assert "doctor.expiry" in _bad([_node(1, "a", expiry=expiry)], config=_well_config())


def test_two_of_one_name() -> None:
    nodes = [_node(1, "a"), _node(2, "a", givenName="a-1", online=False)]
    assert "1, 2 all call themselves a" in _bad(nodes, config=_well_config())["doctor.names"]


def test_two_that_call_themselves_alike_and_were_given_names_of_their_own() -> None:
    nodes = [_node(1, "phone"), _node(2, "phone", givenName="kitchen")]
    assert _bad(nodes, config=_well_config()) == {}


def test_a_number_that_is_left_of_a_name_that_was_taken() -> None:
    nodes = [_node(1, "laptop", givenName="laptop-1"), _node(2, "web-2"), _node(3, "other")]
    checks = judge_server(_seen(nodes={"nodes": nodes}), _FRAME, Server(unknown_names=(), config={}))
    names = {check.target: check for check in checks if check.id == "doctor.names"}
    assert {name: check.verdict for name, check in names.items()} == {
        "laptop-1": "skipped",
        "web-2": "passed",
        "other": "passed",
    }
    assert "headscale nodes rename -i 1 laptop" in names["laptop-1"].hint


def test_online_is_held_against_who_reaches_whom() -> None:
    seer = ClientView(name="a", key="nodekey:1", answered={"100.64.0.2": True, "100.64.0.3": False})
    nodes = [_node(1, "a"), _node(2, "b", online=False), _node(3, "c")]
    checks = judge_server(_seen(nodes={"nodes": nodes}), _FRAME, Server(seers=(seer,), unknown_names=(), config={}))
    found = {check.target: check.verdict for check in checks if check.id == "doctor.online"}
    assert found == {"b": "failed", "c": "failed"}, "nobody has tried a"


@pytest.mark.parametrize("setting", REMOVED)
def test_settings_that_were_removed(setting: str) -> None:
    config: dict[str, Any] = {}
    inner = config
    *path, last = setting.split(".")
    for part in path:
        inner = inner.setdefault(part, {})
    inner[last] = "something"
    assert setting in _bad([_node(1, "a")], config={**_well_config(), **config})["doctor.config"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"derp": {"urls": ["https://maps.example.com"]}, "dns": {"override_local_dns": False}}, "does not start"),
        ({"derp": {}, "dns": {"override_local_dns": False}}, "no relay"),
        ({"derp": {"server": {"enabled": True}}, "dns": {}}, "override_local_dns"),
        ({**_well_config(), "server_url": "http://h.example.com"}, "port 443"),
        (
            {"server_url": "https://h.example.com", "derp": {"paths": ["x"]},
             "dns": {"base_domain": "example.com", "override_local_dns": False}},
            "the server's own name",
        ),
    ],
)  # fmt: skip
def test_configurations_with_a_trap(config: dict[str, Any], words: str) -> None:
    assert words in _bad([_node(1, "a")], config=config)["doctor.config"]


def test_routes() -> None:
    nodes = [
        _node(1, "a", availableRoutes=["10.0.0.0/24", "10.1.0.0/24"], approvedRoutes=["10.1.0.0/24", "10.2.0.0/24"]),
        _node(2, "standby", availableRoutes=["10.3.0.0/24"], approvedRoutes=["10.3.0.0/24"]),
        _node(
            3, "primary", availableRoutes=["10.3.0.0/24"], approvedRoutes=["10.3.0.0/24"], subnetRoutes=["10.3.0.0/24"]
        ),
    ]
    checks = judge_server(_seen(nodes={"nodes": nodes}), _FRAME, Server(unknown_names=(), config={}))
    found = {check.target: (check.verdict, check.observed) for check in checks if check.id == "doctor.routes"}
    hint = next(check.hint for check in checks if check.id == "doctor.routes" and check.target == "a")
    # Approving replaces what was approved.
    assert "approve-routes -i 1 -r 10.0.0.0/24,10.1.0.0/24,10.2.0.0/24`" in hint
    assert found["a"][1] == {
        "not_approved": ["10.0.0.0/24"],
        "not_advertised": ["10.2.0.0/24"],
        "not_served": ["10.1.0.0/24"],
    }
    assert {found["standby"][0], found["primary"][0]} == {"passed"}


def test_a_firewall_and_a_policy_are_told_apart() -> None:
    one = ClientView(name="a", key="nodekey:1", answered={"100.64.0.2": True}, echoed={"100.64.0.2": False})
    two = ClientView(name="b", key="nodekey:2")
    nodes = [_node(1, "a"), _node(2, "b")]
    assert "firewall on b" in _bad(nodes, seers=(one, two), config=_well_config())["doctor.policy.reach"]
    kept = frozenset({("a", "b")})
    assert "doctor.policy.reach" not in _bad(nodes, seers=(one, two), forbidden=kept, config=_well_config())


def test_a_client_that_is_too_old_and_a_server_of_two_faces() -> None:
    seers = (
        ClientView(name="a", key="nodekey:1", version="1.78.1", server_key="mkey:1"),
        ClientView(name="b", key="nodekey:2", version="1.90.0", server_key="mkey:2"),
    )
    bad = _bad([_node(1, "a"), _node(2, "b")], seers=seers, config=_well_config())
    assert "before 1.80" in bad["doctor.upgrade.client"]
    assert "two machines" in bad["doctor.identity"]


def test_without_an_answer_the_api_is_the_finding() -> None:
    answer = {"observations": {"nodes": {"ok": False, "error": {"type": "bad_api_key", "message": "refused"}}}}
    checks = judge_server(answer, _FRAME, Server(config_problem="not read"))
    assert [check.id for check in checks if check.bad] == ["doctor.api"]


@given(st.dictionaries(st.sampled_from(["nodes", "users", "preauthkeys", "policy", "web"]), _JSON))
def test_no_answer_makes_the_servers_judge_raise(data: dict[str, Any]) -> None:
    for check in judge_server(_seen(**data), _FRAME, Server(clients=("a",), unknown_names=(), config={})):
        assert check.verdict in ("passed", "failed", "skipped", "error")


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"outcome": "answered", "status": 101}, "passed"),
        ({"outcome": "answered", "status": 426, "headers": {"server": "nginx"}}, "failed"),
        ({"outcome": "refused"}, "skipped"),
    ],
)
def test_a_proxy_before_a_relay(row: dict[str, Any], verdict: str) -> None:
    relay = {"HostName": "relay.example.com", "IPv4": "203.0.113.9", "DERPPort": 8443, "STUNPort": -1}
    seen = _seen(
        status={"Self": {}},
        derpmap={"Regions": {"1": {"RegionCode": "home", "Nodes": [relay]}}},
        web=[{"url": "https://relay.example.com:8443/derp", **row}],
    )
    checks = client.judge_client(seen, _FRAME, client.ClientContext())
    (found,) = [check for check in checks if check.id == "doctor.relay.upgrade"]
    assert found.verdict == verdict
    assert verdict != "failed" or "nginx before the relay" in found.hint


@pytest.mark.parametrize(
    ("health", "upgrade", "trouble"),
    [
        ({"outcome": "answered", "status": 200}, {"outcome": "answered", "status": 101}, ""),
        ({"outcome": "answered", "status": 500}, {"outcome": "answered", "status": 101}, "the server answers 500"),
        (
            {"outcome": "answered", "status": 200},
            {"outcome": "answered", "status": 426},
            "does not pass the upgrade on",
        ),
        ({"outcome": "answered", "status": 200}, {"outcome": "timeout"}, "does not answer in time"),
        ({"outcome": "tls", "error": "unknown authority"}, None, "add the authority"),
        ({"outcome": "tls", "error": "certificate has expired"}, None, "this host's clock"),
        (None, {"outcome": "refused"}, "nothing listens there"),
        (None, None, "not even who has its name"),
    ],
)
def test_what_a_host_sees_of_its_server(health: Any, upgrade: Any, trouble: str) -> None:
    known = {"/health": health, "/ts2021": upgrade}
    rows = [row and {"url": f"https://h{path}", **row} for path, row in known.items()]
    said = control.trouble(rows, "https://h")
    assert trouble in said
    assert bool(said) is bool(trouble)


_LOOKS = [
    "status",
    "prefs",
    "derpmap",
    "dns_config",
    "resolv_conf",
    "files",
    "web",
    "stun",
    "getaddrinfo",
    "dns",
    "disco",
]


@given(st.dictionaries(st.sampled_from(_LOOKS), _JSON))
def test_no_answer_makes_the_clients_judge_raise_or_pass_by_accident(data: dict[str, Any]) -> None:
    checks = client.judge_client(_seen(**data), _FRAME, client.ClientContext(server_url="https://h"))
    assert not {check.id for check in checks if check.verdict == "passed"} & {
        "doctor.client", "doctor.server", "doctor.proxy", "doctor.derp_map", "doctor.magic_dns", "doctor.server_url",
    }  # fmt: skip
    assert all(check.hint for check in checks if check.verdict != "passed")
