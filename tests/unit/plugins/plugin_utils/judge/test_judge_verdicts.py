# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each judge makes of one thing that is wrong, and what it says about it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.encrypted import Encrypted, judge_encrypted
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.isolated import (
    Isolated,
    doubtful,
    judge_isolated,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.path import (
    ExpectedPath,
    Paths,
    Underlay,
    judge_path,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import Reachable, judge_reachable
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.registered import (
    Registered,
    Wanted,
    judge_registered,
    records,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.rejoins import judge_rejoins
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.topology import (
    Kind,
    common_network,
    expected_path,
)

TWO4 = "100.64.0.2"


def judged(name: str, *changes: tuple[tuple[Any, ...], Any], **more: Any) -> dict[tuple[str, str | None], Check]:
    """Judge the healthy answer of a case with observations changed at a path, and others added."""
    answer, judge = mesh.CASES[name]
    answer = deepcopy(answer)
    for path, value in changes:
        where = answer["observations"]
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value
    answer["observations"].update({key: mesh.seen(value) for key, value in more.items()})
    return {(check.id, check.target): check for check in judge(answer)}


def bad(checks: dict[tuple[str, str | None], Check]) -> dict[tuple[str, str | None], str]:
    return {key: check.verdict for key, check in checks.items() if check.verdict != "passed"}


SILENT = {"sent": 3, "received": 0, "rtt_ms": [], "errors": []}


def status(*changes: tuple[tuple[Any, ...], Any]) -> dict[str, Any]:
    found = mesh.status()
    for path, value in changes:
        where = found
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value
    return found


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"status": status()}, "no cause was found"),
        ({"status": status((("BackendState",), "Stopped"))}, "tailscale up"),
        ({"status": status((("BackendState",), "NeedsLogin"))}, "preauthkey"),
        ({"status": status((("Self", "Expired"), True))}, "key has expired"),
        ({"status": status((("Self", "KeyExpiry"), "2020-01-01T00:00:00Z"))}, "key has expired"),
        ({"status": status((("Self", "Online"), False), (("Health",), ["not in map poll"]))}, "not in map poll"),
        ({"status": status((("Peer",), {}))}, "policy"),
        ({"status": status((("Peer", "nodekey:2", "Online"), False))}, "reports two as offline"),
        ({"status": status((("Peer", "nodekey:2", "Expired"), True))}, "key of two has expired"),
        ({"status": status(), "disco": {TWO4: mesh.pinged()}}, "neither directly nor through a relay"),
        (
            {"status": status(), "disco": {TWO4: mesh.pinged("203.0.113.3:1")}, "tsmp": {TWO4: {"answered": True}}},
            "firewall on two",
        ),
        (
            {"status": status(), "disco": {TWO4: mesh.pinged(derp="lab")}, "tsmp": {TWO4: {"answered": False}}},
            "nothing inside WireGuard",
        ),
    ],
)
def test_an_unreachable_peer_is_explained_by_the_evidence(evidence: dict[str, Any], said: str) -> None:
    checks = judged("reachable", (("icmp", "data", TWO4), SILENT), **evidence)
    assert bad(checks) == {("us1.reachable.ipv4", "two"): "failed"}
    assert said in checks["us1.reachable.ipv4", "two"].hint


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([{"error": "prohibited", "from": "local"}], "own firewall"),
        ([{"error": "net-unreachable", "from": "local"}], "no route to the mesh"),
        ([{"error": "host-prohibited", "from": "100.64.0.2"}], "100.64.0.2"),
    ],
)
def test_a_refused_ping_names_who_refused(errors: list[Any], said: str) -> None:
    checks = judged("reachable", (("icmp", "data", TWO4), {**SILENT, "errors": errors}), status=status())
    assert said in checks["us1.reachable.ipv4", "two"].hint


def test_one_lost_packet_is_not_ignored() -> None:
    checks = judged("reachable", (("icmp", "data", TWO4), mesh.echoed(TWO4, received=2)[TWO4]))
    assert bad(checks) == {("us1.reachable.ipv4", "two"): "failed"}


@pytest.mark.parametrize(
    "result",
    [
        {"sent": 0, "received": 0, "rtt_ms": []},
        {"sent": 3, "received": 4, "rtt_ms": [1, 1, 1, 1]},
        {"sent": 3, "received": 3, "rtt_ms": []},
        {"sent": True, "received": True, "rtt_ms": [1]},
        {"sent": "3", "received": "3", "rtt_ms": [1, 1, 1]},
    ],
)
def test_counts_that_cannot_be_are_no_pass(result: dict[str, Any]) -> None:
    checks = judged("reachable", (("icmp", "data", TWO4), result))
    assert checks["us1.reachable.ipv4", "two"].verdict == "error"


def test_latency_is_judged_by_the_median_and_the_worst_is_shown() -> None:
    rtt = {"sent": 3, "received": 3, "rtt_ms": [60.0, 70.0, 4.0], "errors": []}
    changes = [(("icmp", "data", address), rtt) for address in mesh.TWO.addresses]
    check = judged("reachable", *changes)["us1.reachable.latency", "two"]
    assert check.verdict == "failed"
    assert check.observed == {"median_ms": 60.0, "worst_ms": 70.0}
    slow_once = {**rtt, "rtt_ms": [60.0, 7.0, 4.0]}
    changes = [(("icmp", "data", address), slow_once) for address in mesh.TWO.addresses]
    assert judged("reachable", *changes)["us1.reachable.latency", "two"].verdict == "passed"


@pytest.mark.parametrize(
    ("four", "six", "verdict", "over"),
    [
        ([2.0, 2.1, 2.2], [95.0, 96.0, 97.0], "failed", "IPv6"),
        ([95.0, 96.0, 97.0], [2.0, 2.1, 2.2], "failed", "IPv4"),
        ([95.0, 96.0, 97.0], [95.0, 96.0, 97.0], "failed", None),
        ([2.0, 2.1, 2.2], [49.0, 50.0, 400.0], "passed", None),
        # Of two replies, the first may have waited for a handshake.
        ([300.0, 2.0], [2.0, 2.0], "passed", None),
        ([2.0, 2.0], [300.0, 90.0], "failed", "IPv6"),
        ([], [2.0], "passed", None),
    ],
)
def test_a_family_that_is_slow_alone_fails(four: list[float], six: list[float], verdict: str, over: str | None) -> None:
    rtts = dict(zip(mesh.TWO.addresses, (four, six), strict=True))
    data = {known: {"sent": 3, "received": len(found), "rtt_ms": found, "errors": []} for known, found in rtts.items()}
    expect = Reachable(peers=(mesh.TWO,))
    check = judge_reachable(mesh.answer(icmp=mesh.seen(data)), mesh.context("reachable"), expect)[-1]
    assert (check.id, check.verdict, check.observed.get("over")) == ("us1.reachable.latency", verdict, over)
    assert ("slow or busy over" in check.hint) is bool(over)


def test_a_peer_without_an_address_of_the_family_fails() -> None:
    only4 = replace(mesh.TWO, addresses=(TWO4,))
    answer = mesh.answer(icmp=mesh.seen(mesh.echoed(TWO4)))
    checks = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(only4,)))
    assert [(check.id, check.verdict) for check in checks] == [
        ("us1.reachable.ipv4", "passed"), ("us1.reachable.ipv6", "failed"), ("us1.reachable.latency", "passed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ((("BackendState",), "Stopped"), ("us1.connected.self", None)),
        ((("Self", "Online"), False), ("us1.connected.self", None)),
        ((("Self", "TailscaleIPs"), ["100.64.0.9"]), ("us1.connected.self", None)),
        ((("Self", "TailscaleIPs"), []), ("us1.connected.self", None)),
        ((("Peer", "nodekey:2", "Online"), False), ("us1.connected.peer", "two")),
        ((("Peer", "nodekey:2", "Online"), "true"), ("us1.connected.peer", "two")),
        ((("Peer", "nodekey:2", "TailscaleIPs"), ["100.64.0.8"]), ("us1.connected.peer", "two")),
    ],
)
def test_what_the_client_sees_must_be_what_the_server_holds(change: Any, where: tuple[str, str | None]) -> None:
    checks = judged("connected", (("status", "data"), status(change)))
    assert bad(checks) == {where: "failed"}
    assert checks[where].hint


def registered(nodes: Any, **expect: Any) -> dict[tuple[str, str | None], Check]:
    wanted = Registered(nodes=(Wanted(name="one", key="nodekey:1"),), **expect)
    found = judge_registered(mesh.answer(nodes=mesh.seen(nodes)), mesh.context("registered"), wanted)
    return {(check.id, check.target): check for check in found}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("online", False, "offline"),
        ("online", None, "offline"),
        ("online", "true", "offline"),
        ("expiry", "2020-01-01T00:00:00Z", "expired at"),
        ("expiry", "2020-01-01T00:00:00.123456789+02:00", "expired at"),
        ("ipAddresses", [], "no address"),
        ("nodeKey", "nodekey:other", "registered again"),
    ],
)
def test_a_node_that_is_not_right_on_the_server(field: str, value: Any, said: str) -> None:
    nodes = mesh.registered_nodes()
    nodes["nodes"][0][field] = value
    checks = registered(nodes)
    assert checks["us1.registered", "one"].verdict == "failed"
    assert said in checks["us1.registered", "one"].hint


def test_an_expiry_that_lies_ahead_or_is_headscales_zero_is_none() -> None:
    for expiry in ("2090-01-01T00:00:00Z", "0001-01-01T00:00:00Z", None):
        nodes = mesh.registered_nodes()
        nodes["nodes"][0]["expiry"] = expiry
        assert bad(registered(nodes)) == {}


def test_user_and_tags_are_held_against_what_is_asked() -> None:
    assert bad(registered(mesh.registered_nodes(), user="default", tags=())) == {}
    checks = registered(mesh.registered_nodes(), user="other", tags=("tag:a",))
    assert "other user and other tags" in checks["us1.registered", "one"].hint


def test_a_name_that_two_nodes_claim_is_named_with_their_ids() -> None:
    nodes = mesh.registered_nodes()
    nodes["nodes"].append({**nodes["nodes"][0], "id": "7", "nodeKey": "nodekey:7", "givenName": "one-1"})
    check = registered(nodes)["us1.registered.unique", "one"]
    assert check.verdict == "failed"
    assert "1 (one), 7 (one-1)" in check.hint


def test_headscales_empty_list_is_an_empty_list() -> None:
    assert registered({"nodes": []})["us1.registered", "one"].verdict == "failed"
    assert registered({"nodes": None})["us1.registered", "one"].verdict == "failed"
    assert registered({"message": "gone"})["us1.registered", "one"].verdict == "error"


def test_records_are_what_the_other_assertions_read() -> None:
    expect = Registered(nodes=(Wanted(name="one", key="nodekey:1"), Wanted(name="nobody")))
    found = records(mesh.answer(nodes=mesh.seen(mesh.registered_nodes())), expect)
    assert list(found) == ["one"]
    assert found["one"]["addresses"] == list(mesh.ONE.addresses)
    assert found["one"]["expiry"] is None
    assert found["one"]["online"] is True


@pytest.mark.parametrize(
    ("pinged", "verdict", "said"),
    [
        (mesh.pinged(derp="lab"), "failed", "hard NAT"),
        (mesh.pinged("198.51.100.9:41642"), "failed", "not an address of two or its router"),
        (mesh.pinged(), "failed", "neither directly nor through a relay"),
        (mesh.pinged("garbage"), "failed", ""),
    ],
)
def test_a_path_that_is_not_direct(pinged: Any, verdict: str, said: str) -> None:
    check = judged("path", (("disco", "data", TWO4), pinged), status=status())["us1.path", "two"]
    assert check.verdict == verdict
    assert said in check.hint


def test_a_relayed_path_is_explained_by_the_port_that_the_router_made_of_it() -> None:
    way = replace(
        mesh.WAYS[0],
        underlay=Underlay(
            owned=("10.0.0.10",), endpoints=("10.0.0.10:41642", "203.0.113.3:33333"), local=("10.0.0.10",)
        ),
    )
    answer = mesh.answer(disco=mesh.seen({TWO4: mesh.pinged(derp="lab")}))
    check = judge_path(answer, mesh.context("path"), Paths(expected_paths=(way,)))[0]
    assert "41642 became 33333" in check.hint
    no_stun = replace(way, underlay=replace(way.underlay, endpoints=("10.0.0.10:41642",)))
    hint = judge_path(answer, mesh.context("path"), Paths(expected_paths=(no_stun,)))[0].hint
    assert "two has not learned a public endpoint: UDP to STUN (port 3478) is blocked on its side, no relay has" in hint


@pytest.mark.parametrize(
    ("network", "endpoints", "local", "said"),
    [
        ("", ["10.0.0.10:41642", "203.0.113.3:33333"], "10.0.0.10", "it may be a hard NAT"),
        # In one network, the router is not on the way.
        ("home", ["10.0.0.10:41642", "203.0.113.3:33333"], "10.0.0.10", "both are in home: check whether a firewall of either"),
        ("home", ["10.0.0.10:41642"], "10.0.0.10", "both are in home: check whether a firewall of either"),
        # A public host needs no STUN.
        ("", ["203.0.113.9:41641"], "203.0.113.9", "UDP is blocked between the two sides"),
        ("", ["203.0.113.9:41641", "172.17.0.1:41641"], "203.0.113.9", "UDP is blocked between the two sides"),
    ],
)  # fmt: skip
def test_a_relayed_path_has_no_cause_that_was_not_seen(
    network: str, endpoints: list[str], local: str, said: str
) -> None:
    theirs = Underlay(owned=(local,), endpoints=tuple(endpoints), local=(local,))
    way = replace(mesh.WAYS[0], underlay=theirs, network=network)
    answer = mesh.answer(disco=mesh.seen({TWO4: mesh.pinged(derp="lab")}))
    for expect in (Paths(expected_paths=(way,)), Paths(expected_paths=(way,), own=theirs)):
        hint = judge_path(answer, mesh.context("path"), expect)[0].hint
        assert said in hint
        assert ("router" in hint) is ("may be" in said)
        assert "STUN" not in hint


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("relay", "the path is peer-relay, but relay was expected (mesh_path says so)"),
        # Nothing says why it is not direct, and the firewalls are still worth a look.
        (
            "direct",
            "the path is peer-relay, but direct was expected (mesh_path says so): both are in home: check whether",
        ),
    ],
)
def test_a_path_through_another_node_is_not_said_to_block_udp(kind: Kind, said: str) -> None:
    way = replace(mesh.WAYS[0], kind=kind, reason="mesh_path says so", network="home")
    last = {"peer_relay": "203.0.113.9:7777:vni:1"}
    answer = mesh.answer(disco=mesh.seen({TWO4: {**mesh.pinged(), "answered": True, "last": last}}))
    check = judge_path(answer, mesh.context("path"), Paths(expected_paths=(way,)))[0]
    assert check.verdict == "failed"
    assert check.hint.startswith(said)
    assert ("UDP" in check.hint) is (kind == "direct")
    assert "does not pass" not in check.hint


def test_a_direct_path_where_a_relay_is_expected_fails() -> None:
    way = replace(mesh.WAYS[0], kind="relay", reason="both are behind a hard NAT")
    direct = mesh.answer(disco=mesh.seen({TWO4: mesh.pinged("203.0.113.3:41642")}))
    check = judge_path(direct, mesh.context("path"), Paths(expected_paths=(way,)))[0]
    assert check.verdict == "failed"
    assert "both are behind a hard NAT" in check.hint
    relayed = mesh.answer(disco=mesh.seen({TWO4: mesh.pinged(derp="lab")}))
    assert judge_path(relayed, mesh.context("path"), Paths(expected_paths=(way,)))[0].verdict == "passed"


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("easy", "easy", "direct"),
        ("none", "easy", "direct"),
        ("none", "hard", "direct"),
        ("hard", "easy", "relay"),
        ("hard", "hard", "relay"),
        ("udp_blocked", "none", "relay"),
        ("easy", "udp_blocked", "relay"),
    ],
)
def test_the_path_that_two_networks_allow(here: str, there: str, expected: str) -> None:
    one, two = {"subnet": "a", "nat": here}, {"subnet": "b", "nat": there}
    assert expected_path(one, two)[0] == expected
    assert expected_path(two, one)[0] == expected
    assert expected_path(one, {**two, "subnet": "a"})[0] == "direct"
    assert (common_network(one, two), common_network(one, {**two, "subnet": "a"})) == ("", "a")


@pytest.mark.parametrize("unknown", [None, {}, {"nat": "easy"}, {"subnet": 3.5}, "subnet"])
def test_without_a_topology_any_path_will_do(unknown: Any) -> None:
    assert expected_path({"subnet": "a", "nat": "hard"}, unknown)[0] == "any"
    assert common_network(unknown, unknown) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((("Self", "ID"), "9"), "as node 9, not as 1"),
        ((("Self", "TailscaleIPs"), ["100.64.0.9"]), "addresses changed"),
        ((("BackendState",), "NeedsLogin"), "NeedsLogin"),
        ((("Self", "Online"), False), "no connection to the control server"),
    ],
)
def test_a_node_that_came_back_as_another_or_not_at_all(change: Any, said: str) -> None:
    checks = judged("rejoins", (("status", "data"), status(change)))
    assert bad(checks) == {("us1.rejoins.down", None): "failed"}
    assert said in checks["us1.rejoins.down", None].hint


def test_coming_back_too_late_is_a_failure() -> None:
    answer, _judge = mesh.CASES["rejoins"]
    expect = mesh.Rejoins(before=mesh.ONE, peers=mesh.PEERS, aspect="down", budget_s=30)
    checks = judge_rejoins(answer, mesh.context("rejoins"), expect, elapsed_s=30.5)
    assert {check.verdict for check in checks} == {"failed"}
    assert all("budget is 30 s" in check.hint for check in checks)


def encrypted(**changes: Any) -> dict[tuple[str, str | None], Check]:
    steps = mesh.wire()
    flows = steps["capture"]["data"]["flows"]
    for key, value in changes.items():
        if key == "flow":
            flows.append(value)
        elif key == "drop_flow":
            del flows[value]
        elif key in steps:
            steps[key] = value
        else:
            steps["capture"]["data"][key] = value
    found = judge_encrypted(
        mesh.answer(wire=mesh.seen(steps)), mesh.context("encrypted"), Encrypted(expected_paths=mesh.WAYS)
    )
    return {(check.id, check.target): check for check in found}


def test_a_marker_in_clear_on_any_other_interface_fails() -> None:
    leak = mesh.flow("eth0", "192.168.1.10", "10.0.0.10", proto="icmp", marked=1)
    checks = encrypted(flow=leak)
    assert bad(checks) == {("us1.encrypted", "two"): "failed", ("us1.encrypted", "three"): "failed"}
    assert "left unencrypted on eth0" in checks["us1.encrypted", "two"].hint


def test_a_marker_in_clear_over_the_other_family_fails() -> None:
    leak = mesh.flow("eth0", mesh.ONE.address(6), mesh.TWO.address(6), proto="icmp6", marked=1)
    assert bad(encrypted(flow=leak)) == {("us1.encrypted", "two"): "failed"}


def test_a_marker_in_what_is_no_ip_is_in_clear() -> None:
    leak = {**mesh.flow("eth0", "", "", marked=1), "proto": "0x88b5", "sport": 0}
    assert bad(encrypted(flow=leak)) == {("us1.encrypted", "two"): "failed", ("us1.encrypted", "three"): "failed"}


@pytest.mark.parametrize("interface", ["lo", "tailscale0", ""])
def test_wireguard_packets_count_on_a_line_only(interface: str) -> None:
    astray = mesh.flow(interface, "192.168.1.10", "203.0.113.3", dport=41642, wireguard={"4": 6})
    assert bad(encrypted(flow=astray)) == {}
    flows = [astray, *mesh.wire()["capture"]["data"]["flows"][1:]]
    assert bad(encrypted(flows=flows)) == {("us1.encrypted", "two"): "failed"}


@pytest.mark.parametrize("family", ["icmp", "icmp6"])
def test_both_families_must_have_been_sent_and_answered(family: str) -> None:
    for pings in ({**mesh.pings(), **{family: mesh.pings(received=2)[family]}},
                  {name: found for name, found in mesh.pings().items() if name != family}):  # fmt: skip
        checks = encrypted(during={"pings": mesh.seen(pings)})
        assert {checks["us1.encrypted", name].verdict for name in ("two", "three")} == {"error"}


def test_no_wireguard_packets_to_the_endpoint_fails() -> None:
    checks = encrypted(drop_flow=0)
    assert bad(checks) == {("us1.encrypted", "two"): "failed"}


def test_a_path_that_tailscaled_does_not_tell_is_no_wrong_path() -> None:
    silent = mesh.unseen("timeout", "tailscaled did not answer status in time")
    checks = encrypted(disco=silent)
    assert checks["us1.encrypted", "two"].verdict == "error"
    assert checks["us1.encrypted", "two"].hint.startswith("tailscaled did not answer status in time")
    # A leak is one on any path.
    leak = mesh.flow("eth0", "192.168.1.10", "10.0.0.10", proto="icmp", marked=1)
    assert encrypted(disco=silent, flow=leak)["us1.encrypted", "two"].verdict == "failed"


@pytest.mark.parametrize("kind", ["any", "direct", "relay"])
def test_a_path_that_no_ping_has_shown_is_not_any_path(kind: Kind) -> None:
    steps = mesh.wire()
    steps["disco"]["data"][TWO4] = mesh.pinged()
    steps["capture"]["data"]["flows"].append(mesh.flow("eth0", "192.168.1.10", "203.0.113.10", proto="tcp", packets=9))
    expect = Encrypted(expected_paths=(ExpectedPath(peer=mesh.TWO, kind=kind),))
    check = judge_encrypted(mesh.answer(wire=mesh.seen(steps)), mesh.context("encrypted"), expect)[0]
    assert (check.verdict, check.observed["path"]) == ("failed", "none")
    assert "answers the echo requests, but no disco ping" in check.hint


@pytest.mark.parametrize("dropped", [1, None, "0"])
def test_a_capture_that_lost_packets_proves_nothing(dropped: Any) -> None:
    checks = encrypted(dropped=dropped)
    assert checks["us1.encrypted", "two"].verdict == "error"


def test_a_marker_that_was_never_seen_in_clear_proves_nothing() -> None:
    checks = encrypted(drop_flow=2)
    assert checks["us1.encrypted", "two"].verdict == "error"
    assert "would not have seen it" in checks["us1.encrypted", "two"].hint


def test_counters_that_did_not_grow_fail() -> None:
    steps = mesh.wire()
    steps["metrics_after"] = steps["metrics_before"]
    found = judge_encrypted(
        mesh.answer(wire=mesh.seen(steps)), mesh.context("encrypted"), Encrypted(expected_paths=mesh.WAYS)
    )
    assert [check.id for check in found if check.verdict == "failed"] == ["us1.encrypted.counters"]


REFUSED, ALIVE = mesh.refused(), mesh.echoed(TWO4)[TWO4]
ANSWERED = {"sent": 1, "received": 1, "rtt_ms": [1.0], "errors": []}
QUIET = {"sent": 1, "received": 0, "rtt_ms": [], "errors": []}
BY_HOST = mesh.refused("10.0.0.10")


@pytest.mark.parametrize(
    ("icmp", "mesh_ping", "tcp", "verdicts"),
    [
        (REFUSED, ALIVE, "timeout", ("passed", "passed")),
        (REFUSED, ALIVE, "refused", ("passed", "error")),
        (REFUSED, QUIET, "net-unreachable", ("passed", "passed")),
        (QUIET, ALIVE, "timeout", ("passed", "passed")),
        (QUIET, QUIET, "timeout", ("error", "error")),
        (QUIET, ALIVE, "refused", ("passed", "failed")),
        (QUIET, ALIVE, "connected", ("passed", "failed")),
        (REFUSED, ALIVE, "connected", ("passed", "failed")),
        (ANSWERED, ALIVE, "timeout", ("failed", "passed")),
        (BY_HOST, QUIET, "refused", ("error", "failed")),
        (REFUSED, ALIVE, "EINVAL", ("passed", "error")),
    ],
)
def test_what_proves_isolation_and_what_does_not(
    icmp: Any, mesh_ping: Any, tcp: str, verdicts: tuple[str, str]
) -> None:
    by = "192.168.1.1" if tcp == "net-unreachable" else "10.0.0.10" if tcp == "refused" else ""
    answer = mesh.answer(
        icmp=mesh.seen({"10.0.0.10": icmp, TWO4: mesh_ping}),
        knock=mesh.seen([mesh.knocked("tcp", 22, tcp, by)]),
    )
    checks = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=mesh.WALLS))
    assert tuple(check.verdict for check in checks) == verdicts
    assert all(check.hint for check in checks if check.verdict != "passed")


@pytest.mark.parametrize(
    ("flows", "verdict"),
    [
        (mesh.rejected(64), "passed"),
        # Systems count down from different numbers.
        (mesh.rejected(64, 255), "passed"),
        (mesh.rejected(62), "failed"),
        (mesh.rejected(63, 254), "passed"),
        (mesh.rejected(126, 255), "failed"),
        (mesh.rejected(64) + mesh.rejected(62), "failed"),
        # This host's own firewall.
        (mesh.rejected(64, interface="lo"), "passed"),
        (mesh.rejected(None), "error"),
        (mesh.rejected(0), "error"),
        (mesh.rejected(300), "error"),
        (mesh.rejected(64)[:1], "error"),
        (mesh.rejected(64)[1:], "error"),
        (None, "error"),
        ([], "error"),
    ],
)
def test_how_far_a_reset_has_come_tells_whose_it_is(flows: Any, verdict: str) -> None:
    answer = mesh.answer(
        icmp=mesh.seen({"10.0.0.10": REFUSED, TWO4: ALIVE}),
        knock=mesh.seen([mesh.knocked("tcp", 22, "refused", "10.0.0.10")]),
        wire=mesh.seen({"flows": flows}),
    )
    check = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=mesh.WALLS))[1]
    assert check.verdict == verdict
    assert doubtful(check) is (verdict == "error")
    assert bool(check.hint) is (verdict != "passed")


def test_what_is_reached_through_the_mesh_has_a_subnet_router() -> None:
    answer = mesh.answer(
        icmp=mesh.seen({"10.0.0.10": ANSWERED, TWO4: ALIVE}),
        routes=mesh.seen({"routes": [], "get": {"10.0.0.10": {"dev": "tailscale0"}}}),
    )
    check = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=mesh.WALLS))[0]
    assert check.verdict == "failed"
    assert "subnet router" in check.hint


def test_silence_is_not_judged_while_there_is_time() -> None:
    answer = mesh.answer(icmp=mesh.seen({"10.0.0.10": QUIET, TWO4: ALIVE}), knock=mesh.seen([]))
    patient = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=mesh.WALLS, patient=True))
    assert patient[0].verdict == "error"


@pytest.mark.parametrize(
    ("sockets", "said"),
    [
        ([], "nothing listens"),
        (["0.0.0.0"], "every address"),
        (["::"], "every address"),
        (["100.64.0.1", "::"], "every address"),
        (["100.64.0.1", "192.168.1.10"], "192.168.1.10"),
        (["127.0.0.1"], "127.0.0.1"),
    ],
)
def test_a_service_that_listens_elsewhere(sockets: list[str], said: str) -> None:
    data = [{"proto": "tcp", "address": known, "port": 80, "process": {"name": "nginx"}} for known in sockets]
    check = judged("listening", (("listening", "data"), data))["us1.listening", None]
    assert check.verdict == "failed"
    assert said in check.hint


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("outcome", "refused", "nothing listens"),
        ("outcome", "no-name", "does not resolve"),
        ("outcome", "timeout", "no answer"),
        ("status", 502, "a status other than"),
        ("body", "Welcome", "differs from the expected one"),
        ("address", "192.168.1.10", "not to 100.64.0.2"),
    ],
)
def test_a_page_that_is_not_the_expected_one(field: str, value: Any, said: str) -> None:
    check = judged("http", (("http", "data", 0, field), value))["us1.http", "two"]
    assert check.verdict == "failed"
    assert said in check.hint


@pytest.mark.parametrize(
    ("expected", "outcome", "verdict"),
    [
        ("refused", "refused", "passed"),
        ("refused", "net-unreachable", "failed"),
        ("refused", "timeout", "failed"),
        ("refused", "answered", "failed"),
        ("unreachable", "refused", "passed"),
        ("unreachable", "net-unreachable", "passed"),
        ("unreachable", "timeout", "failed"),
        ("unreachable", "answered", "failed"),
        ("unreachable", "", "error"),
    ],
)
def test_silence_is_no_refusal(expected: str, outcome: str, verdict: str) -> None:
    answer = mesh.answer(http=mesh.seen([{"url": "http://192.168.1.10/", "outcome": outcome}]))
    expect = mesh.Http(urls=("http://192.168.1.10/",), outcome=expected)
    assert mesh.judge_http(answer, mesh.context("http"), expect)[0].verdict == verdict


@pytest.mark.parametrize(
    ("by", "verdict"), [("192.168.1.10", "passed"), ("192.168.1.1", "failed"), ("local", "failed")]
)
def test_a_firewall_on_the_host_itself_refuses_as_well(by: str, verdict: str) -> None:
    found = {"url": "http://192.168.1.10/", "outcome": "prohibited", "from": by, "address": "192.168.1.10"}
    expect = mesh.Http(urls=("http://192.168.1.10/",), outcome="refused")
    assert mesh.judge_http(mesh.answer(http=mesh.seen([found])), mesh.context("http"), expect)[0].verdict == verdict


@pytest.mark.parametrize(("interface", "verdict"), [("tailscale0", "passed"), ("fault0", "failed")])
def test_the_resolver_is_asked_on_an_interface_of_the_mesh(interface: str, verdict: str) -> None:
    answer, judge = mesh.CASES["resolves"]
    seen = deepcopy({**answer["observations"], "addresses": mesh.seen(mesh.links())})
    for flow in seen["lookups"]["data"]["flows"]:
        flow["interface"] = interface
    check = next(check for check in judge({**answer, "observations": seen}) if check.aspect == "wire")
    assert check.verdict == verdict
    assert ("another program answers there" in check.hint) is (verdict == "failed")


def resolves(changes: Any = (), **more: Any) -> dict[tuple[str, str | None], Check]:
    return judged("resolves", *changes, **more)


LOOKUP = ("lookups", "data", "during", "getaddrinfo", "data", 0)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (mesh.looked_up("two.mesh.internal"), "the system's resolver does not"),
        (mesh.looked_up("two.mesh.internal", "100.64.0.9"), "100.64.0.9 is not an address of two"),
        (mesh.looked_up("two.mesh.internal", TWO4, "100.64.0.9"), "100.64.0.9 is not an address of two"),
        ({**mesh.looked_up("two.mesh.internal", TWO4), "duration_ms": 1500.0}, "too late"),
    ],
)
def test_a_name_that_leads_elsewhere_or_late(found: Any, said: str) -> None:
    checks = resolves([(LOOKUP, found)])
    assert bad(checks) == {("us1.resolves.name", "two"): "failed"}
    assert said in checks["us1.resolves.name", "two"].hint


def test_a_resolver_that_is_not_tailscaleds_is_named() -> None:
    changes = [(LOOKUP, mesh.looked_up("two.mesh.internal")), (("resolv_conf", "data"), {"nameservers": ["10.0.0.1"]})]
    assert "the system queries 10.0.0.1" in resolves(changes)["us1.resolves.name", "two"].hint


def test_a_resolver_of_the_host_that_does_not_pass_names_on_is_named() -> None:
    servers = {"nameservers": ["127.0.0.53"]}
    changes = [(LOOKUP, mesh.looked_up("two.mesh.internal")), (("resolv_conf", "data"), servers)]
    hint = resolves(changes)["us1.resolves.name", "two"].hint
    assert "127.0.0.53 does not forward names of the mesh" in hint
    assert "resolvectl" in hint


def reverse(families: tuple[int, ...], hosts: str = "", **values: str) -> Check:
    known = dict(zip(mesh.TWO.addresses, (values["v4"], values["v6"]), strict=True))
    rows = [mesh.asked(address, "PTR", *([name] if name else [])) for address, name in known.items()]
    system = [mesh.backwards(address, values.get("system", name)) for address, name in known.items()]
    names = tuple(replace(name, families=families) for name in mesh.NAMES if name.node == "two")
    files = {"/etc/hosts": {"text": hosts}}
    answer = mesh.answer(dns=mesh.seen(rows), getaddrinfo=mesh.seen(system), files=mesh.seen(files))
    checks = judge_resolves(answer, mesh.context("resolves"), Names(present=names, wire=False))
    return next(check for check in checks if check.id == "us1.resolves.reverse")


@pytest.mark.parametrize(
    ("families", "v4", "v6", "verdict"),
    [
        ((4,), "two.mesh.internal.", "two.mesh.internal.", "passed"),
        # As clients do that give no AAAA of their peers.
        ((4,), "two.mesh.internal.", "", "passed"),
        ((4, 6), "two.mesh.internal.", "", "failed"),
        ((4,), "", "two.mesh.internal.", "failed"),
        ((4,), "two.mesh.internal.", "three.mesh.internal.", "failed"),
        ((4,), "three.mesh.internal.", "", "failed"),
        ((6,), "", "two.mesh.internal.", "passed"),
        ((), "two.mesh.internal.", "two.mesh.internal.", "failed"),
    ],
)
def test_the_reverse_is_required_where_the_address_is(
    families: tuple[int, ...], v4: str, v6: str, verdict: str
) -> None:
    assert reverse(families, v4=v4, v6=v6).verdict == verdict


@pytest.mark.parametrize(
    ("system", "hosts", "verdict", "said"),
    [
        ("two.mesh.internal", "", "passed", ""),
        ("TWO.mesh.internal.", "", "passed", ""),
        ("printer", "100.64.0.2 printer", "failed", "that comes from /etc/hosts"),
        ("printer", "", "failed", "to printer"),
        ("", "", "failed", "the system does not ask it"),
    ],
)
def test_the_system_asks_for_the_reverse_as_well(system: str, hosts: str, verdict: str, said: str) -> None:
    check = reverse((4,), hosts, v4="two.mesh.internal.", v6="two.mesh.internal.", system=system)
    assert (check.verdict, said in check.hint) == (verdict, True)


def test_a_reverse_that_the_system_was_not_asked_for_proves_nothing() -> None:
    answer, judge = mesh.CASES["resolves"]
    observations = {**answer["observations"], "getaddrinfo": mesh.seen([mesh.looked_up("gone.mesh.internal")])}
    found = [check for check in judge({**answer, "observations": observations}) if check.id == "us1.resolves.reverse"]
    assert {check.verdict for check in found} == {"error"}


def replies(*flows: dict[str, Any], dropped: Any = 0) -> dict[str, str]:
    watched = {"flows": list(flows), "dropped": dropped}
    checks = judged("reachable", watched=watched)
    return {check.aspect: check.verdict for (_id, target), check in checks.items() if target == "two"}


def reply(src: str, **more: Any) -> dict[str, Any]:
    kind = "icmp6" if ":" in src else "icmp"
    return mesh.flow("tailscale0", src, "100.64.0.1", **{"proto": kind, "direction": "in", "marked": 3, **more})


def test_a_reply_that_another_sent_is_none() -> None:
    own = [reply(known) for known in mesh.TWO.addresses]
    assert replies(*own) == {"ipv4": "passed", "ipv6": "passed", "latency": "passed"}
    others = [reply(known) for known in mesh.THREE.addresses]
    assert replies(*others) == {"ipv4": "failed", "ipv6": "failed", "latency": "passed"}
    assert replies(own[0], others[1])["ipv6"] == "failed"
    checks = judged("reachable", watched={"flows": others, "dropped": 0})
    assert "100.64.0.3 did: a NAT rule" in checks["us1.reachable.ipv4", "two"].hint


@pytest.mark.parametrize(
    "flows",
    [
        [],
        [reply("100.64.0.3", marked=0)],
        [reply("100.64.0.3", direction="out")],
        [reply("fd7a:115c:a1e0::3")],
    ],
)
def test_a_capture_without_replies_of_the_family_says_nothing_of_whose_they_are(flows: Any) -> None:
    assert replies(*flows)["ipv4"] == "passed"


@pytest.mark.parametrize("dropped", [3, None])
def test_a_capture_that_has_lost_packets_says_nothing_of_whose_replies_they_are(dropped: Any) -> None:
    assert replies(reply("100.64.0.3"), dropped=dropped)["ipv4"] == "passed"


def test_missing_aaaa_are_explained() -> None:
    names = tuple(replace(name, families=(4, 6)) for name in mesh.NAMES)
    answer, _judge = mesh.CASES["resolves"]
    checks = judge_resolves(answer, mesh.context("resolves"), Names(present=names))
    failed = [check for check in checks if check.verdict == "failed"]
    assert {check.id for check in failed} == {"us1.resolves.name", "us1.resolves.short", "us1.resolves.dns"}
    assert all("magicdns-aaaa" in check.hint for check in failed)


@pytest.mark.parametrize(
    ("flow", "verdict"),
    [
        (mesh.flow("eth0", "192.168.1.10", "9.9.9.9", dport=53, marked=1), "failed"),
        (mesh.flow("eth0", "192.168.1.10", "9.9.9.9", dport=53, marked=0), "passed"),
        (mesh.flow("lo", "127.0.0.1", "127.0.0.53", dport=53, marked=4), "passed"),
    ],
)
def test_the_wire_tells_who_is_asked_for_names_of_the_mesh(flow: Any, verdict: str) -> None:
    flows = [*mesh.lookups()["flows"], flow]
    checks = resolves([(("lookups", "data", "flows"), flows)])
    assert checks["us1.resolves.wire", None].verdict == verdict


def test_answers_that_nobody_was_asked_for_prove_nothing() -> None:
    checks = resolves([(("lookups", "data", "flows"), [])])
    assert checks["us1.resolves.wire", None].verdict == "error"


@pytest.mark.parametrize(
    ("lookup", "dns", "verdict"),
    [
        (mesh.looked_up("gone.mesh.internal"), mesh.asked("gone.mesh.internal", "A", rcode="NXDOMAIN"), "passed"),
        (mesh.looked_up("gone.mesh.internal"), mesh.asked("gone.mesh.internal", "A", rcode="SERVFAIL"), "failed"),
        (mesh.looked_up("gone.mesh.internal", TWO4), mesh.asked("gone.mesh.internal", "A", TWO4), "failed"),
        (mesh.looked_up("gone.mesh.internal"), {"name": "gone.mesh.internal", "type": "A"}, "error"),
        ({"name": "gone.mesh.internal", "outcome": "failed"}, mesh.asked("gone.mesh.internal", "A"), "error"),
    ],
)
def test_a_resolver_that_fails_is_not_one_that_says_no(lookup: Any, dns: Any, verdict: str) -> None:
    rows = [row for row in mesh.dns() if row["name"] != "gone.mesh.internal"]
    checks = resolves([(("getaddrinfo", "data", 0), lookup), (("dns", "data"), [*rows, dns])])
    assert checks["us1.resolves.absent", "gone.mesh.internal"].verdict == verdict
