# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what a question is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.question import Known, Question, Service
from hypothesis import given
from hypothesis import strategies as st


def node(number: int, name: str, **more: Any) -> dict[str, Any]:
    known = {"id": str(number), "name": name, "givenName": name, "nodeKey": f"nodekey:{number}",
             "ipAddresses": [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"]}  # fmt: skip
    return {**known, **more}


ROUTED = {
    "availableRoutes": ["192.168.1.0/24"],
    "approvedRoutes": ["192.168.1.0/24"],
    "subnetRoutes": ["192.168.1.0/24"],
}
KNOWN = Known(
    clients={"laptop": {"key": "nodekey:1"}, "nas": {"key": "nodekey:2"}, "silent": {}},
    others={"printer": "192.168.1.50", "server": "203.0.113.5"},
    nodes=[node(1, "laptop"), node(2, "nas", **ROUTED), node(3, "phone"), node(4, "silent")],
    domain="mesh.internal",
)


@pytest.mark.parametrize(
    ("said", "protocol", "port"),
    [("", "icmp", 0), ("icmp", "icmp", 0), ("tcp/443", "tcp", 443), ("TCP/443", "tcp", 443), ("443", "tcp", 443),
     ("udp/53", "udp", 53), ("udp:53", "udp", 53), ("https", "tcp", 443), ("tcp/ssh", "tcp", 22)],
)  # fmt: skip
def test_services_are_read(said: str, protocol: str, port: int) -> None:
    assert Service.read(said) == Service(protocol, port)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said", ["tcp/0", "tcp/65536", "sctp/1", "tcp/", "tcp/nothing-like-it", "tcp/80,443", "../80", "²"]
)
def test_services_that_cannot_be_read_are_refused(said: str) -> None:
    with pytest.raises(BadInput, match="the service is"):
        Service.read(said)


@pytest.mark.parametrize(
    ("said", "host", "number", "addresses", "route"),
    [
        ("nas", "nas", 2, ("100.64.0.2", "fd7a:115c:a1e0::2"), ""),
        ("phone", "", 3, ("100.64.0.3", "fd7a:115c:a1e0::3"), ""),
        ("Phone.mesh.internal.", "", 3, ("100.64.0.3", "fd7a:115c:a1e0::3"), ""),
        ("100.64.0.2", "nas", 2, ("100.64.0.2",), ""),
        ("fd7a:115c:a1e0:0::3", "", 3, ("fd7a:115c:a1e0::3",), ""),
        ("192.168.1.7", "nas", 2, ("192.168.1.7",), "192.168.1.0/24"),
        ("printer", "nas", 2, ("192.168.1.50",), "192.168.1.0/24"),
        ("silent", "silent", 4, ("100.64.0.4", "fd7a:115c:a1e0::4"), ""),
    ],
)
def test_targets_are_found(said: str, host: str, number: int, addresses: tuple[str, ...], route: str) -> None:
    question = KNOWN.ask("laptop", said, "tcp/1")
    target = question.target
    assert (target.host, target.node["id"], target.addresses, target.route) == (host, str(number), addresses, route)
    assert Question.of(question.as_fact()) == question


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("laptop", "naz", "did you mean nas"),
        ("laptop", "10.1.1.1", "no approved route leads to it"),
        (
            "laptop",
            "server",
            "server is not a node of the mesh, and no approved route leads to its address 203.0.113.5",
        ),
        ("laptop", "laptop", "the same node"),
        ("laptop", "100.64.0.1", "the same node"),
        ("192.168.1.7", "laptop", "behind the subnet router nas"),
        ("", "laptop", "no source is named"),
        ("laptop", " ", "no target is named"),
    ],
)
def test_questions_that_make_no_sense_are_refused(source: str, target: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        KNOWN.ask(source, target, "")


def test_an_unknown_name_is_no_bad_input_while_the_server_is_silent() -> None:
    known = Known(clients={"laptop": {}, "nas": {}}, unlisted="timeout")
    with pytest.raises(CouldNotRun, match=r"'phone' .* timeout"):
        known.ask("laptop", "phone", "")
    assert known.ask("laptop", "nas", "").target.node == {}


def test_of_several_routes_the_longest_one_and_the_one_that_serves_win() -> None:
    wide = node(5, "wide", approvedRoutes=["192.168.0.0/16", "::/0", "nonsense", "0.0.0.0/0"])
    standby = node(6, "standby", approvedRoutes=["192.168.1.0/24"], subnetRoutes=[])
    known = Known(clients={"laptop": {"key": "nodekey:1"}}, nodes=[wide, standby, *KNOWN.nodes])
    assert known.ask("laptop", "192.168.1.7", "").target.router == "nas"
    assert known.ask("laptop", "192.168.2.7", "").target.router == "wide"


def test_an_approval_of_a_route_that_is_no_longer_advertised_leads_nowhere() -> None:
    old = node(5, "old", approvedRoutes=["10.1.2.0/24"], availableRoutes=[], subnetRoutes=[])
    routes = ["10.1.0.0/16"]
    current = node(6, "cur", approvedRoutes=routes, availableRoutes=routes, subnetRoutes=routes)
    known = Known(clients={"laptop": {"key": "nodekey:1"}}, nodes=[old, current, *KNOWN.nodes])
    target = known.ask("laptop", "10.1.2.7", "").target
    assert (target.router, target.route) == ("cur", "10.1.0.0/16")
    # Without any other router, the one that should advertise it is the one to examine.
    assert Known(clients=known.clients, nodes=[old, *KNOWN.nodes]).ask("laptop", "10.1.2.7", "").target.router == "old"


def test_a_route_that_the_server_has_given_wins_over_a_longer_one() -> None:
    longer = node(5, "longer", approvedRoutes=["10.1.2.0/24"], availableRoutes=["10.1.2.0/24"], subnetRoutes=[])
    routes = ["10.1.0.0/16"]
    current = node(6, "cur", approvedRoutes=routes, availableRoutes=routes, subnetRoutes=routes)
    known = Known(clients={"laptop": {"key": "nodekey:1"}}, nodes=[longer, current, *KNOWN.nodes])
    assert known.ask("laptop", "10.1.2.7", "").target.router == "cur"


def test_an_address_that_the_policy_takes_away_is_not_asked_about() -> None:
    known = replace(KNOWN, withheld={"100.64.0.2": "nas"})
    assert known.ask("laptop", "nas", "").target.mesh_addresses == ["fd7a:115c:a1e0::2"]
    assert known.ask("nas", "laptop", "").pinged == ["fd7a:115c:a1e0::1"]
    assert known.ask("laptop", "fd7a:115c:a1e0::2", "").target.router == "nas"
    assert KNOWN.ask("nas", "laptop", "").pinged == ["100.64.0.1"]
    with pytest.raises(BadInput, match=r"nas has no IPv4 address in the mesh.*disable-ipv4; name the node"):
        known.ask("laptop", "100.64.0.2", "")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=12))
def test_any_text_is_answered_or_refused(source: str, target: str, service: str) -> None:
    try:
        KNOWN.ask(source, target, service)
    except BadInput as exc:
        assert "\n" not in str(exc)
