# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a watch saw: silences and broken connections fail, and a probe that was held up is no verdict."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.held import Held, judge_held
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.spans import Span

TWO = Node(name="two", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
THREE = Node(name="three", addresses=("100.64.0.3", "fd7a:115c:a1e0::3"))
CONTEXT = CheckContext(story="us1", assertion="reachable", source="one")
# 2026-11-28 21:30:00 UTC
NOW = 1795901400.0
EXPECT = Held(
    peers=(TWO,), everyone=(TWO, THREE), hold_s=10, silence_budget_s=0.5, stall_budget_s=3, stream_peers=frozenset({"two"})
)  # fmt: skip


def healthy() -> dict[str, Any]:
    line = {"sent": 100, "answered": 98, "lost": 2, "first": NOW, "errors": {}, "runs": 0, "outages": []}
    known = [*TWO.addresses, *THREE.addresses]
    line["losses"] = 2
    stream = {
        "outcome": "open", "opened": NOW, "open_s": 9.9, "exchanged": 90, "bytes": 32768, "waits": [], "tries": 1, "losses": 1,
    }  # fmt: skip
    flow = {"idle_s": None, "first": NOW, "sent": 98, "lost": 3, "losses": 2, "silences": [], "errors": {}}
    idle_flow = {"idle_s": 5.0, "rounds": 1, "arrived": 1, "forgotten": []}
    return {
        "began": NOW, "ticks": 100, "interval_s": 0.1, "held_up_s": 0.0, "delays": [],
        "lines": {address: deepcopy(line) for address in known},
        "streams": [{**deepcopy(stream), "host": address} for address in TWO.addresses],
        "flows": [{**deepcopy(one), "host": address} for address in TWO.addresses for one in (flow, idle_flow)],
    }  # fmt: skip


def silent(data: dict[str, Any], address: str, *outages: tuple[float, float]) -> None:
    data["lines"][address]["outages"] = [
        {"at": NOW + at, "s": lasted, "lost": int(lasted * 10)} for at, lasted in outages
    ]
    # What interrupts a path holds up its connections as well.
    for stream in data["streams"]:
        if stream["host"] == address:
            stream["waits"] = [{"at": NOW + at, "s": lasted} for at, lasted in outages if lasted >= 0.5]


def judged(data: Any, expect: Held = EXPECT) -> dict[tuple[str, str | None], Check]:
    answer = {"observations": {"held": {"ok": True, "data": data}}}
    return {(check.aspect, check.family): check for check in judge_held(answer, CONTEXT, expect)}


def test_lost_packets_are_no_silence() -> None:
    checks = judged(healthy())
    assert set(checks) == {(aspect, family) for aspect in ("steady", "stream", "flow") for family in ("ipv4", "ipv6")}
    assert {check.verdict for check in checks.values()} == {"passed"}
    assert len({str(check.expected) for check in checks.values()}) == 6


@pytest.mark.parametrize(("lasted", "verdict"), [(0.4, "passed"), (0.5, "passed"), (0.6, "failed"), (2.0, "failed")])
def test_a_silence_fails_from_the_budget_on(lasted: float, verdict: str) -> None:
    data = healthy()
    for address in TWO.addresses:
        silent(data, address, (4.0, lasted))
    check = judged(data)["steady", "ipv4"]
    assert check.verdict == verdict
    assert check.observed["longest_s"] == lasted


@pytest.mark.parametrize(
    ("outage", "verdict", "longest"),
    [
        ((0.2, 5.0), "passed", None),
        ((0.2, 6.5), "failed", 1.5),
        ((5.5, 0.6), "failed", 0.6),
        ((5.2, 0.4), "passed", 0.4),
    ],
)
def test_what_was_before_a_node_was_reached_is_no_silence(
    outage: tuple[float, float], verdict: str, longest: float | None
) -> None:
    """Two nodes that begin to talk at the same moment exchange a packet or two, and then nothing for a while."""
    expect = replace(EXPECT, since={"two": NOW + 5.2 - 30}, ahead_s=30.0)
    data = healthy()
    for address in (*TWO.addresses, *THREE.addresses):
        silent(data, address, outage)
    check = judged(data, expect)["steady", "ipv4"]
    assert check.verdict == verdict
    assert check.observed.get("longest_s") == longest
    other = judged(data, replace(expect, peers=(THREE,), stream_peers=frozenset()))["steady", "ipv4"]
    assert other.verdict == ("failed" if outage[1] > 0.5 else "passed")


def test_a_stall_before_a_node_was_reached_is_not_one_of_the_connection() -> None:
    data = healthy()
    for stream in data["streams"]:
        stream["waits"] = [{"at": NOW + 0.3, "s": 4.5}]
    assert judged(data)["stream", "ipv4"].verdict == "failed"
    assert judged(data, replace(EXPECT, since={"two": NOW + 5.0}))["stream", "ipv4"].verdict == "passed"


def test_a_node_that_comes_and_goes_is_named_with_times_and_period() -> None:
    data = healthy()
    for address in TWO.addresses:
        silent(data, address, (0.5, 1.0), (4.5, 1.0), (8.5, 1.0))
    hint = judged(data)["steady", "ipv4"].hint
    assert hint.startswith("two was silent 3 times in 10 s, for 1 s at 21:30:00.5 UTC, for 1 s at 21:30:04.5 UTC")
    assert "(every 4.0 s)" in hint
    assert "three answered meanwhile, so two, or its path to this host, comes and goes" in hint


def test_a_host_that_loses_all_others_looks_at_itself() -> None:
    data = healthy()
    for address in data["lines"]:
        silent(data, address, (4.0, 2.0))
    assert "all other nodes were silent at the same time, so this host" in judged(data)["steady", "ipv6"].hint


def test_a_silence_of_one_family_is_said_to_be_one() -> None:
    data = healthy()
    silent(data, TWO.address(6), (4.0, 2.0))
    checks = judged(data)
    assert checks["steady", "ipv4"].verdict == "passed"
    assert "two was silent once" in checks["steady", "ipv6"].hint
    assert "it answered over IPv4 meanwhile" in checks["steady", "ipv6"].hint


def test_nothing_is_said_of_others_where_nothing_is_known() -> None:
    data = healthy()
    for address in TWO.addresses:
        silent(data, address, (4.0, 2.0))
    hint = judged(data, replace(EXPECT, everyone=(TWO,)))["steady", "ipv4"].hint
    assert "two, this host or the path between them comes and goes" in hint


def test_an_outage_on_purpose_is_named_and_clocks_that_differ_are_allowed_for() -> None:
    data = healthy()
    for address in TWO.addresses:
        silent(data, address, (104.0, 2.0))
    outage = Span(start=NOW + 3, end=NOW + 5, what="one was stopped")
    hint = judged(data, replace(EXPECT, outages=(outage,), ahead_s=100))["steady", "ipv4"].hint
    assert "for 2 s at 21:30:04.0 UTC, while one was stopped" in hint


def losing(lost: int, sent: int, *, silences: int = 0, every_s: float = 1.0, each: int = 4) -> dict[str, Any]:
    """Return a watch in which two has lost so many of its pings over IPv4, some of them in silences of 0.4 s."""
    data = {**healthy(), "ticks": sent}
    outages = [{"at": NOW + every_s * turn, "s": 0.4, "lost": each} for turn in range(min(silences, 20))]
    data["lines"][TWO.address(4)].update(
        sent=sent, answered=sent - lost, lost=lost, losses=lost, outages=outages, runs=silences
    )
    return data


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (losing(76, 200, silences=19), "failed"),
        (losing(30, 100, silences=2), "failed"),
        (losing(40, 200, silences=1), "failed"),
        (losing(17, 100), "failed"),
        (losing(16, 100), "passed"),
        # One silence has its own budget, and no other one.
        (losing(20, 100, silences=1, each=4), "passed"),
        (losing(21, 100, silences=2, each=4), "failed"),
        (losing(5, 100), "passed"),
        (losing(1, 100), "passed"),
        (losing(30, 49), "skipped"),
        (losing(100, 5_000), "passed"),
        (losing(400, 5_000), "failed"),
    ],
)
def test_a_path_that_loses_too_many_pings_fails_although_it_is_never_silent_for_long(
    data: dict[str, Any], verdict: str
) -> None:
    checks = judged(data)
    check = checks["steady", "ipv4"]
    assert (check.verdict, checks["steady", "ipv6"].verdict == "skipped") == (verdict, verdict == "skipped")
    if verdict == "failed":
        assert " pings to two were lost over IPv4, and 2 of 100 over IPv6" in check.hint
        assert "a link or a router on the way loses packets" in check.hint


def test_fewer_pings_say_nothing_of_a_share() -> None:
    data = {**losing(20, 49), "ticks": 100}
    assert judged(data)["steady", "ipv4"].verdict == "passed"


def test_losses_are_counted_besides_the_longest_silence() -> None:
    check = judged(losing(76, 200, silences=19))["steady", "ipv4"]
    assert check.observed["lost"] == 76
    assert check.hint.startswith(
        "72 of 196 pings to two were lost over IPv4, and 2 of 100 over IPv6, besides those in the longest silence, of 0.4 s: "
    )
    assert judged(losing(40, 200))["steady", "ipv4"].hint.startswith("40 of 200 pings to two were lost over IPv4")


@pytest.mark.parametrize(
    ("budget", "verdict"), [(0.0, "failed"), (1.0, "failed"), (5.0, "passed"), (10.0, "passed"), (100.0, "passed")]
)
def test_the_budget_of_lost_packets_applies_to_a_watch(budget: float, verdict: str) -> None:
    assert judged(losing(12, 100), replace(EXPECT, loss_budget=budget))["steady", "ipv4"].verdict == verdict
    assert judged(losing(3, 300), replace(EXPECT, loss_budget=budget))["steady", "ipv4"].verdict == "passed"


def test_what_is_lost_in_an_outage_on_purpose_or_before_a_node_was_reached_does_not_count() -> None:
    data = losing(60, 200, silences=14)
    assert judged(data)["steady", "ipv4"].verdict == "failed"
    outage = Span(start=NOW, end=NOW + 20, what="three was stopped")
    assert judged(data, replace(EXPECT, outages=(outage,)))["steady", "ipv4"].verdict == "passed"
    assert judged(data, replace(EXPECT, since={"two": NOW + 30}))["steady", "ipv4"].verdict == "passed"
    ahead = replace(EXPECT, since={"two": NOW - 30}, ahead_s=30.0)
    assert judged(data, ahead)["steady", "ipv4"].verdict == "failed"
    assert judged(data, replace(ahead, since={"two": NOW}))["steady", "ipv4"].verdict == "passed"


@pytest.mark.parametrize("junk", ["x", -7, 1e300, [], None, True])
def test_losses_that_make_no_sense_fail_nothing(junk: Any) -> None:
    data = losing(40, 200, silences=3)
    line = data["lines"][TWO.address(4)]
    for changes in (
        {"lost": junk},
        {"answered": junk, "lost": junk},
        {"outages": [{"at": NOW, "s": 0.4, "lost": junk}]},
    ):
        data["lines"][TWO.address(4)] = {**line, **changes}
        assert judged(data)["steady", "ipv4"].verdict in {"passed", "failed"}


def test_a_healthy_path_that_loses_a_packet_now_and_then_never_fails() -> None:
    """Of 2,000 paths that lose up to two pings in a hundred, none fails; of 200 that lose a third, all do."""
    chance = random.Random(7)  # noqa: S311 - not a secret
    for share, count, verdict in ((0.02, 2000, "passed"), (0.33, 200, "failed")):
        for _path in range(count):
            lost = sum(chance.random() < share for _ping in range(100))
            assert judged(losing(lost, 100))["steady", "ipv4"].verdict == verdict, lost


def test_a_probe_that_was_held_up_is_no_verdict() -> None:
    data = {**healthy(), "ticks": 40, "held_up_s": 6.0}
    silent(data, TWO.address(4), (4.0, 2.0))
    check = judged(data)["steady", "ipv4"]
    assert check.verdict == "skipped"
    assert "was held up for 6 s and watched for only 4 s" in check.hint


def test_an_address_that_never_answered_is_left_to_the_check_that_says_why() -> None:
    data = healthy()
    data["lines"][TWO.address(4)]["first"] = None
    check = judged(data)["steady", "ipv4"]
    assert (check.verdict, "`reachable.ipv4` says why" in check.hint) == ("skipped", True)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (
            {"outcome": "reset", "broke": NOW + 5, "open_s": 5.0},
            "broke at 21:30:05.0 UTC, 5.0 s after it was opened, with 32768",
        ),
        ({"outcome": "closed", "broke": NOW + 5}, "two's side closed it"),
        ({"outcome": "timeout", "broke": NOW + 5}, "the other side stopped acknowledging"),
        ({"outcome": "damaged", "broke": NOW + 5}, "the bytes that came back differ"),
        ({"outcome": "EPIPE", "broke": NOW + 5}, "the kernel reports 'EPIPE'"),
        (
            {"outcome": "timeout", "opened": None, "tries": 4},
            "could be opened in 4 tries, the last one ended with 'timeout'",
        ),
        ({"waits": [{"at": NOW + 4, "s": 6.0, "open": True}]}, "stood still for 6 s from 21:30:04.0 UTC"),
    ],
)
def test_a_broken_or_stalled_connection_fails_and_says_when(change: dict[str, Any], hint: str) -> None:
    data = healthy()
    data["streams"][0].update(change)
    checks = judged(data)
    assert checks["stream", "ipv4"].verdict == "failed"
    assert hint in checks["stream", "ipv4"].hint
    assert checks["stream", "ipv6"].verdict == "passed"


def test_a_stall_below_the_budget_passes() -> None:
    data = healthy()
    data["streams"][0]["waits"] = [{"at": NOW + 4, "s": 2.9}]
    check = judged(data)["stream", "ipv4"]
    assert (check.verdict, check.observed["longest_stall_s"]) == ("passed", 2.9)


def test_a_stall_is_laid_to_the_connection_only_if_pings_passed() -> None:
    data = healthy()
    data["streams"][0]["waits"] = [{"at": NOW + 4, "s": 6.0}]
    assert "drops this connection only" in judged(data)["stream", "ipv4"].hint
    silent(data, TWO.address(4), (4.0, 5.0))
    assert "pings were lost at the same time" in judged(data)["stream", "ipv4"].hint
    data["lines"][TWO.address(4)]["first"] = None
    data["lines"][TWO.address(4)]["outages"] = []
    assert "nothing else is known" in judged(data)["stream", "ipv4"].hint


def test_connections_that_were_not_opened_are_skipped_with_the_reason() -> None:
    checks = judged(healthy(), replace(EXPECT, no_streams="with 2 clients, no pair is left"))
    assert checks["stream", None].verdict == "skipped"
    assert "no pair is left" in checks["stream", None].hint
    data = {**healthy(), "streams": []}
    assert "does not listen" in judged(data)["stream", "ipv4"].hint


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"failure": {"message": "gone"}},
        {"observations": {"held": {"ok": False, "error": {"message": "it was killed"}}}},
    ],
)
def test_a_watch_that_cannot_be_asked_is_an_error(answer: dict[str, Any]) -> None:
    assert {check.verdict for check in judge_held(answer, CONTEXT, EXPECT)} == {"error"}


def test_a_watch_that_does_not_get_to_answer_is_no_verdict() -> None:
    error = {"type": "deadline", "message": "the process on the host did not answer in time"}
    checks = judge_held({"observations": {"held": {"ok": False, "error": error}}}, CONTEXT, EXPECT)
    assert {check.verdict for check in checks} == {"skipped"}
    assert {"overloaded" in check.hint for check in checks} == {True}


@pytest.mark.parametrize("junk", [{}, {"lines": 3, "streams": [3, {}]}, {"ticks": "x", "lines": {TWO.address(4): []}}])
def test_junk_never_passes(junk: Any) -> None:
    assert not [check for check in judged(junk).values() if check.verdict == "passed"]


def idle(data: dict[str, Any], **found: Any) -> dict[str, Any]:
    """Add a connection to two over IPv4 that is idle for most of the time."""
    data["streams"].append({**data["streams"][0], "idle_s": 5.0, "exchanged": 1, **found})
    return data


def test_a_connection_that_was_idle_must_be_usable_after_that() -> None:
    found = judged(idle(healthy()))["stream", "ipv4"]
    assert (found.verdict, found.evidence["idle"]["idle_s"]) == ("passed", 5.0)
    stuck = judged(idle(healthy(), waits=[{"at": NOW + 5, "s": 4.8, "open": True}]))
    assert {key: check.verdict for key, check in stuck.items() if check.verdict != "passed"} == {
        ("stream", "ipv4"): "failed"
    }
    hint = stuck["stream", "ipv4"].hint
    assert hint.startswith(
        "a second connection to two, idle for 5 s at a time, stood still for 4.8 s when it was used again"
    )
    assert "drops idle connections that early" in hint
    ended = judged(idle(healthy(), outcome="reset", broke=NOW + 5))["stream", "ipv4"]
    assert "ended with 'reset' when it was used again" in ended.hint
    assert ended.observed["idle"] == "reset"


def test_a_path_that_was_down_is_not_taken_for_a_forgotten_connection() -> None:
    waits = [{"at": NOW + 5, "s": 3.2}]
    down = idle(healthy(), waits=waits)
    silent(down, TWO.address(4), (4.9, 0.4))
    assert judged(down)["stream", "ipv4"].verdict == "passed"
    slow = idle(healthy(), waits=waits)
    slow["streams"][0]["waits"] = [{"at": NOW + 5, "s": 2.9}]
    assert judged(slow)["stream", "ipv4"].verdict == "passed"


def test_an_idle_connection_that_could_not_be_opened_is_left_to_the_other() -> None:
    assert judged(idle(healthy(), opened=None, outcome="timeout"))["stream", "ipv4"].verdict == "passed"


@pytest.mark.parametrize(
    ("lasted", "waits", "said"),
    [
        (1.5, [], "a connection to it went on meanwhile, so only pings were dropped"),
        (0.8, [], "comes and goes"),
        (1.5, [{"at": NOW + 4.2, "s": 1.3}], "comes and goes"),
    ],
)
def test_pings_that_are_lost_while_a_connection_goes_on_are_a_matter_of_icmp(
    lasted: float, waits: list[dict[str, float]], said: str
) -> None:
    data = healthy()
    for address in TWO.addresses:
        silent(data, address, (4.0, lasted))
    for stream in data["streams"]:
        stream["waits"] = waits
    hint = judged(data)["steady", "ipv4"].hint
    assert said in hint
    assert ("only pings" in hint) == ("only pings" in said)
