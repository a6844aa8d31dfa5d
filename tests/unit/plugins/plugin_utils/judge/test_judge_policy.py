# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets against the policy: each outcome has its verdict, and a hint that what was seen supports."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.filtered import Incoming, judge_stored
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.policy import (
    Opening,
    Pair,
    PolicyExpect,
    judge_policy,
)

OWN = Node(name="one", key="nodekey:1", addresses=("100.64.0.1", "fd7a:115c:a1e0::1"))
PEER = Node(name="two", key="nodekey:2", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
CONTEXT = CheckContext(story="us5", assertion="policy", source="one")
OPENING = Opening(open=(4001,), closed=(4002, 4003), rules=("acl 1",), denied="no rule allows tcp 4002")
KINDS = [(protocol, family) for protocol in ("tcp", "udp") for family in (4, 6)]
EXPECT = PolicyExpect(
    own=OWN,
    pairs=(Pair(peer=PEER, seen=True, openings=dict.fromkeys(KINDS, OPENING)),),
    incoming=(
        Incoming("two", ip_address("100.64.0.2"), ip_address("100.64.0.1"), "tcp", 4001, True),
        Incoming("two", ip_address("100.64.0.2"), ip_address("100.64.0.1"), "tcp", 4002, False),
    ),
)
HIDDEN = replace(EXPECT, pairs=(replace(EXPECT.pairs[0], seen=False),))
MATCH = {
    "IPProto": [6, 17],
    "Srcs": ["100.64.0.0/10"],
    "Dsts": [{"Net": "100.64.0.1/32", "Ports": {"First": 4001, "Last": 4001}}],
}


def answer(
    changes: dict[tuple[str, int, int], str | tuple[str, str]] | None = None,
    *,
    arrived: Any = (),
    control: dict[str, Any] | None = None,
    **observations: Any,
) -> dict[str, Any]:
    """Return what a healthy mesh gives, but for these outcomes by protocol, family and port."""
    tries = []
    for protocol, family in KINDS:
        for port in (4001, 4002, 4003):
            found = (changes or {}).get((protocol, family, port), "answered" if port == 4001 else "silent")
            outcome, source = found if isinstance(found, tuple) else (found, OWN.address(family))
            tries.append([PEER.address(family), protocol, port, outcome, source if outcome == "answered" else "", 2.0])
    seen = {"before": True, "after": True, "outcome": "answered", "arrived": arrived and list(arrived)} | (
        control or {}
    )
    data = {
        "ports": {"two": {"tries": tries, "control": seen, "window_ms": 1000.0}},
        "netmap": {"PacketFilter": [MATCH]},
        "prefs": {"ShieldsUp": False},
        "status": {"Self": {"Online": True}, "Peer": {"nodekey:2": {"PublicKey": "nodekey:2"}}},
        **observations,
    }
    return {"observations": {name: {"ok": True, "data": value} for name, value in data.items() if value is not None}}


def judged(seen: dict[str, Any], expect: PolicyExpect = EXPECT, **more: Any) -> dict[tuple[str, str | None], Check]:
    return {(check.aspect, check.family): check for check in judge_policy(seen, CONTEXT, expect, **more)}


def bad(checks: dict[tuple[str, str | None], Check]) -> set[tuple[str, str | None]]:
    return {key for key, check in checks.items() if check.bad}


def test_what_the_policy_says_passes_for_each_protocol_and_family() -> None:
    checks = judged(answer(arrived=[["tcp", "100.64.0.2", 4001]]))
    assert set(checks) == {(p, f"ipv{f}") for p, f in KINDS} | {("filter", None)}
    assert bad(checks) == set()
    check = checks["tcp", "ipv4"]
    assert check.expected == {"address": "100.64.0.2", "open": "4001", "closed": "4002-4003"}
    assert check.observed == {"open": "4001", "closed": "4002-4003"}
    assert check.evidence["watched"] is True


ROWS: list[tuple[str, Any, Any, str]] = [
    ("a closed port answers", {("tcp", 4, 4002): "answered"}, [], "answers on tcp 4002, which the policy denies"),
    ("a firewall hides a leak", {}, [["tcp", "100.64.0.2", 4003]], "only a firewall of two stops it"),
    ("the client drops an open port", {("tcp", 4, 4001): "silent"}, [["udp", "100.64.0.2", 4001]],
     "does not come out of two's mesh interface.*lets UDP in on the same port"),
    ("a firewall drops an open port", {("tcp", 4, 4001): "silent"}, [["tcp", "100.64.0.2", 4001]],
     "comes out of two's mesh interface and is not answered"),
    ("an open port is refused", {("tcp", 4, 4001): "refused"}, [], "a firewall there rejects it"),
    ("a closed port is refused", {("tcp", 4, 4002): "refused"}, [], "instead of staying silent"),
    ("the own firewall refuses", {("tcp", 4, 4001): "prohibited"}, [], "this host's own firewall refuses"),
    ("there is no route", {("tcp", 4, 4001): "net-unreachable"}, [], "does not have two as a peer"),
    ("data is lost", {("tcp", 4, 4001): "stalled"}, [], "packets with data are lost"),
    ("an open port is another one", {("tcp", 4, 4001): "redirected"}, [], "arrives at another port there: a NAT rule"),
    ("a closed port is another one", {("tcp", 4, 4002): "redirected"}, [], "answers on tcp 4002, which the policy denies"),
    ("the source is rewritten", {("tcp", 4, 4001): ("answered", "100.64.0.9")}, [], "a NAT rule rewrites the source"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "arrived", "hint"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_a_difference_fails_its_own_check_and_names_the_cause(changes: Any, arrived: Any, hint: str) -> None:
    import re

    checks = judged(answer(changes, arrived=arrived))
    assert bad(checks) == {("tcp", "ipv4")}
    assert checks["tcp", "ipv4"].verdict == "failed"
    assert re.search(hint, checks["tcp", "ipv4"].hint), checks["tcp", "ipv4"].hint


def test_silence_proves_nothing_while_the_open_port_is_silent() -> None:
    checks = judged(answer(control={"after": False}))
    assert {check.verdict for (aspect, _family), check in checks.items() if aspect != "filter"} == {"error"}
    assert "proves nothing" in checks["udp", "ipv6"].hint


@pytest.mark.parametrize(("alive", "verdict"), [(True, "passed"), (False, "error")])
def test_where_all_is_closed_tailscaled_must_answer(alive: bool, verdict: str) -> None:
    closed = dict.fromkeys(KINDS, Opening(closed=(4001, 4002, 4003), denied="no rule"))
    expect = replace(EXPECT, pairs=(replace(EXPECT.pairs[0], openings=closed),))
    changes: Any = {(protocol, family, 4001): "silent" for protocol, family in KINDS}
    pings = {"100.64.0.2": {"answered": alive}}
    seen = answer(changes, control={"before": False, "after": False}, tsmp=pings)
    assert judged(seen, expect)["tcp", "ipv4"].verdict == verdict


def test_nodes_that_no_rule_joins_must_not_be_peers() -> None:
    quiet: Any = {(protocol, family, 4001): "silent" for protocol, family in KINDS}
    gone = judged(answer(quiet, status={"Self": {}, "Peer": {}}), HIDDEN)
    assert bad(gone) == set()
    assert gone["hidden", None].evidence["refused_by"] == "absence"
    kept = judged(answer(quiet), HIDDEN)
    assert bad(kept) == {("hidden", None)}
    assert "still has two as a peer" in kept["hidden", None].hint
    answering = judged(answer(status={"Self": {}, "Peer": {}}), HIDDEN)
    assert "although no rule joins the nodes" in answering["hidden", None].hint


def test_the_filter_of_the_client() -> None:
    shut = judged(answer(netmap={"PacketFilter": []}))["filter", None]
    assert "keeps out what the policy allows: tcp 4001 from two" in shut.hint
    wide = {**MATCH, "Dsts": [{"Net": "100.64.0.0/10", "Ports": {"First": 0, "Last": 65535}}]}
    leaking = judged(answer(netmap={"PacketFilter": [wide]}, status={"Self": {"Online": False}, "Peer": {}}))
    assert "lets in what the policy denies: tcp 4002 from two" in leaking["filter", None].hint
    assert "not connected to the control server" in leaking["filter", None].hint
    shields = judged(answer(prefs={"ShieldsUp": True}))["filter", None]
    assert shields.verdict == "failed"
    assert "shields are up" in shields.hint


def test_an_old_client_that_shows_no_filter_is_skipped() -> None:
    seen = answer()
    seen["observations"]["netmap"] = {"ok": False, "error": {"type": "refused", "message": "1.90 or later does"}}
    check = judged(seen)["filter", None]
    assert (check.verdict, check.hint) == ("skipped", "1.90 or later does")


def test_a_first_look_after_the_budget_blames_no_node() -> None:
    expect = replace(EXPECT, phase="widened", budget_s=30.0)
    late = judged(answer(), expect, elapsed_s=31.0)
    assert bad(late) == set()
    assert late["widened.tcp", "ipv4"].evidence["after_s"] == 31.0


def test_what_the_inventory_states_otherwise() -> None:
    assert not bad(judged(answer(), replace(EXPECT, stated=())))
    checks = judged(answer(), replace(EXPECT, stated=("by the policy one reaches two on *",)))
    assert "mesh_expect disagree: by the policy one reaches two on *" in checks["stated", None].hint


@pytest.mark.parametrize(("same", "verdict"), [(True, "passed"), (False, "failed"), (None, "error")])
def test_the_policy_of_the_server(same: bool | None, verdict: str) -> None:
    seen = {"observations": {"policy": {"ok": True, "data": {"updatedAt": "2026-01-31T12:00:00Z"}}}}
    check = judge_stored(seen, CONTEXT, "{}", "widened", same)
    assert (check.id, check.verdict) == ("us5.policy.widened.stored", verdict)
    assert same is not False or "something else set it at 2026-01-31T12:00:00Z" in check.hint


@pytest.mark.parametrize(
    "nothing", [{}, None, {"observations": None}, {"observations": {"ports": {"ok": True, "data": 7}}}]
)
def test_nothing_observed_is_an_error_with_a_reason(nothing: Any) -> None:
    checks = judge_policy(nothing, CONTEXT, EXPECT)
    assert {check.verdict for check in checks} == {"error"}
    assert all(check.hint for check in checks)


@pytest.mark.parametrize(
    "rubbish", [[1], [["a", "b"]], [[None] * 6], "text", {"x": 1}, [["tcp", ["x"], 8080]], [["tcp", {}, True]]]
)
def test_rubbish_of_a_hostile_node_passes_nothing(rubbish: Any) -> None:
    seen = answer(arrived=rubbish)
    seen["observations"]["ports"]["data"]["two"]["tries"] = rubbish
    seen["observations"]["netmap"]["data"] = {"PacketFilter": rubbish}
    checks = judged(seen)
    assert all(check.verdict != "passed" for check in checks.values())


def test_a_closed_port_without_a_row_is_an_error() -> None:
    seen = answer()
    found = seen["observations"]["ports"]["data"]["two"]
    found["tries"] = [row for row in found["tries"] if row[:3] != [PEER.address(4), "tcp", 4002]]
    checks = judged(seen)
    assert bad(checks) == {("tcp", "ipv4")}
    assert checks["tcp", "ipv4"].verdict == "error"
    assert "the probe's answer does not contain 4002" in checks["tcp", "ipv4"].hint
