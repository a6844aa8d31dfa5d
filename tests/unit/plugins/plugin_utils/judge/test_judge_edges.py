# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edges of the judges: each test ends a mutant that all the others let live."""

from __future__ import annotations

import math
import time
from copy import deepcopy
from dataclasses import replace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge import causes
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.addressed import judge_addressed
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import (
    Answer,
    addresses,
    endpoint,
    moment,
    number,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.connected import Connected, judge_connected
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.encrypted import (
    Encrypted,
    judge_encrypted,
    sent_by_path,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.isolated import Isolated, judge_isolated
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.path import ExpectedPath, Paths, judge_path
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.query import Query, judge_query
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import Reachable, judge_reachable
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.registered import (
    Registered,
    Wanted,
    judge_registered,
    records,
    rivals,
    still_listed,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.rejoins import Rejoins, judge_rejoins
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves

TWO4, TWO6 = mesh.TWO.addresses


# -- what is read --


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400, True, "3", None])
def test_what_is_no_finite_number(value: Any) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("fe80::1%eth0", ["fe80::1%eth0"]),
        ("fe80::1%br-lan.2", ["fe80::1%br-lan.2"]),
        ("fe80::1%$(id)", []),
        ("::1%a b", []),
    ],
)
def test_the_scope_of_an_address_is_the_name_of_an_interface(given: str, read: list[str]) -> None:
    assert addresses([given]) == read


def test_addresses_come_v4_first_and_once() -> None:
    given = ["fd7a::1", "100.64.0.10", "100.64.0.9/32", "FD7A::1", "9.0.0.1", "1::1"]
    assert addresses(given) == ["100.64.0.10", "100.64.0.9", "9.0.0.1", "1::1", "fd7a::1"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("192.0.2.1:41641", ("192.0.2.1", 41641)),
        ("[2001:db8::1]:41641", ("2001:db8::1", 41641)),
        ("192.0.2.1", ("", 0)),
        ("192.0.2.1:", ("", 0)),
        ("192.0.2.1:x", ("", 0)),
        ("192.0.2.1:123456", ("", 0)),
        ("host:41641", ("", 0)),
        ("host:x", ("", 0)),
        ("", ("", 0)),
        (None, ("", 0)),
    ],
)
def test_endpoints(given: Any, read: tuple[str, int]) -> None:
    assert endpoint(given) == read


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T00:00:10", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("1970-01-01T00:00:10.5Z", 10.5),
        ("1970-01-01T00:00:10.123456789Z", 10.123456),
        ("1970-01-01T01:00:10.250+01:00", 10.25),
        ("0001-01-01T00:00:00Z", None),
        ("soon", None),
        ("", None),
        (7, None),
    ],
)
def test_moments_have_a_zone(given: Any, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = moment(given)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1e-6))


@pytest.mark.parametrize("ok", [False, None, 1, "true"])
def test_the_data_of_an_observation_that_was_not_made_are_none(ok: Any) -> None:
    assert Answer({"observations": {"icmp": {"ok": ok, "data": {"x": 1}}}}).data("icmp") is None


def test_the_failure_of_the_whole_probe_is_the_error_of_each_observation() -> None:
    failure = {"type": "timeout", "message": "no answer from the host"}
    assert Answer({"failure": failure}).error("icmp") == failure
    assert Answer({"failure": failure}).why("icmp") == "no answer from the host"
    assert Answer({"failure": failure, "observations": {"icmp": mesh.unseen("x", "other")}}).why("icmp") == "other"


# -- queries --


@pytest.mark.parametrize(
    ("document", "compare", "verdict"),
    [
        ({"a": {"x": 1, "y": 2}}, {"equals": {"y": 2, "x": 1}}, "passed"),
        ({"a": {"x": 1}}, {"contains": "x"}, "passed"),
        ({"a": {"x": 1}}, {"contains": "y"}, "failed"),
        ({"a": {"1": 1}}, {"contains": 1}, "failed"),
        ({"a": ["x", 1]}, {"contains": 1}, "passed"),
        ({"a": ["x", 1]}, {"contains": True}, "failed"),
        ({"a": "text"}, {"contains": 1}, "failed"),
        ({"a": 3}, {"at_least": 3, "at_most": 3}, "passed"),
        ({"a": 3}, {"at_least": 3.1}, "failed"),
        ({"a": "3"}, {"at_least": 1}, "failed"),
    ],
)
def test_comparisons(document: Any, compare: dict[str, Any], verdict: str) -> None:
    check = judge_query(document, mesh.context("query"), Query(expression="a", compare=compare))
    assert (check.verdict, check.expected) == (verdict, compare)


def test_a_query_without_a_comparison_must_be_true() -> None:
    check = judge_query({"a": 1}, mesh.context("query"), Query(expression="a", compare={}))
    assert (check.verdict, check.expected) == ("passed", {"true": True})


def test_what_is_wrong_with_a_query_is_said() -> None:
    check = judge_query({}, mesh.context("query"), Query(expression="a[", compare={}))
    assert check.verdict == "error"
    assert "is not valid JMESPath" in check.hint
    assert not check.hint.endswith(("None", ":"))
    check = judge_query({"a": "x"}, mesh.context("query"), Query(expression="a", compare={"matches": "("}))
    assert (check.verdict, "is not a regular expression" in check.hint) == ("error", True)


def test_a_document_may_hold_what_json_cannot() -> None:
    check = judge_query({"a": {1, 2}.__class__}, mesh.context("query"), Query(expression="a", compare={"exists": True}))
    assert check.verdict == "passed"


# -- the own view, and who must not be in it --


def connected(status: Any, **expect: Any) -> dict[tuple[str, str | None], Check]:
    given = Connected(own=mesh.ONE, **{"peers": (mesh.TWO,), **expect})
    answer = mesh.answer(status=mesh.seen(status)) if status is not None else {"failure": {"message": "gone"}}
    return {(check.id, check.target): check for check in judge_connected(answer, mesh.context("connected"), given)}


HIDDEN = ("us1.connected.hidden", "three")


def test_a_hidden_peer_must_not_be_seen() -> None:
    status = mesh.status()
    shown = connected(status, hidden=(mesh.THREE,))[HIDDEN]
    assert (shown.verdict, shown.observed) == ("failed", {"online": True, "addresses": list(mesh.THREE.addresses)})
    assert "the server shows three to this node" in shown.hint
    del status["Peer"][mesh.THREE.key]
    kept = connected(status, hidden=(mesh.THREE,))[HIDDEN]
    assert (kept.verdict, kept.observed, kept.source) == ("passed", "not seen", "one")


def test_without_a_status_nobody_is_hidden() -> None:
    check = connected(None, hidden=(mesh.THREE,))[HIDDEN]
    assert (check.verdict, check.hint) == ("error", "gone")
    nobody = replace(mesh.THREE, key="", addresses=())
    check = connected(mesh.status(), hidden=(nobody,))[HIDDEN]
    assert (check.verdict, "no record of three" in check.hint) == ("error", True)


@pytest.mark.parametrize("record", [{"key": ""}, {"key": mesh.TWO.key, "addresses": mesh.TWO.addresses}])
def test_a_peer_is_found_by_key_or_by_address(record: dict[str, Any]) -> None:
    assert connected(mesh.status(), peers=(replace(mesh.TWO, **record),))["us1.connected.peer", "two"].verdict == (
        "passed"
    )


def test_a_peer_without_address_is_found_by_its_key_and_has_another_address_then() -> None:
    check = connected(mesh.status(), peers=(replace(mesh.TWO, addresses=()),))["us1.connected.peer", "two"]
    assert (check.verdict, check.observed["addresses"]) == ("failed", list(mesh.TWO.addresses))


def test_the_key_counts_before_the_address() -> None:
    status = mesh.status()
    status["Peer"][mesh.THREE.key]["TailscaleIPs"] = list(mesh.TWO.addresses)
    assert causes.find_peer(status, mesh.TWO)["PublicKey"] == mesh.TWO.key
    assert causes.find_peer(status, mesh.THREE)["PublicKey"] == mesh.THREE.key
    del status["Peer"][mesh.TWO.key]
    assert causes.find_peer(status, mesh.TWO)["PublicKey"] == mesh.THREE.key
    assert causes.find_peer(status, replace(mesh.TWO, key="", addresses=())) == {}


@pytest.mark.parametrize(("expiry", "expired"), [("2020-01-01T00:00:00Z", True), ("2099-01-01T00:00:00Z", False)])
def test_a_peers_key_expires(expiry: str, expired: bool) -> None:
    status = mesh.status()
    status["Peer"][mesh.TWO.key]["KeyExpiry"] = expiry
    said = causes.peer(Answer(mesh.answer(status=mesh.seen(status))), mesh.TWO)
    assert ("the key of two has expired" in said) is expired


# -- walls --


def isolated(icmp: Any, tcp: Any = None, **expect: Any) -> dict[str, Check]:
    rows = [{**mesh.knocked("tcp", 22), **(tcp or {})}]
    answer = mesh.answer(icmp=mesh.seen(icmp), knock=mesh.seen(rows))
    given = Isolated(**{"walls": mesh.WALLS, **expect})
    found = judge_isolated(answer, mesh.context("isolated"), given)
    return {check.aspect: check for check in found}


ALIVE = mesh.echoed(TWO4)
NOTHING = {"sent": 1, "received": 0, "rtt_ms": [], "errors": []}


def test_one_answer_through_the_wall_is_enough() -> None:
    check = isolated({"10.0.0.10": {"sent": 3, "received": 1, "rtt_ms": [1.0], "errors": []}, **ALIVE})["icmp"]
    assert (check.verdict, check.observed) == ("failed", "echo reply")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (NOTHING, "passed"),
        ({**NOTHING, "sent": 0}, "error"),
        ({**NOTHING, "sent": None}, "error"),
        ({**NOTHING, "received": None}, "error"),
        ({**NOTHING, "received": -1}, "error"),
        ({}, "error"),
    ],
)
def test_silence_counts_when_something_was_sent(result: Any, verdict: str) -> None:
    assert isolated({"10.0.0.10": result, **ALIVE})["icmp"].verdict == verdict


def test_silence_proves_nothing_where_the_mesh_is_silent_as_well() -> None:
    assert isolated({"10.0.0.10": NOTHING, TWO4: NOTHING})["icmp"].verdict == "error"
    assert isolated({"10.0.0.10": NOTHING})["icmp"].verdict == "error"
    assert isolated({"10.0.0.10": NOTHING, **ALIVE}, patient=True)["icmp"].verdict == "error"


def test_a_wall_without_address_is_no_wall() -> None:
    walls = (replace(mesh.WALLS[0], address=""),)
    assert isolated({"": NOTHING, **ALIVE}, walls=walls)["icmp"].verdict == "error"


def test_a_timeout_beside_a_refusal_is_a_refusal() -> None:
    found = isolated({"10.0.0.10": mesh.refused(), TWO4: NOTHING}, {"outcome": "timeout", "from": ""})
    assert (found["icmp"].verdict, found["tcp"].verdict) == ("passed", "passed")
    assert found["tcp"].evidence["proof"] == "silence, with an ICMP refusal"
    assert isolated({"10.0.0.10": NOTHING, TWO4: NOTHING}, {"outcome": "timeout", "from": ""})["tcp"].verdict == "error"


# -- the server's list --


def test_a_node_that_was_deleted_is_no_longer_known() -> None:
    known = {"two": {"id": "2"}, "gone": {"id": "77"}}
    answer = {"host": {}, "observations": {"nodes": mesh.seen({"nodes": listed()})}}
    assert still_listed(answer, known) == {"two": {"id": "2"}}
    assert still_listed({"host": {}, "observations": {}}, known) == known, "a server that does not answer deletes none"


def registered(nodes: Any, *wanted: Wanted, now: float | None = mesh.NOW) -> dict[str | None, Check]:
    answer = {"host": {"now": now}, "observations": {"nodes": mesh.seen({"nodes": nodes})}}
    found = judge_registered(answer, mesh.context("registered"), Registered(nodes=wanted))
    return {check.target: check for check in found if check.id == "us1.registered"}


def listed() -> list[dict[str, Any]]:
    return list(mesh.registered_nodes()["nodes"])


def test_a_node_is_found_by_the_name_it_gives_itself() -> None:
    nodes = listed()
    nodes[1] |= {"givenName": "two-x1y2", "name": "Two.local"}
    assert registered(nodes, Wanted(name="two"))["two"].evidence["id"] == "2"
    nodes[2] |= {"givenName": "two"}
    assert registered(nodes, Wanted(name="two"))["two"].evidence["id"] == "3"


@pytest.mark.parametrize("names", [{"givenName": "two", "name": "x"}, {"givenName": "x", "name": "two.local"}])
def test_a_name_under_another_key_has_registered_again(names: dict[str, str]) -> None:
    nodes = [{**listed()[1], **names, "nodeKey": "nodekey:other"}]
    check = registered(nodes, Wanted(name="two", key="nodekey:2"))["two"]
    assert check.verdict == "failed"
    assert "under another key" in check.hint
    stranger = [{**nodes[0], "givenName": "x", "name": "y"}]
    assert "is not on this server" in registered(stranger, Wanted(name="two", key="nodekey:2"))["two"].hint


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_that_two_hosts_state_belongs_to_neither(order: int) -> None:
    wanted = (
        Wanted(name="spare", key="nodekey:2"),
        Wanted(name="two", key="nodekey:2"),
        Wanted(name="three", key="nodekey:3"),
    )
    found = registered(listed(), *wanted[::order])
    assert {name: check.verdict for name, check in found.items()} == {
        "spare": "error",
        "two": "error",
        "three": "passed",
    }
    assert found["two"].hint.startswith(
        f"{' and '.join(('spare', 'two')[::order])} state the same key, that of node 2 (two)"
    )
    answer = {"host": {}, "observations": {"nodes": mesh.seen({"nodes": listed()})}}
    assert list(records(answer, Registered(nodes=wanted))) == ["three"]
    assert set(rivals(Registered(nodes=wanted))) == {"spare", "two"}


def test_a_host_that_is_named_twice_and_keys_that_are_unknown_are_no_rivals() -> None:
    twice = (
        Wanted(name="two", key="nodekey:2"),
        Wanted(name="two", key="nodekey:2"),
        Wanted(name="a"),
        Wanted(name="b"),
    )
    assert not rivals(Registered(nodes=twice))
    assert registered(listed(), *twice)["two"].verdict == "passed"
    unknown = registered(listed(), Wanted(name="x", key="nodekey:x"), Wanted(name="y", key="nodekey:x"))
    assert {check.verdict for check in unknown.values()} == {"failed"}, "the server has no such node"


def test_an_id_that_has_changed_is_told() -> None:
    found = registered(listed(), Wanted(name="two", previous_id="1"), Wanted(name="three", previous_id="3"))
    assert found["two"].evidence["registered_before_as"] == "1"
    assert "registered_before_as" not in found["three"].evidence


@pytest.mark.parametrize(("offset", "verdict"), [(-1, "failed"), (0, "failed"), (1, "passed")])
def test_a_key_expires_at_its_moment(offset: int, verdict: str) -> None:
    from datetime import UTC, datetime

    nodes = listed()
    nodes[1]["expiry"] = datetime.fromtimestamp(mesh.NOW + offset, UTC).isoformat()
    assert registered(nodes, Wanted(name="two"))["two"].verdict == verdict
    assert registered(nodes, Wanted(name="two"), now=None)["two"].verdict == "failed"


def test_when_a_node_was_last_seen_is_kept() -> None:
    nodes = listed()
    assert registered(nodes, Wanted(name="two"))["two"].evidence["last_seen"] == nodes[1]["lastSeen"]


# -- reachable, rejoins, path, encrypted --


@pytest.mark.parametrize(
    "result",
    [
        {"sent": 3, "received": None, "rtt_ms": []},
        {"sent": -3, "received": -3, "rtt_ms": []},
        {"sent": 3, "received": 4, "rtt_ms": [1.0] * 4},
        {"sent": 3, "received": 3, "rtt_ms": [1.0]},
        {"sent": 0, "received": 0, "rtt_ms": []},
    ],
)
def test_figures_that_cannot_be_are_an_error(result: Any) -> None:
    answer = mesh.answer(icmp=mesh.seen({TWO4: result}))
    checks = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,), families=(4,)))
    assert next(check for check in checks if check.aspect == "ipv4").verdict == "error"


def test_one_packet_is_a_measurement_and_so_is_a_reply_in_no_time() -> None:
    answer = mesh.answer(icmp=mesh.seen({TWO4: {"sent": 1, "received": 1, "rtt_ms": [0.0]}}))
    checks = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,), families=(4,)))
    assert [check.verdict for check in checks] == ["passed", "passed"]


@pytest.mark.parametrize("lacking", [{"id": ""}, {"addresses": ()}])
def test_who_a_node_was_must_be_known(lacking: dict[str, Any]) -> None:
    expect = Rejoins(before=replace(mesh.ONE, **lacking), peers=(), aspect="killed", budget_s=30)
    answer = mesh.answer(status=mesh.seen(mesh.status()))
    (check,) = judge_rejoins(answer, mesh.context("rejoins"), expect, elapsed_s=1)
    assert check.verdict == "error"
    assert "mesh_nodes does not say" in check.hint


@pytest.mark.parametrize(("elapsed_s", "verdict"), [(30.0, "passed"), (30.1, "failed")])
def test_the_budget_of_a_rejoin_is_inclusive(elapsed_s: float, verdict: str) -> None:
    expect = Rejoins(before=mesh.ONE, peers=(), aspect="killed", budget_s=30)
    answer = mesh.answer(status=mesh.seen(mesh.status()))
    assert judge_rejoins(answer, mesh.context("rejoins"), expect, elapsed_s=elapsed_s)[0].verdict == verdict


@pytest.mark.parametrize("way", ["direct", "relay", "peer-relay", "none"])
def test_any_path_is_any_but_none(way: str) -> None:
    last = {"direct": {"endpoint": "203.0.113.3:1"}, "relay": {"derp": "lab"}, "peer-relay": {"peer_relay": "x"}}
    answer = mesh.answer(disco=mesh.seen({TWO4: {"answers": [], "last": last.get(way)}}))
    (check,) = judge_path(
        answer, mesh.context("path"), Paths(expected_paths=(ExpectedPath(peer=mesh.TWO, kind="any"),))
    )
    assert check.verdict == ("failed" if way == "none" else "passed")
    assert "endpoint" not in check.expected


def test_a_relayed_path_has_no_endpoint_to_expect() -> None:
    way = replace(mesh.WAYS[0], kind="relay")
    answer = mesh.answer(disco=mesh.seen({TWO4: mesh.pinged(derp="lab")}))
    (check,) = judge_path(answer, mesh.context("path"), Paths(expected_paths=(way,)))
    assert (check.verdict, check.expected) == ("passed", {"path": "relay"})


def test_packets_are_added_up_by_path() -> None:
    def sample(path: str, value: Any) -> dict[str, Any]:
        return {"labels": {"path": path}, "value": value}

    rows = [sample("direct_ipv4", 2.0), sample("direct_ipv6", 3.0), sample("derp", 4.0), sample("peer_relay_ipv4", 5.0)]
    metrics = {"tailscaled_outbound_packets_total": [*rows, sample("derp", None), sample("direct_ipv4", "x")]}
    assert sent_by_path(metrics) == {"direct": 5.0, "relay": 9.0}
    assert sent_by_path({}) is None


# -- where a host is --


@pytest.mark.parametrize("links", [None, [], {}, "x"])
def test_no_interfaces_are_no_addresses(links: Any) -> None:
    answer = mesh.answer(addresses=mesh.seen(links), routes=mesh.seen(mesh.routes()))
    checks = {check.id: check for check in judge_addressed(answer, mesh.context("addressed"), mesh.PLACE)}
    assert checks["us1.addressed.address"].verdict == "error"


# -- names --


def resolves(*changes: tuple[tuple[Any, ...], Any], **expect: Any) -> dict[tuple[str, str | None], Check]:
    answer = deepcopy(mesh.CASES["resolves"][0])
    for path, value in changes:
        where = answer["observations"]
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value
    found = judge_resolves(answer, mesh.context("resolves"), Names(**{"present": mesh.NAMES, **expect}))
    return {(check.id, check.target): check for check in found}


def test_what_is_not_captured_is_not_judged() -> None:
    assert ("us1.resolves.wire", None) in resolves()
    assert ("us1.resolves.wire", None) not in resolves(wire=False)


def test_all_of_a_nodes_addresses_are_a_right_answer() -> None:
    both = mesh.looked_up("two.mesh.internal", TWO4, TWO6)
    path = ("lookups", "data", "during", "getaddrinfo", "data", 0)
    assert resolves((path, both))["us1.resolves.name", "two"].verdict == "passed"


@pytest.mark.parametrize("row", [{"outcome": ""}, {"outcome": None}, {"duration_ms": None}, {"duration_ms": "2"}])
def test_an_answer_without_outcome_or_time_is_none(row: dict[str, Any]) -> None:
    path = ("lookups", "data", "during", "getaddrinfo", "data", 0)
    found = {**mesh.looked_up("two.mesh.internal", TWO4), **row}
    assert resolves((path, found))["us1.resolves.name", "two"].verdict == "error"


@pytest.mark.parametrize(("number_", "aspect"), [(0, "dns"), (2, "dns"), (4, "reverse"), (5, "reverse")])
@pytest.mark.parametrize("row", [{"outcome": ""}, {"duration_ms": None}])
def test_a_query_without_outcome_or_time_proves_nothing(number_: int, aspect: str, row: dict[str, Any]) -> None:
    rows = mesh.dns()
    rows[number_] = {**rows[number_], **row}
    found = resolves((("dns", "data"), rows))
    assert found[f"us1.resolves.{aspect}", "two"].verdict == "error"


def test_an_answer_at_the_budget_is_in_time() -> None:
    path = ("lookups", "data", "during", "getaddrinfo", "data", 0)
    found = {**mesh.looked_up("two.mesh.internal", TWO4), "duration_ms": 1000.0}
    assert resolves((path, found))["us1.resolves.name", "two"].verdict == "passed"
    found["duration_ms"] = 1000.1
    assert resolves((path, found))["us1.resolves.name", "two"].verdict == "failed"


WIRE = ("us1.resolves.wire", None)


@pytest.mark.parametrize(
    ("server", "verdict", "said"),
    [("127.0.0.53", "failed", "without querying 100.100.100.100"), ("100.100.100.100", "error", "a cache")],
)
def test_who_answers_for_a_name_that_is_new_without_asking_is_not_the_mesh(
    server: str, verdict: str, said: str
) -> None:
    found = {**mesh.lookups(), "flows": []}
    check = resolves((("lookups", "data"), found), (("resolv_conf",), mesh.seen({"nameservers": [server]})))[WIRE]
    assert (check.verdict, said in check.hint) == (verdict, True)


@pytest.mark.parametrize(
    ("server", "questions", "verdict"),
    [
        ("100.100.100.100", 5, "passed"),
        ("100.100.100.100", 4, "error"),
        # What is before the system may know all but the new one.
        ("127.0.0.53", 1, "passed"),
    ],
)
def test_as_many_questions_are_seen_as_names_were_looked_up(server: str, questions: int, verdict: str) -> None:
    found = mesh.lookups()
    found["flows"][0]["marked"] = questions
    check = resolves((("lookups", "data"), found), (("resolv_conf",), mesh.seen({"nameservers": [server]})))[WIRE]
    assert check.verdict == verdict


@pytest.mark.parametrize(
    ("asked", "answered", "verdict", "said"),
    [
        ({"fresh": 2}, {"fresh": 2}, "passed", ""),
        ({}, {}, "error", "2 questions for 5 names were seen, and 100.100.100.100 was not seen to answer the one that no cache"),
        ({"fresh": 2}, {}, "error", "was not seen to answer"),
        ({"fresh": 2, "dst": "9.9.9.9"}, {"fresh": 2, "src": "9.9.9.9"}, "failed", "9.9.9.9 is queried for names of the mesh"),
    ],
)  # fmt: skip
def test_a_cache_of_the_system_may_have_all_names_but_the_new_one(
    asked: dict[str, Any], answered: dict[str, Any], verdict: str, said: str
) -> None:
    found = mesh.lookups()
    for flow, more in zip(found["flows"], (asked, answered), strict=True):
        flow.update(marked=2, **more)
    check = resolves((("lookups", "data"), found))[WIRE]
    assert (check.verdict, said in check.hint) == (verdict, True)


def test_the_new_name_must_not_be_asked_for_elsewhere_as_well() -> None:
    found = mesh.lookups()
    for flow in found["flows"]:
        flow.update(marked=2, fresh=2)
    found["flows"].append(mesh.flow("eth0", "192.168.1.10", "9.9.9.9", dport=53, marked=1, fresh=1))
    check = resolves((("lookups", "data"), found))[WIRE]
    assert (check.verdict, "9.9.9.9 is queried for names of the mesh" in check.hint) == ("failed", True)


@pytest.mark.parametrize("number_", [0, 2])
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"rcode": "SERVFAIL"}, "SERVFAIL"),
        ({"rcode": "NXDOMAIN"}, "NXDOMAIN"),
        ({"rcode": None, "outcome": "refused"}, "refused"),
        ({"rcode": None, "outcome": "timeout"}, "timeout"),
    ],
)
def test_every_question_is_answered_properly_even_if_the_addresses_are_right(
    number_: int, row: dict[str, Any], said: str
) -> None:
    rows = mesh.dns()
    rows[number_] = {**rows[number_], **row}
    check = resolves((("dns", "data"), rows))["us1.resolves.dns", "two"]
    kind = rows[number_]["type"]
    assert check.verdict == "failed"
    assert (
        f"100.100.100.100 gives the correct addresses of two.mesh.internal, but does not answer both questions properly ({kind}: {said})"
        in check.hint
    )
    assert check.late is (True if said == "timeout" else None)
    assert ("outcome" in check.observed) is ("outcome" in row)


def test_questions_on_the_wire_count_whatever_stub_there_is() -> None:
    check = resolves((("resolv_conf",), mesh.seen({"nameservers": ["127.0.0.53"]})))[WIRE]
    assert check.verdict == "passed"


def test_questions_of_several_flows_are_added_up() -> None:
    found = mesh.lookups()
    found["flows"] += [{**found["flows"][0], "sport": 4001, "marked": 3}]
    check = resolves((("lookups", "data"), found))[WIRE]
    assert (check.verdict, check.evidence["questions"]) == ("passed", {"100.100.100.100": 13})


# -- what leaves, and as what --


def encrypted(steps: dict[str, Any]) -> dict[tuple[str, str | None], str]:
    found = judge_encrypted(
        mesh.answer(wire=mesh.seen(steps)), mesh.context("encrypted"), Encrypted(expected_paths=mesh.WAYS)
    )
    return {(check.id, check.target): check.verdict for check in found}


def test_only_packets_that_carry_something_are_counted() -> None:
    steps = mesh.wire()
    flows = steps["capture"]["data"]["flows"]
    flows[0]["wireguard"] = {"4": 1}
    flows += [mesh.flow("eth0", "192.168.1.10", "203.0.113.3", dport=41642, sport=port, disco=3) for port in range(3)]
    assert encrypted(steps)["us1.encrypted", "two"] == "failed"


def test_an_interface_whose_address_cannot_be_read_is_outside() -> None:
    steps = mesh.wire()
    steps["addresses"]["data"].append({"name": "eth7", "addresses": ["?", "", None]})
    steps["capture"]["data"]["flows"].append(mesh.flow("eth7", "192.168.1.10", "100.64.0.2", proto="icmp", marked=1))
    assert encrypted(steps)["us1.encrypted", "two"] == "failed"


@pytest.mark.parametrize(("without", "verdict"), [((4,), "skipped"), ((), "failed")])
def test_a_family_that_the_policy_takes_away_is_not_pinged(without: tuple[int, ...], verdict: str) -> None:
    peer = replace(mesh.TWO, addresses=mesh.TWO.addresses[1:], without=without)
    answer = mesh.answer(icmp=mesh.seen(mesh.echoed(*peer.addresses)))
    found = {
        check.aspect: check for check in judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(peer,)))
    }
    assert {aspect: check.verdict for aspect, check in found.items()} == {
        "ipv4": verdict,
        "ipv6": "passed",
        "latency": "passed",
    }
    assert ("disable-ipv4" in found["ipv4"].hint) is bool(without)
