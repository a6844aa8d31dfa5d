# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host behind a router enters the mesh with its own address, or is stopped by the policy; else the hint says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.admitted import Admitted, judge_admitted
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from healthy_mesh import context

OWN = {4: "192.168.1.20", 6: "fd00:a::20"}
NODE = Node(name="two", id="2", key="nodekey:2", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
ROUTER = Node(name="one", id="1", key="nodekey:1", addresses=("100.64.0.1", "fd7a:115c:a1e0::1"))
PORTS = {known: {"tcp": {"port": 4000}, "udp": {"port": 4001}} for known in NODE.addresses}
ADMITTED = Admitted(
    host="printer", addresses=OWN, prefixes={4: "192.168.1.0/24", 6: "fd00:a::/64"}, node=NODE, router="one",
    router_node=ROUTER, serving={"token": "t", "ports": PORTS},
)  # fmt: skip


def entered(outcome: str = "answered", sources: dict[int, str] | None = None, **only: str) -> dict[str, Any]:
    """Return what both protocols made of both addresses; `only` gives one protocol another outcome."""
    found: dict[str, Any] = {}
    for known, source in zip(NODE.addresses, (OWN | (sources or {})).values(), strict=True):
        found[known] = {
            protocol: {"outcome": said, **({"seen": {"from": source}} if said == "answered" else {})}
            for protocol in ("tcp", "udp")
            if (said := only.get(protocol, outcome))
        }
    return {"observations": {"exchange": {"ok": True, "data": found}}}


def test_a_host_that_enters_with_its_own_address_passes() -> None:
    checks = judge_admitted(entered(), context("admitted"), ADMITTED)
    assert [(check.aspect, check.family, check.verdict) for check in checks] == [
        (aspect, family, "passed") for family in ("ipv4", "ipv6") for aspect in ("tcp", "source", "udp", "source")
    ]


def test_only_families_of_both_ends_are_judged() -> None:
    expect = replace(ADMITTED, addresses={4: OWN[4]})
    assert {check.family for check in judge_admitted(entered(), context("admitted"), expect)} == {"ipv4"}


@pytest.mark.parametrize(
    ("outcome", "changes", "hint"),
    [
        ("timeout", {}, "two must accept routes (`tailscale set --accept-routes` there), the policy must let 192.168.1.0/24 reach it"),
        ("timeout", {"said": {"forwarding4": False}}, "the router one does not forward packets: set net.ipv4.ip_forward there"),
        ("timeout", {"said": {"forwarding6": False}}, "packets of printer leave for two, and no answer returns (timeout)"),
        ("timeout", {"state": {"serving": ["10.0.0.0/24"]}}, "the server does not serve 192.168.1.0/24 through one"),
        ("net-unreachable", {}, "printer has no way into the mesh (net-unreachable): it needs a route to 100.64.0.2 through the router one"),
        ("refused", {}, "something refuses the connection to two, where meshctl listens: a firewall of the router one or of two"),
        ("timeout", {"serving": {"error": "no port is free"}}, "two cannot be asked over TCP: no port is free"),
        ("timeout", {"serving": {}}, "two cannot be asked over TCP: it did not start to listen"),
    ],
)  # fmt: skip
def test_a_host_that_does_not_enter_says_why(outcome: str, changes: dict[str, Any], hint: str) -> None:
    checks = judge_admitted(entered(outcome), context("admitted"), replace(ADMITTED, **changes))
    first = checks[0]
    assert (first.aspect, first.family, first.verdict) == ("tcp", "ipv4", "failed")
    assert hint in first.hint
    assert {check.verdict for check in checks if check.aspect == "source"} == {"error"}


def test_a_masquerading_router_is_told_from_another_address() -> None:
    seen = entered(sources={4: "100.64.0.1", 6: "fd00:a::99"})
    wrong = {
        check.family: check for check in judge_admitted(seen, context("admitted"), ADMITTED) if check.aspect == "source"
    }
    assert {check.verdict for check in wrong.values()} == {"failed"}
    assert (
        "sees the router's mesh address 100.64.0.1 instead of 192.168.1.20: the router one masquerades"
        in wrong["ipv4"].hint
    )
    assert "sees fd00:a::99 instead of fd00:a::20: something on the way changes the address" in wrong["ipv6"].hint


def test_a_host_that_the_policy_stops_is_silent() -> None:
    expect = replace(ADMITTED, admitted=False, aspect="forbidden")
    checks = judge_admitted(entered("timeout"), context("admitted"), expect)
    assert {(check.id, check.verdict) for check in checks} == {("us1.admitted.silent.forbidden", "passed")}
    assert len(checks) == 4
    for outcome, hint in (
        ("answered", "printer reaches two, which sees 192.168.1.20, although"),
        ("refused", "are refused (refused) instead of dropped"),
    ):
        first = judge_admitted(entered(outcome), context("admitted"), expect)[0]
        assert first.verdict == "failed"
        assert hint in first.hint


@pytest.mark.parametrize("admitted", [True, False])
def test_what_was_not_observed_is_an_error(admitted: bool) -> None:
    checks = judge_admitted({}, context("admitted"), replace(ADMITTED, admitted=admitted))
    assert {check.verdict for check in checks} == {"error"}
