# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Isolation over many ports, UDP and other protocols."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.isolated import (
    Isolated,
    Wall,
    answered,
    judge_isolated,
)

HOST, ROUTER = "10.0.0.10", "192.168.1.1"
WALL = replace(mesh.WALLS[0], tcp=(22, 3389), udp=(53, 123))
ALIVE = mesh.echoed(WALL.mesh)
QUIET = {"sent": 1, "received": 0, "rtt_ms": [], "errors": []}


def judged(*rows: dict[str, Any], echo: Any = None, wall: Wall = WALL, **more: Any) -> dict[str, Check]:
    """Return the checks by aspect where every attempt that is not given was refused by the router."""
    given = {(row["protocol"], row["port"]): row for row in rows}
    attempts = [("tcp", port) for port in wall.tcp] + [("udp", port) for port in wall.udp] + [("sctp", 0), ("gre", 0)]
    knocks = [given.get(key) or mesh.knocked(*key) for key in attempts]
    answer = mesh.answer(
        icmp=mesh.seen({HOST: echo or mesh.refused(), **ALIVE}),
        knock=mesh.seen([{**row, "host": wall.address} for row in knocks]),
    )
    expect = Isolated(**{"walls": (wall,), "protocols": ("sctp", "gre"), **more})
    return {check.aspect: check for check in judge_isolated(answer, mesh.context("isolated"), expect)}


def test_refusals_of_a_router_pass() -> None:
    found = judged()
    assert {aspect: check.verdict for aspect, check in found.items()} == dict.fromkeys(
        ("icmp", "tcp", "udp", "protocols"), "passed"
    )
    assert found["udp"].expected == {"address": HOST, "ports": [53, 123], "refused": True}
    assert found["udp"].observed == f"net-unreachable from {ROUTER}"


@pytest.mark.parametrize(
    ("row", "aspect", "over"),
    [
        (mesh.knocked("udp", 123, "port-unreachable", HOST), "udp", "UDP port 123"),
        (mesh.knocked("udp", 123, "answered", HOST), "udp", "UDP port 123"),
        (mesh.knocked("udp", 123, "host-prohibited", HOST), "udp", "UDP port 123"),
        (mesh.knocked("tcp", 3389, "connected", HOST), "tcp", "TCP port 3389"),
        (mesh.knocked("tcp", 3389, "host-prohibited", HOST), "tcp", "TCP port 3389"),
        (mesh.knocked("gre", 0, "protocol-unreachable", HOST), "protocols", "GRE"),
        (mesh.knocked("sctp", 0, "answered", HOST), "protocols", "SCTP"),
    ],
)
def test_one_port_or_protocol_that_gets_through_fails(row: dict[str, Any], aspect: str, over: str) -> None:
    found = judged(row)
    assert {name for name, check in found.items() if check.verdict != "passed"} == {aspect}
    check = found[aspect]
    assert check.verdict == "failed"
    assert f"over {over}, although {ROUTER} refuses echo requests" in check.hint
    assert row["outcome"] in check.observed
    assert ROUTER not in check.observed, "only what reached the host"


def test_where_everything_gets_through_the_route_is_named() -> None:
    reached = mesh.echoed(HOST, sent=1, received=1)[HOST]
    found = judged(mesh.knocked("udp", 53, "port-unreachable", HOST), echo=reached)
    assert "have a route to each other" in found["udp"].hint


@pytest.mark.parametrize(
    ("outcome", "by", "verdict"),
    [
        ("port-unreachable", ROUTER, "passed"),
        ("prohibited", "local", "passed"),
        ("timeout", "", "passed"),
        ("port-unreachable", "local", "error"),
        ("EINVAL", "local", "error"),
        ("deadline", "", "error"),
        ("", "", "error"),
    ],
)
def test_what_a_router_or_this_host_says_of_a_datagram(outcome: str, by: str, verdict: str) -> None:
    check = judged(mesh.knocked("udp", 53, outcome, by))["udp"]
    assert check.verdict == verdict
    assert bool(check.hint) is (verdict != "passed")


def test_silence_of_a_port_needs_the_mesh_and_patience_where_nothing_was_refused() -> None:
    silent = mesh.knocked("udp", 53, "timeout", "")
    assert judged(silent, echo=QUIET)["udp"].verdict == "passed"
    assert judged(silent, echo=QUIET, patient=True)["udp"].verdict == "error"
    assert judged(silent)["udp"].evidence["proof"] == "refusal; silence, with an ICMP refusal"


def test_silence_of_a_host_without_a_mesh_address_proves_nothing_and_says_why() -> None:
    check = judged(echo=QUIET, wall=replace(WALL, mesh=""))["icmp"]
    assert check.verdict == "error"
    assert "the mesh address of two is not known" in check.hint


def test_silence_of_udp_beside_a_refusal_counts_once_it_was_tried_again() -> None:
    silent = mesh.knocked("udp", 53, "timeout", "")
    assert judged(silent, hasty=True)["udp"].verdict == "error"
    assert judged(hasty=True)["udp"].verdict == "passed", "a refusal needs no second look"
    assert judged(mesh.knocked("gre", 0, "timeout", ""), hasty=True)["protocols"].verdict == "passed"


def test_a_datagram_that_the_host_has_captured_fails_although_it_refused_none() -> None:
    check = judged(mesh.knocked("udp", 123, "arrived", HOST))["udp"]
    assert (check.verdict, check.observed) == ("failed", "123: arrived")
    assert f"over UDP port 123, although {ROUTER} refuses echo requests" in check.hint


def test_the_word_of_a_host_that_nothing_arrived_is_a_proof_at_once() -> None:
    silent = {**mesh.knocked("udp", 53, "timeout", ""), "asked": True}
    assert judged(silent, hasty=True)["udp"].evidence["proof"] == "nothing arrived; refusal"
    assert judged(silent, echo=QUIET, patient=True)["udp"].verdict == "passed"


def test_silence_does_not_refute_what_an_earlier_look_has_shown() -> None:
    earlier = {**mesh.knocked("udp", 53, "port-unreachable", HOST), "host": HOST}
    by_router, connected = mesh.knocked("udp", 123), mesh.knocked("tcp", 22, "refused", HOST)
    rows = [earlier, *({**row, "host": HOST} for row in (by_router, connected))]
    reached = answered(mesh.answer(knock=mesh.seen(rows)))
    assert reached == {(HOST, "udp", 53, 0): earlier}
    for outcome in ("timeout", "untried"):
        check = judged(mesh.knocked("udp", 53, outcome, ""), reached=reached)["udp"]
        assert (check.verdict, check.observed) == ("failed", f"53: port-unreachable from {HOST}")
    assert judged(reached=reached)["udp"].verdict == "passed", "a refusal of the router does"


def test_ports_that_were_not_tried_any_more_are_told() -> None:
    rows = mesh.knocked("udp", 53, "port-unreachable", HOST), mesh.knocked("udp", 123, "untried", "")
    check = judged(*rows)["udp"]
    assert check.verdict == "failed"
    assert check.observed == f"53: port-unreachable from {HOST}; 123: untried"
    assert "over UDP port 53, although" in check.hint


def test_an_attempt_that_was_not_made_proves_nothing() -> None:
    answer = mesh.answer(icmp=mesh.seen({HOST: mesh.refused(), **ALIVE}), knock=mesh.unseen("deadline", "no answer"))
    expect = Isolated(walls=(WALL,), protocols=("gre",))
    found = {check.aspect: check for check in judge_isolated(answer, mesh.context("isolated"), expect)}
    assert [found[aspect].verdict for aspect in ("tcp", "udp", "protocols")] == ["error"] * 3
    assert found["udp"].hint == "no answer"


def test_protocols_that_a_user_may_not_send_are_skipped() -> None:
    check = judged(mesh.knocked("sctp", 0, "not-permitted", ""))["protocols"]
    assert check.verdict == "skipped"
    assert "become: true" in check.hint


def test_what_the_inventory_forbids_is_skipped_with_the_reason() -> None:
    wall = replace(mesh.WALLS[0])
    found = judged(wall=wall, protocols=(), untried="set mesh_probe_ports")
    assert {aspect: check.verdict for aspect, check in found.items()} == {
        "icmp": "passed", "tcp": "passed", "udp": "skipped", "protocols": "skipped",
    }  # fmt: skip
    assert found["udp"].hint == "set mesh_probe_ports"


def test_the_public_address_of_a_router_drops() -> None:
    wall = Wall(name="two", address="203.0.113.3", mesh=WALL.mesh, other="public", tcp=(22,), udp=(53,), drops=True)
    silent = [mesh.knocked("tcp", 22, "timeout", ""), mesh.knocked("udp", 53, "timeout", "")]
    found = judged(*silent, wall=wall, patient=True)
    assert {aspect: check.verdict for aspect, check in found.items()} == {
        "tcp.public": "passed",
        "udp.public": "passed",
    }
    for row in (
        mesh.knocked("udp", 53, "port-unreachable", wall.address),
        mesh.knocked("udp", 53, "answered", wall.address),
    ):
        check = judged(silent[0], row, wall=wall)["udp.public"]
        assert check.verdict == "failed"
        assert "UDP port 53 of 203.0.113.3 leads to a host behind that router" in check.hint


def test_protocols_without_ports_are_not_tried_where_two_nodes_would_open_the_way_for_each_other() -> None:
    wall = Wall(name="two", address="fd02::10", mesh=WALL.mesh, other="ipv6")
    assert judged(wall=wall)["protocols.ipv6"].expected["protocols"] == ["sctp"]
    expect = Isolated(walls=(wall,), protocols=("sctp", "gre"))
    assert expect.over(replace(wall, drops=True)) == ()


def test_a_port_chosen_at_random_does_not_change_the_check_between_runs() -> None:
    found = judged(wall=replace(WALL, udp=(53, 40000)), chosen=(40000,))["udp"]
    assert found.expected["ports"] == [53]
    assert found.evidence["random_ports"] == [40000]
    check = judged(mesh.knocked("udp", 40000, "answered", HOST), wall=replace(WALL, udp=(53, 40000)), chosen=(40000,))[
        "udp"
    ]
    assert "UDP port 40000" in check.hint


@pytest.mark.parametrize(("protocol", "source"), [("tcp", 443), ("udp", 53)])
def test_what_gets_through_from_the_port_of_a_server_only_is_told(protocol: str, source: int) -> None:
    wall = replace(WALL, tcp=(22, 40000), udp=(53, 40000))
    outcome = "connected" if protocol == "tcp" else "port-unreachable"
    knocks = [
        {**(mesh.knocked(name, 40000, outcome, HOST) if (name, port) == (protocol, source) else mesh.knocked(name, 40000)),
         "host": HOST, "source": port}
        for name, port in (("tcp", 443), ("udp", 53))
    ]  # fmt: skip
    plain = [{**mesh.knocked(*key), "host": HOST} for key in (("tcp", 22), ("tcp", 40000), ("udp", 53), ("udp", 40000))]
    answer = mesh.answer(icmp=mesh.seen({HOST: mesh.refused(), **ALIVE}), knock=mesh.seen([*plain, *knocks]))
    checks = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=(wall,), chosen=(40000,)))
    assert [check.aspect for check in checks if check.bad] == [protocol]
    (check,) = [check for check in checks if check.bad]
    assert f"over {protocol.upper()} port 40000 from port {source}, although {ROUTER} refuses" in check.hint
    assert f"-p {source} -w 3 {HOST} 40000" in check.reproduce
    assert check.expected["ports"] == [22 if protocol == "tcp" else 53], "a random port is not stated"


def test_a_random_protocol_is_tried_and_not_stated() -> None:
    rows = [{**mesh.knocked(name, 0), "host": HOST} for name in ("sctp", "gre")]
    through = {**mesh.knocked("protocol-200", 0, "protocol-unreachable", HOST), "host": HOST}
    answer = mesh.answer(icmp=mesh.seen({HOST: mesh.refused(), **ALIVE}), knock=mesh.seen([*rows, through]))
    expect = Isolated(walls=(replace(WALL, tcp=(), udp=()),), protocols=("sctp", "gre", "protocol-200"))
    check = judge_isolated(answer, mesh.context("isolated"), expect)[-1]
    assert (check.verdict, check.expected["protocols"]) == ("failed", ["sctp", "gre"])
    assert "over PROTOCOL-200, although" in check.hint
    assert check.evidence["random_protocol"] == "protocol-200"
