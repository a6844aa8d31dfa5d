# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the evaluator with headscale: the packet filters and peers that real clients receive for generated policies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import ApiError, BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import Evaluation, Node, Policy
from hypothesis import HealthCheck, Phase, given, settings
from policy_strategies import DEFINITIONS, policies

from .policy_mesh import PolicyMesh, View, policy_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

_PROBES = [
    *((protocol, number, port) for protocol, number in (("tcp", 6), ("udp", 17)) for port in (22, 23, 80, 86, 443, 8080, 65535)),
    ("sctp", 132, 22), ("sctp", 132, 8080), ("icmp", 0, 0), ("gre", 47, 0), ("89", 89, 0),
]  # fmt: skip
_DELICATE = [
    {"dst": ["lan"], "ip": ["*"], "via": ["tag:router"]},
    {"dst": ["10.1.2.0/24"], "ip": ["tcp:22"], "via": ["tag:web", "tag:router"]},
    {"dst": ["autogroup:internet"], "ip": ["*"], "via": ["tag:exit"]},
    {"dst": ["autogroup:internet"], "ip": ["*"], "via": ["tag:router"]},
    {"dst": ["autogroup:internet"], "ip": ["*"]},
    {"dst": ["autogroup:self", "tag:web"], "ip": ["22"]},
    {"dst": ["tag:exit"], "app": {"tailscale.com/cap/relay": [{}]}},
    {"dst": ["group:staff"], "app": {"example.com/cap": [{}]}},
    {"dst": ["group:staff"], "ip": ["22"]},
]
_ICMP = {"ipv4": 1, "ipv6": 58}
_PLAIN = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyMesh]:
    """A real server with real clients."""
    with policy_mesh(tmp_path_factory.mktemp("policies")) as running:
        yield running


def _differences(mesh: PolicyMesh, evaluation: Evaluation, views: dict[str, View]) -> Iterator[str]:
    for source in mesh.nodes:
        for target in mesh.nodes:
            if source is not target:
                yield from _of_pair(mesh, evaluation, views[target.name], source, target)


def _of_pair(mesh: PolicyMesh, evaluation: Evaluation, view: View, source: Node, target: Node) -> Iterator[str]:
    sees = evaluation.sees(target, source)
    # Headscale does not take back a node that it showed before, as long as that node sees this one.
    kept = source.name in view.peers and evaluation.sees(source, target)
    if not kept and (source.name in view.peers) != sees and mesh.sees(target.name, source.name, sees) != sees:
        yield f"{target.name} {'does not see' if sees else 'sees'} {source.name}"
    for family, icmp in _ICMP.items():
        addresses = str(source.address(family)), str(target.address(family))
        for protocol, number, port in _PROBES:
            mesh.cases += 1
            decided = evaluation.decide(source, target, protocol, port, family)
            if decided != view.accepts(*addresses, number or icmp, port):
                yield f"{source.name} to {target.name}, {family} {protocol} {port}: {evaluation.explain(source, target, protocol, port, family)}"


def _compare(mesh: PolicyMesh, policy: dict[str, Any]) -> None:
    installed, views = mesh.install(policy)
    different = list(_differences(mesh, Evaluation(Policy.read(installed), mesh.nodes), views))
    assert different == [], json.dumps({"acls": policy["acls"], "grants": policy["grants"]}, indent=1)


def _agree_on_refusal(mesh: PolicyMesh, policy: dict[str, Any]) -> None:
    try:
        mesh.api.check_policy(json.dumps(policy))
        accepted = True
    except ApiError:
        accepted = False
    try:
        Policy.read(policy)
        read, why = True, ""
    except BadInput as error:
        read, why = False, str(error)
    assert read == accepted, f"{why}: {json.dumps({'acls': policy['acls'], 'grants': policy['grants']}, indent=1)}"


def _many(mesh: PolicyMesh, count: int) -> None:
    """Compare many policies, and many that may be wrong."""

    @settings(_PLAIN, max_examples=count)
    @given(policies())
    def compare(policy: dict[str, Any]) -> None:
        _compare(mesh, policy)

    @settings(_PLAIN, max_examples=count)
    @given(policies(wrong=True))
    def refuse(policy: dict[str, Any]) -> None:
        _agree_on_refusal(mesh, policy)

    compare()
    refuse()


def test_delicate_grants_mean_what_headscale_makes_of_them(mesh: PolicyMesh) -> None:
    for grant in _DELICATE:
        _compare(mesh, {**DEFINITIONS, "acls": [], "grants": [{"src": ["bob@"], **grant}]})


def test_some_generated_policies_mean_what_headscale_makes_of_them(mesh: PolicyMesh) -> None:
    before = mesh.cases
    _many(mesh, 10)
    assert mesh.cases - before >= 500


@pytest.mark.slow
def test_many_generated_policies_mean_what_headscale_makes_of_them(mesh: PolicyMesh) -> None:
    before = mesh.cases
    _many(mesh, 300)
    assert mesh.cases - before >= 10_000
