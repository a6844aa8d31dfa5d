# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a host is, what its lines lose, what its own files answer, and what leaves it unencrypted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.addressed import judge_addressed
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.encrypted import Encrypted, judge_encrypted
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.path import ExpectedPath
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.propagates import Propagates, judge_propagates
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import (
    Reachable,
    judge_reachable,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.steady import hidden_losses, judge_steady

TWO4, TWO6 = mesh.TWO.addresses


def addressed(links: Any = None, routes: Any = None, **place: Any) -> dict[str, Check]:
    answer = mesh.answer(addresses=mesh.seen(links or mesh.links()), routes=mesh.seen(routes or mesh.routes()))
    found = judge_addressed(answer, mesh.context("addressed"), replace(mesh.PLACE, **place))
    return {check.aspect: check for check in found}


def link(name: str, *addresses: str) -> dict[str, Any]:
    return {"name": name, "addresses": list(addresses)}


def route(dst: str, **more: Any) -> dict[str, Any]:
    return {"dst": dst, "dev": "eth0", **more}


def test_the_address_must_be_there_with_its_prefix_on_a_physical_interface() -> None:
    for wrong in (
        [link("eth0", "192.168.1.11/24")],
        [link("eth0", "192.168.1.10/16")],
        [link("lo", "192.168.1.10/24")],
        [link("tailscale0", "192.168.1.10/24")],
        [link("eth0")],
    ):
        check = addressed([*wrong, link("eth1", "172.16.0.1/24")])["address"]
        assert check.verdict == "failed", wrong
        assert "the inventory says 192.168.1.10/24" in check.hint


def test_an_address_of_another_subnet_bridges_the_two() -> None:
    check = addressed([link("eth0", "192.168.1.10/24"), link("eth1", "10.0.0.77/24")])["address"]
    assert check.verdict == "failed"
    assert "10.0.0.77/24, an address of another subnet" in check.hint
    assert check.observed == {"addresses": {"eth0": ["192.168.1.10/24"], "eth1": ["10.0.0.77/24"]}}


def test_addresses_that_cannot_be_read_are_no_others() -> None:
    check = addressed([link("eth0", "192.168.1.10/24", "?", ""), {"name": 7, "addresses": None}, None])["address"]
    assert check.verdict == "passed"


@pytest.mark.parametrize(
    ("routes", "verdict", "said"),
    [
        ([route("default", gateway="192.168.1.1")], "passed", ""),
        ([route("default", gateway="192.168.1.1", table="main")], "passed", ""),
        ([route("default", gateway="192.168.1.1", table="254")], "passed", ""),
        ([route("default", gateway="192.168.1.1", table="52")], "failed", "should be via 192.168.1.1"),
        ([route("default", gateway="192.168.1.2")], "failed", "should be via 192.168.1.1"),
        ([route("0.0.0.0", gateway="192.168.1.1")], "failed", "should be via 192.168.1.1"),
        ([], "failed", "should be via 192.168.1.1"),
        (
            [route("default", gateway="192.168.1.1"), route("10.0.0.0/24")],
            "failed",
            "its own route to 10.0.0.0/24",
        ),
        ([route("default", gateway="192.168.1.1"), route("10.0.0.9")], "failed", "ip route del 10.0.0.9"),
        ([route("default", gateway="192.168.1.1"), route("10.0.0.0/24", table="52")], "passed", ""),
        ([route("default", gateway="192.168.1.1"), route("172.16.0.0/12"), route("x")], "passed", ""),
    ],
)
def test_the_way_out_is_the_router_and_there_is_no_other(routes: Any, verdict: str, said: str) -> None:
    check = addressed(routes={"routes": routes})["gateway"]
    assert check.verdict == verdict
    assert said in check.hint


@pytest.mark.parametrize(
    ("taken", "verdict"),
    [
        ({"gateway": "192.168.1.1", "dev": "eth0"}, "passed"),
        ({"error": "network is unreachable"}, "passed"),
        ({"gateway": "192.168.1.5", "dev": "eth0"}, "failed"),
        ({"dev": "tunnel0"}, "failed"),
    ],
)
def test_the_way_that_the_kernel_takes_counts_and_not_the_table_alone(taken: dict[str, str], verdict: str) -> None:
    check = addressed(routes={**mesh.routes(), "get": {"10.0.0.1": taken}})["gateway"]
    assert check.verdict == verdict
    assert ("10.0.0.0/24 via" in check.hint) is (verdict == "failed")


def test_a_host_without_a_router_has_no_gateway_to_check() -> None:
    assert set(addressed(gateway="")) == {"address"}


# -- steadily --


def steady(sent: int = 20, received: int = 20, large: int = 3, large6: int = 3, **expect: Any) -> dict[str, Check]:
    answer = mesh.answer(
        steady=mesh.seen(mesh.echoed(TWO4, TWO6, sent=sent, received=received)),
        large=mesh.seen({**mesh.echoed(TWO4, received=large), **mesh.echoed(TWO6, received=large6)}),
    )
    found = judge_steady(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,), **expect))
    return {check.aspect: check for check in found}


@pytest.mark.parametrize(
    ("received", "budget", "verdict"),
    [(20, 5.0, "passed"), (19, 5.0, "passed"), (18, 5.0, "failed"), (18, 10.0, "passed"), (17, 10.0, "failed"),
     (19, 0.0, "failed"), (0, 5.0, "failed"), (0, 100.0, "passed")],
)  # fmt: skip
def test_what_a_line_may_lose(received: int, budget: float, verdict: str) -> None:
    check = steady(received=received, loss_budget=budget)["loss"]
    assert check.verdict == verdict
    assert check.observed == {"sent": 40, "received": 2 * received, "lost_percent": round(5.0 * (20 - received), 1)}


def test_one_packet_may_always_be_lost() -> None:
    only4 = Reachable(peers=(mesh.TWO,), families=(4,), loss_budget=0)
    assert only4.lost_at_most(5) == 1
    assert Reachable(peers=()).lost_at_most(40) == 2
    assert Reachable(peers=()).lost_at_most(60) == 3


def test_the_share_that_is_lost_is_named() -> None:
    assert "50 % of the packets are lost" in steady(received=10)["loss"].hint


@pytest.mark.parametrize(
    ("large", "large6", "received", "verdict", "said"),
    [
        (3, 3, 20, "passed", ""),
        (1, 1, 20, "passed", ""),
        (0, 0, 20, "failed", "MTU"),
        (3, 0, 20, "failed", "MTU"),
        (0, 0, 0, "failed", "no packet is answered"),
    ],
)
def test_large_packets_must_get_through(large: int, large6: int, received: int, verdict: str, said: str) -> None:
    check = steady(large=large, large6=large6, received=received)["large"]
    assert check.verdict == verdict
    assert said in check.hint


@pytest.mark.parametrize("sent", [0, -1, None, "3", True])
def test_a_burst_that_was_not_sent_proves_nothing(sent: Any) -> None:
    broken = {address: {"sent": sent, "received": 0} for address in (TWO4, TWO6)}
    whole = mesh.seen(mesh.echoed(TWO4, TWO6))
    expect = Reachable(peers=(mesh.TWO,))
    for names in (("steady", "large"), ("large", "steady")):
        answer = mesh.answer(**dict(zip(names, (mesh.seen(broken), whole), strict=True)))
        checks = {check.aspect: check for check in judge_steady(answer, mesh.context("reachable"), expect)}
        assert checks["large"].verdict == "error"
        assert checks["large"].hint
        assert checks["loss"].verdict == ("error" if names[0] == "steady" else "passed")


def test_more_answers_than_questions_are_no_pass() -> None:
    assert steady(sent=20, received=21)["loss"].verdict == "error"


def pings(expected_paths: str, lost: int = 0, **more: Any) -> dict[str, Any]:
    """Return disco pings: `d` came directly, `r` by the relay, `e` was refused."""
    answers = [
        {"err": "no" if way == "e" else "", "endpoint": "203.0.113.3:1" if way == "d" else "", "derp": "lab"}
        for way in expected_paths
    ]
    return {"answers": answers, "lost": lost, **more}


def hidden(pinged: Any, **expect: Any) -> list[Check]:
    answer = mesh.answer(direct=mesh.seen({TWO4: pinged}))
    return hidden_losses(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,), **expect))


@pytest.mark.parametrize(
    ("expected_paths", "lost", "share"),
    [
        ("drdrdrdr", 0, 50.0),
        ("rrrdrrr", 0, 75.0),
        ("ddddddd", 7, 50.0),
        ("drr", 1, 75.0),
        ("dddddddddddddrrr", 0, 18.8),
    ],
)
def test_what_the_relay_hides_is_lost_all_the_same(expected_paths: str, lost: int, share: float) -> None:
    (check,) = hidden(pings(expected_paths, lost))
    assert (check.id, check.target, check.verdict) == ("us1.reachable.loss", "two", "failed")
    assert check.observed["lost_percent"] == share
    assert 100 * (1 - check.observed["received"] / check.observed["sent"]) == pytest.approx(share, abs=0.06)
    assert f"{share:g} % of the packets are lost on the direct path" in check.hint


@pytest.mark.parametrize(
    ("expected_paths", "lost"),
    [
        ("d" * 16, 0),
        ("d" * 14, 2),
        ("rrrrrrrrdddd", 0),
        ("r" * 16, 0),
        ("", 16),
        ("r" * 8, 8),
        ("drd", 0),
        ("ddddee", 2),
    ],
)
def test_a_path_that_was_being_found_or_is_the_relays_hides_nothing(expected_paths: str, lost: int) -> None:
    assert hidden(pings(expected_paths, lost)) == []


def test_a_budget_that_allows_it_is_kept() -> None:
    assert hidden(pings("ddddddddddddrrrr"), loss_budget=25) == []
    assert len(hidden(pings("ddddddddddddrrrr"), loss_budget=24)) == 1


@pytest.mark.parametrize("pinged", [None, {}, 7, {"answers": 3}, {"answers": [None, "x"], "lost": "y"}])
def test_pings_of_no_known_shape_hide_nothing(pinged: Any) -> None:
    assert hidden(pinged) == []
    assert hidden_losses(None, mesh.context("reachable"), Reachable(peers=(mesh.TWO,))) == []


def test_a_peers_address_on_this_host_answers_for_the_peer() -> None:
    answer = mesh.answer(
        icmp=mesh.seen(mesh.echoed(TWO4, TWO6)), addresses=mesh.seen([link("lo", "127.0.0.1/8", f"{TWO4}/32")])
    )
    checks = {
        check.id: check for check in judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,)))
    }
    assert checks["us1.reachable.ipv4"].verdict == "failed"
    assert "is an address of this host" in checks["us1.reachable.ipv4"].hint
    assert checks["us1.reachable.ipv6"].verdict == "passed"


# -- the host's own files --


def local(
    hosts: str | None = "", nsswitch: str = "hosts: files dns", *changes: Any, **more: Any
) -> dict[tuple[str, str | None], Check]:
    answer, _judge = mesh.CASES["resolves"]
    observations = {**answer["observations"], **more}
    files = {"/etc/nsswitch.conf": {"text": nsswitch}} | ({} if hosts is None else {"/etc/hosts": {"text": hosts}})
    observations["files"] = mesh.seen(files)
    for name, addresses in changes:
        lookups = mesh.lookups()
        rows = lookups["during"]["getaddrinfo"]["data"]
        rows[:] = [mesh.looked_up(name, *addresses) if row["name"] == name else row for row in rows]
        observations["lookups"] = mesh.seen(lookups)
    expect = Names(present=mesh.NAMES, absent=("gone.mesh.internal",), outside=("outside.test",))
    found = judge_resolves({**answer, "observations": observations}, mesh.context("resolves"), expect)
    return {(check.id, check.target): check for check in found}


LOCAL = ("us1.resolves.local", None)
NAME = ("us1.resolves.name", "two")


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("", {}),
        ("127.0.0.1 localhost\n100.64.0.9 other.example", {}),
        ("# 100.64.0.2 two.mesh.internal", {}),
        ("127.0.0.1 localhost # two", {}),
        ("100.64.0.2 two.mesh.internal", {"two.mesh.internal": "100.64.0.2"}),
        ("100.64.0.2 nothing TWO", {"TWO": "100.64.0.2"}),
        ("1.2.3.4 two.mesh.internal.", {"two.mesh.internal.": "1.2.3.4"}),
        ("1.2.3.4 gone.mesh.internal", {"gone.mesh.internal": "1.2.3.4"}),
    ],
)
def test_no_name_of_the_mesh_is_in_the_hosts_file(hosts: str, found: dict[str, str]) -> None:
    check = local(hosts)[LOCAL]
    assert check.observed == found
    assert check.verdict == ("failed" if found else "passed")
    assert not found or next(iter(found)) in check.hint


def test_a_hosts_file_that_was_not_read_proves_nothing() -> None:
    assert local(None)[LOCAL].verdict == "error"


def test_a_wrong_answer_from_the_hosts_file_is_told_from_a_stale_one() -> None:
    changed = ("two.mesh.internal", ("100.64.0.9",))
    assert "it comes from /etc/hosts" in local("100.64.0.9 two.mesh.internal", "", changed)[NAME].hint
    assert "another server" in local("", "", changed)[NAME].hint


@pytest.mark.parametrize(
    ("nsswitch", "resolv_conf", "said"),
    [
        (
            "hosts: files",
            {"nameservers": ["100.100.100.100"], "search": ["x"]},
            "lists no name server",
        ),
        ("hosts: files dns", {"nameservers": ["100.100.100.100"], "search": []}, "no search domain"),
        ("hosts: files resolve", {"nameservers": ["100.100.100.100"], "search": ["x"]}, "a cache"),
        ("hosts: files", {"nameservers": ["192.0.2.1"], "search": []}, "the system queries 192.0.2.1"),
        ("", {"nameservers": ["100.100.100.100"], "search": ["x"]}, "a cache"),
    ],
)
def test_why_the_system_does_not_ask_is_read_from_its_files(nsswitch: str, resolv_conf: Any, said: str) -> None:
    check = local("", nsswitch, ("two.mesh.internal", ()), resolv_conf=mesh.seen(resolv_conf))[NAME]
    assert check.verdict == "failed"
    assert re.search(said, check.hint), check.hint


@pytest.mark.parametrize(
    ("tailnet", "said"),
    [
        ({"MagicDNSEnabled": False, "MagicDNSSuffix": "mesh.internal"}, "MagicDNS is off"),
        ({"MagicDNSEnabled": True, "MagicDNSSuffix": "elsewhere.internal"}, "base domain is elsewhere.internal"),
        ({"MagicDNSEnabled": True, "MagicDNSSuffix": "mesh.internal"}, "tailscaled does not know"),
    ],
)
def test_what_the_server_has_of_magicdns_is_named(tailnet: Any, said: str) -> None:
    rows = [mesh.asked("two.mesh.internal", kind, rcode="NXDOMAIN") for kind in ("A", "AAAA")]
    others = [row for row in mesh.dns() if row["name"] != "two.mesh.internal"]
    status = {**mesh.status(), "CurrentTailnet": tailnet}
    check = local("", "", ("two.mesh.internal", ()), dns=mesh.seen([*rows, *others]), status=mesh.seen(status))[NAME]
    assert said in check.hint


# -- in clear --


def encrypted(*more: dict[str, Any], links: Any = None) -> dict[tuple[str, str | None], Check]:
    wire = mesh.wire()
    wire["capture"]["data"]["flows"] += list(more)
    if links is not None:
        wire["addresses"] = mesh.seen(links)
    _answer, judge = mesh.CASES["encrypted"]
    return {(check.id, check.target): check for check in judge(mesh.answer(wire=mesh.seen(wire)))}


@pytest.mark.parametrize(
    ("src", "dst", "leaking"),
    [
        ("100.64.0.1", TWO4, {"two"}),
        (TWO4, "100.64.0.1", {"two"}),
        ("192.168.1.10", "203.0.113.3", {"two", "three"}),
        ("100.64.0.1", "100.64.0.3", {"three"}),
    ],
)
def test_a_marker_outside_the_mesh_interface_is_a_leak_whatever_its_addresses(
    src: str, dst: str, leaking: set[str]
) -> None:
    checks = encrypted(mesh.flow("eth0", src, dst, proto="icmp", marked=1))
    failed = {
        target for (name, target), check in checks.items() if name == "us1.encrypted" and check.verdict == "failed"
    }
    assert failed == leaking
    assert all("unencrypted on eth0" in checks["us1.encrypted", target].hint for target in failed)


@pytest.mark.parametrize(
    ("flow", "leaking"),
    [
        (mesh.flow("eth0", "fd7a:115c:a1e0::1", TWO6, proto="icmp6", marked=3), {"two"}),
        (mesh.flow("eth0", "100.64.0.1", TWO4, proto="tcp", dport=9), {"two"}),
        (mesh.flow("eth0", "192.168.1.10", TWO4, proto="tcp", dport=9), set()),
        (mesh.flow("lo", "100.64.0.1", TWO4, proto="tcp", dport=9), set()),
        (mesh.flow("eth0", "100.64.0.1", "100.64.0.9", proto="tcp", dport=9), set()),
    ],
)
def test_what_goes_from_one_mesh_address_to_another_leaves_encrypted_whatever_it_is(
    flow: dict[str, Any], leaking: set[str]
) -> None:
    failed = {target for (_id, target), check in encrypted(flow).items() if check.verdict == "failed"}
    assert failed == leaking


def test_what_a_nat_rule_gives_to_another_node_has_not_reached_the_peer() -> None:
    wire = mesh.wire()
    for flow in wire["capture"]["data"]["flows"]:
        if flow["dst"] == TWO4:
            flow.update(dst="100.64.0.3")
    _answer, judge = mesh.CASES["encrypted"]
    check = judge(mesh.answer(wire=mesh.seen(wire)))[0]
    assert (check.verdict, check.target) == ("failed", "two")
    assert "leaves for 100.64.0.3: a NAT rule" in check.hint


@pytest.mark.parametrize(
    "links", [[], [link("eth0", "192.168.1.10/24")], [link("lo", "100.64.0.1/32")], [None, {"name": None}]]
)
def test_without_a_mesh_interface_nothing_is_proven(links: Any) -> None:
    checks = encrypted(links=links)
    assert {checks["us1.encrypted", name].verdict for name in ("two", "three")} == {"error"}
    assert "no interface" in checks["us1.encrypted", "two"].hint


# -- where a verdict hangs on more than one thing --


def wires(**changes: Any) -> dict[str | None, str]:
    _answer, judge = mesh.CASES["encrypted"]
    wire = mesh.wire()
    for key, value in changes.items():
        wire[key] = mesh.seen(value)
    found = judge(mesh.answer(wire=mesh.seen(wire)))
    return {check.target: check.verdict for check in found if check.id == "us1.encrypted"}


def test_encrypted_traffic_must_also_take_the_expected_way() -> None:
    other = {TWO4: mesh.pinged("198.51.100.9:41642"), "100.64.0.3": mesh.pinged(mesh.ENDPOINTS["three"])}
    flows = [*mesh.wire()["capture"]["data"]["flows"],
             mesh.flow("eth0", "192.168.1.10", "198.51.100.9", dport=41642, wireguard={"4": 9})]  # fmt: skip
    capture = {**mesh.wire()["capture"]["data"], "flows": flows}
    assert wires(disco=other, capture=capture) == {"two": "failed", "three": "passed"}
    relayed = {TWO4: mesh.pinged(derp="lab"), "100.64.0.3": mesh.pinged(mesh.ENDPOINTS["three"])}
    flows = [*flows, mesh.flow("eth0", "192.168.1.10", "203.0.113.10", proto="tcp", packets=50)]
    assert wires(disco=relayed, capture={**capture, "flows": flows}) == {"two": "failed", "three": "passed"}


@pytest.mark.parametrize(
    ("carrier", "verdict"),
    [
        ({"proto": "tcp", "packets": 3}, "passed"),
        ({"proto": "tcp", "packets": 2}, "failed"),
        ({"proto": "udp", "packets": 9}, "failed"),
        ({"proto": "tcp", "packets": 9, "direction": "in"}, "failed"),
        ({"proto": "tcp", "packets": 9, "interface": "tailscale0"}, "failed"),
    ],
)
def test_what_a_relay_carries_leaves_over_tcp_on_another_interface(carrier: dict[str, Any], verdict: str) -> None:

    wire = mesh.wire()
    wire["disco"] = mesh.seen({TWO4: mesh.pinged(derp="lab")})
    wire["capture"]["data"]["flows"].append({**mesh.flow("eth0", "192.168.1.10", "203.0.113.10"), **carrier})
    expect = Encrypted(expected_paths=(ExpectedPath(peer=mesh.TWO, kind="relay"),))
    assert judge_encrypted(mesh.answer(wire=mesh.seen(wire)), mesh.context("encrypted"), expect)[0].verdict == verdict


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        ({"sent": 3, "received": 0}, "passed"),
        ({"sent": 3, "received": 1}, "failed"),
        ({"sent": 0, "received": 0}, "error"),
        ({"sent": None, "received": 0}, "error"),
        ({"sent": 3, "received": None}, "error"),
        ({"sent": 3, "received": -1}, "error"),
    ],
)
def test_silence_of_one_address_says_nothing_of_the_other(result: dict[str, Any], verdict: str) -> None:
    _answer, judge = mesh.CASES["unreachable"]
    for address, other in ((TWO4, TWO6), (TWO6, TWO4)):
        icmp = {address: result, **mesh.echoed(other, received=0)}
        assert judge(mesh.answer(icmp=mesh.seen(icmp), status=mesh.seen({})))[0].verdict == verdict


@pytest.mark.parametrize("elapsed", [29.9, 30.1, 300.0])
def test_a_first_look_after_the_budget_blames_no_node(elapsed: float) -> None:
    expect = Propagates(aspect="renamed", budget_s=30, present=mesh.NAMES[:1], absent=("gone.mesh.internal",),
                        silent=(("nine", "100.64.0.9"),))  # fmt: skip
    checks = judge_propagates(mesh.CASES["propagates"][0], mesh.context("propagates"), expect, elapsed_s=elapsed)
    assert [(check.id, check.verdict) for check in checks] == [("us1.propagates.renamed", "passed")] * 3
    assert [check.target for check in checks] == ["two", "gone.mesh.internal", "nine"]
    assert {(check.evidence["after_s"], check.evidence["budget_s"]) for check in checks} == {(elapsed, 30)}


def test_a_change_that_has_not_come_is_not_said_to_be_late() -> None:
    answer = mesh.answer(icmp=mesh.seen(mesh.echoed("100.64.0.9")))
    expect = Propagates(aspect="removed", budget_s=30, silent=(("nine", "100.64.0.9"),))
    check = judge_propagates(answer, mesh.context("propagates"), expect, elapsed_s=99)[0]
    assert check.verdict == "failed"
    assert "still answers" in check.hint
