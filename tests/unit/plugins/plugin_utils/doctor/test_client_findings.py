# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about a client, from observations."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import client, control, finding
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from doctor import CONTEXT, JSON, answer, examine_client
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"outcome": "answered", "status": 101}, "passed"),
        ({"outcome": "answered", "status": 426, "headers": {"server": "nginx"}}, "failed"),
        ({"outcome": "refused"}, "skipped"),
    ],
)
def test_a_proxy_in_front_of_a_relay(row: dict[str, Any], verdict: str) -> None:
    relay = {"HostName": "relay.example.com", "IPv4": "203.0.113.9", "DERPPort": 8443, "STUNPort": -1}
    seen = {
        "status": {"Self": {}},
        "derpmap": {"Regions": {"1": {"RegionCode": "home", "Nodes": [relay]}}},
        "relays": [{"url": "https://relay.example.com:8443/derp", **row}],
    }
    (found,) = [check for check in examine_client(seen) if check.id == "doctor.relay.upgrade"]
    assert found.verdict == verdict
    assert verdict != "failed" or "nginx in front of the relay" in found.hint


@pytest.mark.parametrize(
    ("health", "upgrade", "trouble"),
    [
        ({"outcome": "answered", "status": 200}, {"outcome": "answered", "status": 101}, ""),
        ({"outcome": "answered", "status": 500}, {"outcome": "answered", "status": 101}, "the server answers 500"),
        (
            {"outcome": "answered", "status": 200},
            {"outcome": "answered", "status": 426},
            "does not pass on the upgrade",
        ),
        ({"outcome": "answered", "status": 200}, {"outcome": "timeout"}, "does not answer in time"),
        ({"outcome": "tls", "error": "unknown authority"}, None, "add its CA"),
        ({"outcome": "tls", "error": "certificate has expired"}, None, "this host's clock"),
        (None, {"outcome": "refused"}, "nothing listens there"),
        (None, None, "not even the resolver"),
    ],
)
def test_problems_of_a_server_that_a_host_sees(health: Any, upgrade: Any, trouble: str) -> None:
    known = {"/health": health, "/ts2021": upgrade}
    rows = [row and {"url": f"https://h{path}", **row} for path, row in known.items()]
    said = control.trouble(rows, "https://h")
    assert trouble in said
    assert bool(said) is bool(trouble)


_OBSERVATIONS = [
    "status",
    "prefs",
    "derpmap",
    "dns_config",
    "resolv_conf",
    "forwarding",
    "server",
    "relays",
    "stun",
    "own_name",
    "outside",
    "dns",
    "disco",
]


@given(st.dictionaries(st.sampled_from(_OBSERVATIONS), JSON))
def test_no_answer_makes_a_finding_raise_or_pass_by_accident(data: dict[str, Any]) -> None:
    checks = examine_client(data, server_url="https://h")
    assert not {check.id for check in checks if check.verdict == "passed"} & {
        "doctor.client", "doctor.server", "doctor.proxy", "doctor.derp_map", "doctor.magic_dns", "doctor.server_url",
    }  # fmt: skip
    assert all(check.hint for check in checks if check.verdict != "passed")


@given(st.dictionaries(st.sampled_from(["status", "prefs", "derpmap", "dns_config", "resolv_conf"]), JSON))
def test_no_first_answer_makes_the_requests_raise(data: dict[str, Any]) -> None:
    asked = finding.requests(client, Client(answer(**data), ClientContext()))
    assert len({request["id"] for request in asked}) == len(asked), "each observation has its own name"


def test_a_client_without_tailscaled_is_one_finding() -> None:
    checks = finding.judge(client, Client({}, ClientContext()), CONTEXT, only="client")
    assert [(check.id, check.verdict) for check in checks] == [("doctor.client", "error")]
    assert "start tailscaled" in checks[0].hint
