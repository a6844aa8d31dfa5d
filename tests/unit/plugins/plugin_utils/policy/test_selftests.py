# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy's tests run on made-up nodes, as far as these decide them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import Policy, failed_tests, sample
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy.sample import PREFIXES

_V4 = {"ipv4": PREFIXES["ipv4"]}


def _policy(sources: list[str], targets: list[str], **more: Any) -> dict[str, Any]:
    return {
        "groups": {"group:staff": ["bob@", "alice@"]},
        "hosts": {"server": "100.64.0.10", "six": "fd7a:115c:a1e0::10", "lan": "10.1.0.9"},
        "tagOwners": {"tag:web": ["alice@"], "tag:db": []},
        "acls": [{"action": "accept", "src": sources, "dst": targets}],
        **more,
    }


def _run(document: dict[str, Any], source: str, key: str, target: str, nodes: Any = None) -> str:
    tests = [{"src": source, key: [target]}]
    found = failed_tests(Policy.read(document), tests, nodes or sample({**document, "tests": tests}))
    return "passes" if not found else "fails" if found[0].certain else "undecided"


@pytest.mark.parametrize(
    ("sources", "targets", "source", "target", "accept", "deny"),
    [
        (["alice@"], ["tag:web:443"], "alice@", "tag:web:443", "passes", "fails"),
        # The server may be the node with the tag.
        (["alice@"], ["tag:web:443"], "alice@", "server:443", "undecided", "undecided"),
        (["alice@"], ["tag:web:443"], "alice@", "[fd7a:115c:a1e0::10]:443", "undecided", "undecided"),
        (["alice@"], ["server:22"], "alice@", "tag:web:22", "undecided", "undecided"),
        (["server"], ["tag:web:22"], "server", "tag:web:22", "passes", "fails"),
        (["alice@"], ["tag:web:22"], "server", "tag:web:22", "undecided", "undecided"),
        (["server", "six"], ["tag:web:22"], "alice@", "tag:web:22", "undecided", "undecided"),
        (["100.64.0.0/16", "six"], ["tag:web:22"], "alice@", "tag:web:22", "undecided", "undecided"),
        (["100.64.0.0/10", "six"], ["tag:web:22"], "alice@", "tag:web:22", "undecided", "undecided"),
        (["100.64.0.0/10", "fd7a:115c:a1e0::/48"], ["tag:web:22"], "alice@", "tag:web:22", "passes", "fails"),
        # Whichever node the server is, these fail.
        (["alice@"], ["tag:web:443"], "alice@", "server:80", "fails", "passes"),
        (["alice@"], ["tag:web:443"], "alice@", "tag:db:443", "fails", "passes"),
        (["alice@"], ["tag:web:443"], "alice@", "lan:443", "fails", "passes"),
        (["alice@"], ["100.64.0.11:22"], "alice@", "server:22", "fails", "passes"),
        (["alice@"], ["server:22"], "alice@", "six:22", "fails", "passes"),
        (["alice@"], ["server:22", "tag:web:443"], "bob@", "tag:web:443", "fails", "passes"),
        (["bob@"], ["tag:web:443"], "*", "tag:web:443", "fails", "passes"),
        # A node has an address of each family.
        (["server"], ["tag:web:22"], "alice@", "tag:web:22", "fails", "passes"),
    ],
)
def test_only_the_addresses_of_the_real_nodes_leave_a_test_open(
    sources: list[str], targets: list[str], source: str, target: str, accept: str, deny: str
) -> None:
    document = _policy(sources, targets)
    assert _run(document, source, "accept", target) == accept
    assert _run(document, source, "deny", target) == deny


@pytest.mark.parametrize("key", ["accept", "deny"])
@pytest.mark.parametrize(
    ("source", "target"), [("gone@", "tag:web:22"), ("group:staff", "tag:web:22"), ("alice@", "group:staff:22")]
)
def test_a_test_fails_for_a_user_that_does_not_exist(source: str, target: str, key: str) -> None:
    document = _policy(["*"], ["*:*"], groups={"group:staff": ["alice@", "gone@"]})
    nodes = sample({**document, "src": source}, users={"alice"})
    (found,) = failed_tests(Policy.read(document), [{"src": source, key: [target]}], nodes)
    assert found.reason.endswith("names a user that does not exist")
    assert found.certain


@pytest.mark.parametrize(
    ("prefix", "result"), [("100.64.0.0/16", "passes"), ("100.64.0.0/10", "undecided"), ("100.80.0.0/16", "undecided")]
)
def test_made_up_nodes_have_addresses_of_the_configured_prefixes(prefix: str, result: str) -> None:
    document = _policy(["100.64.0.0/16"], ["tag:web:443"])
    nodes = sample(document, {"ipv4": prefix})
    assert all(ip_address(text) in ip_network(prefix) for node in nodes for text in node.addresses)
    assert _run(document, "alice@", "accept", "tag:web:443", nodes) == result


def test_made_up_nodes_have_names_without_white_space() -> None:
    one, other = sample({"ssh": [{"src": [" alice@ "], "dst": [" tag:web "]}]})
    assert (one.user and one.user.name, other.tags) == ("alice", ("tag:web",))


@pytest.mark.parametrize("prefix", ["100.64.0.8/29", "100.64.0.0/31", "junk", "fd7a:115c:a1e0::/48"])
@pytest.mark.parametrize("named", ["100.64.0.13", "100.96.0.0/11", "100.64.0.0/10"])
def test_made_up_nodes_have_different_addresses_that_the_policy_does_not_name(prefix: str, named: str) -> None:
    document = _policy(["alice@"], [f"{named}:443"])
    addresses = [text for node in sample(document, {"ipv4": prefix}) for text in node.addresses]
    assert len(set(addresses)) == len(addresses) == 4
    assert all(ip_address(text) in ip_network(_V4["ipv4"]) for text in addresses)
    if prefix == "100.64.0.8/29" and named == "100.64.0.13":
        assert addresses == ["100.64.0.14", "100.64.0.12", "100.64.0.11", "100.64.0.9"], "the server has 100.64.0.10"


@pytest.mark.parametrize(
    ("rule", "test", "result"),
    [
        # To these tests, a rule that states no protocol is about each of them.
        *(("", proto, "passes") for proto in ("", "tcp", "UDP", "sctp", "06", "132")),
        ("tcp", "6", "passes"),
        ("tcp", "", "passes"),
        ("sctp", "", "fails"),
        ("tcp", "sctp", "fails"),
        # Headscale refuses other protocols.
        *(("", proto, "fails") for proto in ("icmp", "1", "junk", "*")),
    ],
)
def test_a_protocol_is_compared_as_headscale_does(rule: str, test: str, result: str) -> None:
    document = _policy(["alice@"], ["tag:web:443"])
    document["acls"][0]["proto"] = rule
    found = failed_tests(
        Policy.read(document), [{"src": "alice@", "proto": test, "accept": ["tag:web:443"]}], sample(document)
    )
    assert ("fails" if found else "passes") == result


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("tag:web:443-444", "a single port"),
        ("tag:web:443,444", "a single port"),
        ("tag:web:*", "a single port"),
        ("100.64.0.0/16:443", "not a CIDR range"),
        ("100.64.0.10/32:443", "not a CIDR range"),
        ("[fd7a:115c:a1e0::10]/128:443", "not a CIDR range"),
        ("subnet:443", "not a CIDR range"),
        ("autogroup:internet:443", "not valid as a test destination"),
        ("tag:web:443-443", ""),
        ("single:443", ""),
    ],
)
def test_a_target_is_one_port_of_one_host(target: str, reason: str) -> None:
    hosts = {"subnet": "10.1.0.0/24", "single": "10.1.0.9/32"}
    document = _policy(["alice@"], ["*:443"], hosts=hosts)
    found = failed_tests(Policy.read(document), [{"src": "alice@", "accept": [target]}], sample(document))
    assert (found[0].reason.endswith(reason) and found[0].certain) if reason else not found


@pytest.mark.parametrize("test", [{}, {"accept": [], "deny": None}])
def test_a_test_asserts_something(test: dict[str, Any]) -> None:
    document = _policy(["alice@"], ["tag:web:443"])
    (found,) = failed_tests(Policy.read(document), [{"src": "alice@", **test}], sample(document))
    assert "at least one of accept or deny" in found.reason


def test_keys_of_tests_are_read_as_headscale_reads_them() -> None:
    document = _policy(["alice@"], ["tag:web:443"])
    tests = [{"S_rc": "alice@", "Ac-cept": ["tag:web:80"]}]
    (found,) = failed_tests(Policy.read(document), tests, sample(document))
    assert (found.key, found.certain) == ("accept", True)
