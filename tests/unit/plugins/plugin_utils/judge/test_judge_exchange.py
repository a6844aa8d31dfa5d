# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchanges over TCP and UDP: each outcome has its verdict, and a hint that what was seen supports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.exchange import (
    Exchange,
    judge_exchange,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.opened import connections

OWN = Node(name="one", addresses=("100.64.0.1", "fd7a:115c:a1e0::1"))
PEER = Node(name="two", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
V4, V6 = PEER.addresses
CONTEXT = CheckContext(story="us1", assertion="reachable", source="one")
PORTS = {known: {"tcp": {"port": 4001}, "udp": {"port": 4002}} for known in PEER.addresses}
EXPECT = Exchange(
    own=OWN, peers=(PEER,), serving={"two": {"token": "t", "ports": PORTS}}, bulk=1_000_000, bulk_peers=frozenset({"two"}),
    rate_budget_mbit=1,
)  # fmt: skip


def whole(family: int) -> dict[str, Any]:
    small = {"outcome": "answered", "stage": "done", "duration_ms": 2.0, "seen": {"from": OWN.address(family)}}
    bulk = {**small, "sent": 10**6, "received": 10**6, "up_s": 0.1, "down_s": 0.2, "kernel": {"retransmitted": 0}}
    return {"tcp": small, "udp": dict(small), "bulk": bulk, "opened": swept()}


def swept(**changes: Any) -> dict[str, Any]:
    """Return what became of many connections, all of which opened unless changed."""
    row = {"tried": 24, "opened": 24, "lost": 0, "never": 0, "refused": 0, "lost_from": []}
    return {"tcp": {"4001": row}, "udp": {"4002": row}, **changes}


def judged(changes: dict[str, Any] | None = None, expect: Exchange = EXPECT) -> dict[tuple[str, str | None], Check]:
    """Return the checks by aspect and family; changes are given as `4.tcp`."""
    seen = {V4: whole(4), V6: whole(6)}
    for where, change in (changes or {}).items():
        family, _dot, name = where.partition(".")
        seen[V4 if family == "4" else V6][name].update(change)
    answer = {"observations": {"exchange": {"ok": True, "data": seen}}}
    checks = judge_exchange(answer, CONTEXT, expect)
    return {(check.aspect, check.family): check for check in checks}


def bad(checks: dict[tuple[str, str | None], Check]) -> set[tuple[str, str | None]]:
    return {key for key, check in checks.items() if check.bad}


def test_a_family_that_the_policy_takes_away_is_not_tried() -> None:
    checks = judged(expect=replace(EXPECT, peers=(replace(PEER, addresses=(V6,), without=(4,)),)))
    assert {family for _aspect, family in checks} == {"ipv6"}
    assert not bad(checks)
    # An address that is missing for another reason is an error.
    checks = judged(expect=replace(EXPECT, peers=(replace(PEER, addresses=(V6,)),)))
    assert ("tcp", "ipv4") in bad(checks)


def test_everything_whole_passes_for_each_family() -> None:
    checks = judged()
    assert set(checks) == {(aspect, family) for aspect in ("tcp", "udp", "bulk") for family in ("ipv4", "ipv6")}
    assert {check.verdict for check in checks.values()} == {"passed"}
    assert checks["bulk", "ipv4"].observed["up_mbit_s"] == 80.0
    assert checks["tcp", "ipv6"].id == "us1.reachable.tcp"


SILENT = {"outcome": "timeout", "stage": "connect", "seen": {}}
NO_REPLY = {"outcome": "timeout", "stage": None, "seen": {}}


@pytest.mark.parametrize(
    ("changes", "failing", "hint"),
    [
        ({"4.tcp": SILENT, "6.tcp": SILENT}, ("tcp", "ipv4"), "answers UDP but not TCP on port 4001"),
        ({"4.udp": NO_REPLY, "6.udp": NO_REPLY}, ("udp", "ipv6"), "answers TCP but not UDP on port 4002"),
        ({"4.tcp": SILENT, "4.udp": NO_REPLY}, ("tcp", "ipv4"), "answers TCP over IPv6 but not over IPv4"),
        (
            {"4.tcp": SILENT, "4.udp": NO_REPLY, "6.tcp": SILENT, "6.udp": NO_REPLY},
            ("udp", "ipv4"),
            "neither TCP nor UDP",
        ),
        ({"4.tcp": {"outcome": "refused", "stage": "connect"}}, ("tcp", "ipv4"), "refuses TCP on port 4001"),
        ({"4.udp": {"outcome": "port-unreachable"}}, ("udp", "ipv4"), "refuses UDP on port 4002"),
        ({"4.tcp": {"outcome": "prohibited", "refused_by": "local"}}, ("tcp", "ipv4"), "own firewall"),
        ({"4.tcp": {"outcome": "stalled", "stage": "reply", "seen": {}}}, ("tcp", "ipv4"), "opens, but no data comes"),
        (
            {"4.udp": {"outcome": "large lost", "answered": [64, 800], "unanswered": [1000, 1200]}},
            ("udp", "ipv4"),
            "of 64 to 800 bytes are answered, and those of 1000 to 1200 bytes are not: packets above a size",
        ),
        (
            {"4.udp": {"outcome": "some lost", "answered": [64, 1200], "unanswered": [800]}},
            ("udp", "ipv4"),
            "of 800 bytes are not answered, and some that are larger are: packets of some sizes are lost",
        ),
        ({"4.tcp": {"outcome": "closed", "stage": "reply", "seen": {}}}, ("tcp", "ipv4"), "another host or program"),
        ({"4.tcp": {"seen": {"from": "100.64.0.9"}}}, ("tcp", "ipv4"), "come from 100.64.0.9: a NAT rule"),
        (
            {"4.bulk": {"outcome": "stalled", "stage": "send", "kernel": {"mss": 1228, "acknowledged": 50}}},
            ("bulk", "ipv4"),
            r"to two does not begin (segments of 1228 bytes): larger segments are lost",
        ),
        (
            {"4.bulk": {"outcome": "stalled", "stage": "receive", "received": 0}},
            ("bulk", "ipv4"),
            "from two does not begin: larger segments are lost",
        ),
        (
            {"4.bulk": {"outcome": "reset", "stage": "send", "kernel": {"acknowledged": 300_000}}},
            ("bulk", "ipv4"),
            "stops after 300000 bytes (reset): something on the way cuts",
        ),
        (
            {
                "4.bulk": {
                    "outcome": "stalled",
                    "stage": "send",
                    "duration_ms": 6000.0,
                    "up_s": None,
                    "down_s": None,
                    "kernel": {"acknowledged": 6000, "quiet_ms": 900, "retransmitted": 0},
                }
            },
            ("bulk", "ipv4"),
            "the transfer is slow: 0 Mbit/s to two",
        ),
        (
            {
                "4.bulk": {
                    "outcome": "stalled",
                    "stage": "send",
                    "duration_ms": 1000.0,
                    "up_s": None,
                    "down_s": None,
                    "kernel": {"acknowledged": 300_000, "quiet_ms": 4, "retransmitted": 30},
                }
            },
            ("bulk", "ipv4"),
            "had not ended when its time was over, and was still going on after 300000 bytes",
        ),
        ({"4.bulk": {"outcome": "damaged", "stage": "receive"}}, ("bulk", "ipv4"), "checksum differs"),
        ({"4.bulk": {"outcome": "timeout", "stage": "connect"}}, ("bulk", "ipv4"), "a second connection"),
        (
            {"4.bulk": {"up_s": 16.0, "kernel": {"retransmitted": 40}}},
            ("bulk", "ipv4"),
            "0.5 Mbit/s to two, the budget is 1 Mbit/s; 40 segments were sent again",
        ),
        (
            {
                "4.bulk": {
                    "outcome": "stalled",
                    "stage": "reply",
                    "duration_ms": 6000.0,
                    "up_s": None,
                    "down_s": None,
                    "kernel": {"acknowledged": 300_000, "quiet_ms": 40, "retransmitted": 9},
                }
            },
            ("bulk", "ipv4"),
            "0.4 Mbit/s to two, the budget is 1 Mbit/s; 9 segments",
        ),
        (
            {"4.bulk": {"outcome": "stalled", "stage": "receive", "received": 90_000, "kernel": {"quiet_ms": 5000}}},
            ("bulk", "ipv4"),
            "stops after 90000 bytes (stalled)",
        ),
        ({"6.bulk": {"down_s": 20.0}}, ("bulk", "ipv6"), "0.4 Mbit/s from two"),
    ],
)
def test_each_failure_names_its_cause(changes: dict[str, Any], failing: tuple[str, str], hint: str) -> None:
    checks = judged(changes)
    assert failing in bad(checks)
    assert hint in checks[failing].hint
    touched = {(where[2:], f"ipv{where[0]}") for where in changes}
    assert bad(checks) <= touched


def test_without_a_connection_there_is_no_transfer_to_judge() -> None:
    assert judged({"4.tcp": SILENT})["bulk", "ipv4"].verdict == "skipped"


def test_a_peer_that_does_not_listen_is_an_error_and_no_verdict() -> None:
    for serving, said in (
        ({}, "did not start to listen"),
        ({"two": {"ports": {V4: {"tcp": {"error": "in use"}}}}}, "cannot be queried: in use"),
    ):
        expect = Exchange(own=OWN, peers=(PEER,), serving=serving, families=(4,))
        check = judged(expect=expect)["tcp", "ipv4"]
        assert check.verdict == "error"
        assert said in check.hint


@pytest.mark.parametrize(
    "answer", [{}, {"observations": {"exchange": {"ok": True, "data": {V4: None}}}}, {"failure": {"message": "gone"}}]
)
def test_an_answer_without_the_exchange_is_an_error(answer: dict[str, Any]) -> None:
    checks = judge_exchange(answer, CONTEXT, EXPECT)
    assert {check.verdict for check in checks if check.aspect != "bulk"} == {"error"}


def test_only_chosen_peers_get_a_transfer() -> None:
    checks = judged(expect=Exchange(own=OWN, peers=(PEER,), serving=EXPECT.serving, bulk=1))
    assert {aspect for aspect, _family in checks} == {"tcp", "udp"}


STUCK = {"outcome": "stalled", "returned": [90, 250], "stuck": 400, "again": True, "arrived": False}


def with_more(**more: Any) -> dict[tuple[str, str | None], Check]:
    """Judge an exchange over IPv4 that went well, and what else was tried."""
    answer = {"observations": {"exchange": {"ok": True, "data": {V4: {**whole(4), **more}, V6: whole(6)}}}}
    return {(check.aspect, check.family): check for check in judge_exchange(answer, CONTEXT, EXPECT)}


def test_a_block_that_twice_does_not_come_back_names_sizes_and_way() -> None:
    checks = with_more(blocks=STUCK)
    assert bad(checks) == {("bulk", "ipv4")}
    assert "returns blocks of 90 to 250 bytes, and twice not one of 400 bytes" in checks["bulk", "ipv4"].hint
    assert (
        "are lost to two, or wait in a queue for seconds; look for a rule on packet lengths"
        in checks["bulk", "ipv4"].hint
    )
    assert "are lost from two" in with_more(blocks={**STUCK, "arrived": True})["bulk", "ipv4"].hint


@pytest.mark.parametrize(
    "blocks",
    [
        {**STUCK, "again": False},
        {**STUCK, "again": False, "outcome": "reset"},
        {"outcome": "returned"},
        {"outcome": "deadline"},
        None,
    ],
)
def test_a_block_that_is_late_once_is_no_failure(blocks: Any) -> None:
    assert bad(with_more(blocks=blocks)) == set()


@pytest.mark.parametrize(
    ("blocks", "hint"),
    [
        (
            {**STUCK, "outcome": "reset"},
            "twice ends at one of 400 bytes (reset): something rejects packets of some sizes",
        ),
        ({**STUCK, "outcome": "prohibited"}, "twice ends at one of 400 bytes (prohibited)"),
        ({"outcome": "damaged", "returned": [], "stuck": 400}, "a block of 400 bytes that differs from what was sent"),
        ({**STUCK, "outcome": "damaged", "again": False}, "a block of 400 bytes that differs from what was sent"),
    ],
)
def test_a_block_that_is_rejected_or_changed_fails_as_well(blocks: Any, hint: str) -> None:
    checks = with_more(blocks=blocks)
    assert bad(checks) == {("bulk", "ipv4")}
    assert hint in checks["bulk", "ipv4"].hint
    assert checks["bulk", "ipv4"].late is False


@pytest.mark.parametrize(
    ("opened", "failing"),
    [
        ({}, {"tcp", "udp"}),
        (None, {"tcp", "udp"}),
        ({"udp": {}}, {"udp"}),
        ({"tcp": {"4001": {"tried": 8, "opened": 8}, "443": {"tried": 0}}}, {"tcp"}),
        ({"tcp": {"4001": None}}, {"tcp"}),
    ],
)
def test_ports_that_were_not_tried_are_no_ports_that_are_open(opened: Any, failing: set[str]) -> None:
    checks = with_more(opened=opened and swept(**opened))
    assert bad(checks) == {(protocol, "ipv4") for protocol in failing}
    for protocol in failing:
        check = checks[protocol, "ipv4"]
        assert (check.verdict, check.late, check.hint) == ("error", True, "the connections were not tried in time")


def test_connections_that_could_not_be_tried_say_why() -> None:
    check = with_more(opened={"outcome": "broken", "error": "Too many open files"})["tcp", "ipv4"]
    assert (check.verdict, check.late) == ("error", None)
    assert check.hint == "the connections could not be tried: Too many open files"


def test_a_transfer_that_fails_says_why_connections_were_not_tried() -> None:
    slow = {**whole(4)["bulk"], "up_s": 16.0}
    assert bad(with_more(bulk=slow, opened={})) == {("bulk", "ipv4")}
    assert bad(with_more(bulk={"outcome": "deadline"}, opened={})) == {("bulk", "ipv4")}


def test_connections_that_had_no_time_are_tried_without_the_transfer() -> None:
    def look(expect: Exchange, **seen: Any) -> dict[tuple[str, str | None], str]:
        answer = {"observations": {"exchange": {"ok": True, "data": {V4: {**whole(4), **seen}, V6: whole(6)}}}}
        return {(check.aspect, check.family): check.verdict for check in judge_exchange(answer, CONTEXT, expect)}

    assert look(EXPECT, opened={})["tcp", "ipv4"] == "error"
    again = replace(EXPECT, transferred=frozenset({V4, V6}))
    assert look(again, bulk={}) == dict.fromkeys(
        ((name, f"ipv{one}") for name in ("tcp", "udp") for one in (4, 6)), "passed"
    )
    assert look(again, bulk={}, opened={})["udp", "ipv4"] == "error"
    assert look(again, bulk={}, opened=swept(tcp={"4001": rows(), "443": rows(refused=8)}))["tcp", "ipv4"] == "failed"


def rows(*, lost: int = 0, never: int = 0, refused: int = 0, tried: int = 8) -> dict[str, Any]:
    return {
        "tried": tried,
        "opened": tried - lost - refused,
        "lost": lost,
        "never": never,
        "refused": refused,
        "lost_from": [4001] * lost,
    }


@pytest.mark.parametrize(
    ("tcp", "hint"),
    [
        (
            {"4001": rows(lost=4), "700": rows(lost=4), "20000": rows(lost=4)},
            "the first packet of 12 was lost, and 12 opened",
        ),
        ({"4001": rows(refused=18, tried=24)}, "18 were refused, and 6 opened at once"),
        ({"4001": rows(lost=2, refused=6), "700": rows()}, "the first packet of 2 was lost and 6 were refused"),
        (
            {"4001": rows(), "700": rows(lost=8, never=8), "20000": rows()},
            "TCP to port 700 is dropped, and to port 4001 it is not",
        ),
        ({"4001": rows(), "700": rows(refused=8), "9": rows(refused=8)}, "TCP to port 700 and 9 is refused"),
        (
            {"4001": rows(tried=2), "700": rows(lost=2, never=2, tried=2), "9": rows(lost=1, never=1, tried=2)},
            "of 6 new connections to two, one after another and from random source ports, 3 never opened",
        ),
    ],
)
def test_connections_that_do_not_open_at_once_name_what_they_have_in_common(tcp: dict[str, Any], hint: str) -> None:
    checks = with_more(opened=swept(tcp=tcp))
    assert bad(checks) == {("tcp", "ipv4")}
    assert hint in checks["tcp", "ipv4"].hint
    assert checks["tcp", "ipv4"].evidence["by_port"]


@pytest.mark.parametrize(
    ("tcp", "fails"),
    [
        ({"4001": rows(lost=7, tried=24)}, False),
        ({"4001": rows(lost=14, tried=24)}, True),
        # However slow the machine is, it refuses nothing, and what is tried again arrives.
        ({"4001": rows(refused=7, tried=24)}, True),
        ({"4001": rows(lost=3, never=3, tried=24)}, True),
    ],
)
def test_more_connections_may_open_late_on_a_saturated_machine(tcp: dict[str, Any], fails: bool) -> None:
    found = {V4: {**whole(4), "opened": swept(tcp=tcp)}, V6: whole(6)}
    seen = {"exchange": {"ok": True, "data": found}}
    busy = {"host": {"load": {"cores": 2, "ran_s": 1.0, "waited_s": 3.0, "load": 12.0}}, "observations": seen}
    checks = {(check.aspect, check.family): check for check in judge_exchange(busy, CONTEXT, EXPECT)}
    assert bad(checks) == ({("tcp", "ipv4")} if fails else set())
    idle = {(check.aspect, check.family): check for check in judge_exchange({"observations": seen}, CONTEXT, EXPECT)}
    assert bad(idle) == {("tcp", "ipv4")}


@pytest.mark.parametrize(
    "seen",
    [
        {"tcp": {"4001": rows(lost=2), "700": rows(lost=1), "20000": rows(lost=1)}, "udp": {"700": rows(lost=1)}},
        {"tcp": {"4001": rows(lost=1, never=1, tried=24)}, "udp": {"4002": rows(lost=2, never=2, tried=60)}},
    ],
)
def test_a_few_losses_are_no_failure(seen: dict[str, Any]) -> None:
    assert bad(with_more(opened=swept(**seen))) == set()


def test_connections_of_all_looks_count() -> None:
    def look(tcp: dict[str, Any], expect: Exchange) -> tuple[bool, Exchange]:
        answer = {
            "observations": {
                "exchange": {"ok": True, "data": {V4: {**whole(4), "opened": swept(tcp=tcp)}, V6: whole(6)}}
            }
        }
        failed = any(check.bad for check in judge_exchange(answer, CONTEXT, expect))
        return failed, replace(expect, before=connections(answer, expect.before))

    failed, expect = look({"4001": rows(lost=12, tried=24)}, EXPECT)
    assert failed
    failed, expect = look({"4001": rows(lost=4, tried=24)}, expect)
    assert failed, "a look that passes by chance does not outweigh another"
    for _look in range(2):
        failed, expect = look({"4001": rows(tried=24)}, expect)
    assert not failed, "what was so only at first is forgiven"


def test_a_port_that_no_datagram_reaches_is_named() -> None:
    checks = with_more(opened=swept(udp={"4002": rows(), "700": rows(lost=8, never=8), "20000": rows()}))
    assert bad(checks) == {("udp", "ipv4")}
    assert "UDP to port 700 is dropped, and to port 4002 it is not: a rule on port ranges" in checks["udp", "ipv4"].hint


def test_datagrams_that_are_lost_are_counted() -> None:
    checks = with_more(opened=swept(udp={"4002": rows(lost=6, never=1, tried=24)}))
    assert bad(checks) == {("udp", "ipv4")}
    assert (
        "of 24 datagrams to two, one after another and each from another source port, the first copy of 6 was not answered"
        in (checks["udp", "ipv4"].hint)
    )


@pytest.mark.parametrize(
    ("protocol", "port", "hint"), [("tcp", "4001", "3 never opened"), ("udp", "4002", "3 were never answered although")]
)
def test_flows_that_never_pass_fail_even_when_few(protocol: str, port: str, hint: str) -> None:
    checks = with_more(opened=swept(**{protocol: {port: rows(lost=3, never=3, tried=24)}}))
    assert bad(checks) == {(protocol, "ipv4")}
    assert hint in checks[protocol, "ipv4"].hint
    assert "drops some of these flows for good" in checks[protocol, "ipv4"].hint


@pytest.mark.parametrize(
    ("again", "hint"),
    [
        ({"bytes": 800, "answered": True, "other": 64, "other_answered": False}, "800 bytes are answered"),
        ({"bytes": 800, "answered": False, "other": 64, "other_answered": False}, "64 bytes are not answered either"),
        ({"bytes": 800, "answered": False, "other": 64, "other_answered": True}, "packets above a size are lost"),
    ],
)
def test_a_size_is_blamed_only_if_it_is_lost_again(again: dict[str, Any], hint: str) -> None:
    lost = {"outcome": "large lost", "answered": [64], "unanswered": [800, 1232], "again": [again]}
    check = judged({"4.udp": lost})["udp", "ipv4"]
    assert check.bad
    assert hint in check.hint


def test_a_transfer_with_many_segments_sent_again_was_not_cut() -> None:
    kernel = {"acknowledged": 140050, "retransmitted": 60, "quiet_ms": 3000}
    stalled = {"outcome": "stalled", "stage": "send", "sent": 720896, "received": 0, "kernel": kernel}
    check = judged({"4.bulk": stalled})["bulk", "ipv4"]
    assert "60 segments were sent again on the way there" in check.hint


@pytest.mark.parametrize(
    ("udp", "hint"),
    [
        ({"4002": rows(lost=3, never=3), "700": rows(lost=1, never=1)}, "drops some of these flows for good"),
        (
            {"4002": rows(lost=8, never=8), "700": rows(), "20000": rows()},
            "UDP to port 4002 is dropped, and to port 700 it is not",
        ),
        ({"4002": rows(lost=8, never=8)}, "answers TCP but not UDP on port 4002"),
        ({"4002": rows(lost=8, never=8), "\N{SUPERSCRIPT TWO}": rows()}, "UDP to port 4002 is dropped"),
    ],
)
def test_a_silent_port_is_judged_next_to_other_flows(udp: dict[str, Any], hint: str) -> None:
    seen = {**whole(4), "udp": NO_REPLY, "opened": swept(udp=udp)}
    answer = {"observations": {"exchange": {"ok": True, "data": {V4: seen, V6: whole(6)}}}}
    (check,) = [check for check in judge_exchange(answer, CONTEXT, EXPECT) if check.bad]
    assert (check.aspect, check.family) == ("udp", "ipv4")
    assert hint in check.hint


def test_an_exchange_after_an_outage_has_ids_of_its_own() -> None:
    expect = replace(EXPECT, bulk_peers=frozenset(), aspect="rejoined")
    checks = judged({"4.tcp": SILENT, "4.udp": NO_REPLY, "6.tcp": SILENT, "6.udp": NO_REPLY}, expect)
    assert {check.id for check in checks.values()} == {"us1.reachable.tcp.rejoined", "us1.reachable.udp.rejoined"}
    assert all("answers neither TCP nor UDP" in check.hint for check in checks.values() if check.bad)
    assert {check.verdict for check in judged(expect=expect).values()} == {"passed"}
    skipped = judged({"4.tcp": SILENT}, replace(EXPECT, aspect="rejoined"))["bulk.rejoined", "ipv4"]
    assert skipped.verdict == "skipped"
