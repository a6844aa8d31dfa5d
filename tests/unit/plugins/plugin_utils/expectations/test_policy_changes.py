# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policies that the story installs: each kind of name is in them, and each change changes what passes."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations import policy
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import Evaluation, Node, Policy, User
from test_expectations import Hosts

CLIENTS = ["one", "two", "three"]
USERS = {"one": "default", "two": "default", "three": "default", "new": policy.GUEST}
NODES = {
    name: {"addresses": [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"]}
    for number, name in enumerate(USERS, start=1)
}
LAB = Hosts(
    host="one",
    variables={
        "mesh_backend": "lab", "mesh_manage": True, "mesh_allow_disruptive": True, "mesh_nodes": NODES, "policy_run": 7,
    },
    groups={"clients": CLIENTS, "spare": ["new"], "headscale": ["server"]},
)  # fmt: skip
KINDS = [(protocol, family) for protocol in ("tcp", "udp") for family in ("ipv4", "ipv6")]


def passing(change: dict[str, Any], tags: tuple[str, ...]) -> frozenset[Any]:
    nodes = [
        Node(
            name=name,
            user=None if tags and name == "new" else User(user),
            tags=tags if name == "new" else (),
            addresses=tuple(NODES[name]["addresses"]),
        )
        for name, user in USERS.items()
    ]
    evaluation = Evaluation(Policy.read(change["policy"]), nodes)
    return frozenset(
        (source.name, target.name, protocol, family, port)
        for source in nodes
        for target in nodes
        for protocol, family in KINDS
        for port in policy.ports(LAB)
        if source is not target and evaluation.decide(source, target, protocol, port, family)
    )


def test_each_change_changes_what_passes_and_none_lets_everything_pass() -> None:
    tags: tuple[str, ...] = ()
    before: frozenset[Any] = frozenset()
    for change in policy.changes(LAB):
        tags = tuple(change.get("tags", tags))
        now = passing(change, tags)
        assert (now == before) is (change["kind"] == "refused"), change["aspect"]
        assert 0 < len(now) < 12 * len(KINDS) * len(policy.ports(LAB))
        before = now


def test_every_kind_of_name_occurs() -> None:
    said = json.dumps(policy.changes(LAB))
    for name in (
        '"default@"', "group:", "tag:", "meshctl-beta", "/128", "autogroup:member", "autogroup:tagged", "autogroup:self",
        "autogroup:internet", '"ip"', '"proto"', "meshctl-nobody@",
    ):  # fmt: skip
        assert name in said, name


def test_one_family_one_protocol_and_one_direction_are_told_apart() -> None:
    first = passing(policy.changes(LAB)[0], ())
    pairs = {(source, target, protocol) for source, target, protocol, _family, _port in first}
    families = {(source, target, protocol, port): set() for source, target, protocol, _family, port in first}
    for source, target, protocol, family, port in first:
        families[source, target, protocol, port].add(family)
    assert {"ipv4"} in families.values()
    assert {"ipv6"} in families.values()
    assert any((target, source, protocol) not in pairs for source, target, protocol in pairs)


def test_the_policy_of_the_last_change_fails_its_own_tests() -> None:
    refused = policy.changes(LAB)[-1]["refused"]
    (test,) = refused["tests"]
    assert test["deny"] == test["accept"]


def test_each_run_has_ports_of_its_own_that_kernels_do_not_choose() -> None:
    ports = {tuple(policy.ports(LAB.but(policy_run=number))) for number in range(20)}
    assert len(ports) == 20
    assert all(20000 <= port < 32768 for found in ports for port in found)
    assert policy.ports(LAB.but(mesh_probe_ports=[45100])) == [45100]


def test_existing_hosts_are_only_looked_at() -> None:
    hosts = LAB.but(mesh_backend="hosts")
    assert policy.no_change(hosts) == "the policy of an existing server is not changed"
    assert "mesh_probe_ports" in policy.no_listeners(hosts)
    assert policy.no_listeners(hosts.but(mesh_probe_ports=[45100])) == ""
    assert policy.expected(hosts)["changes"] == []
    assert "check mode" in policy.no_change(LAB.but(ansible_check_mode=True))
    assert "starts no listener" in policy.no_listeners(LAB.but(ansible_check_mode=True))
    assert "spare" in policy.no_change(LAB.but(mesh_allow_disruptive=False))
