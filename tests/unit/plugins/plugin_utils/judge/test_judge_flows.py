# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows of datagrams that end or are forgotten fail, and so does a protocol that loses more than pings do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.flowing import Flowing
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.saturation import Load

TWO = Node(name="two", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
KNOWN = TWO.addresses[0]
CONTEXT = CheckContext(story="us1", assertion="reachable", source="one")
# 2026-11-28 21:30:00 UTC
NOW = 1795901400.0
ADDRESSES = (*TWO.addresses, "100.64.0.3", "fd7a:115c:a1e0::3")


class Seen:
    """What a watch saw of four addresses of two peers."""

    def __init__(self, *, lost: int = 0, pings_lost: int = 0) -> None:
        """Let every protocol lose nothing, or as much."""
        self.lines: dict[str, dict[str, Any]] = {}
        self.streams: dict[str, dict[str, Any]] = {}
        self.flows: dict[str, dict[str, Any]] = {}
        self.idle: dict[str, dict[str, Any]] = {}
        for known in ADDRESSES:
            self.lines[known] = {"answered": 100 - pings_lost, "lost": pings_lost, "losses": pings_lost, "outages": []}
            self.streams[known] = {"exchanged": 90, "losses": 0, "waits": []}
            flow = {"first": NOW, "sent": 99, "lost": lost, "losses": lost, "silences": [], "pause_s": 0.1}
            self.flows[known] = flow
            self.idle[known] = {"idle_s": 5.0, "arrived": 1, "forgotten": []}

    def check(self, load: Load | None = None) -> Check:
        """Judge the first address."""
        seen = Flowing(lines=self.lines, streams=self.streams, flows=self.flows, idle=self.idle, budget_s=3.0)
        return seen.check(CONTEXT, TWO, 4, load or Load())


def test_a_flow_that_is_answered_passes() -> None:
    check = Seen().check()
    assert (check.verdict, check.aspect, check.family, check.target) == ("passed", "flow", "ipv4", "two")
    assert check.observed == {"sent": 99, "lost": 0, "silent_s": 0, "later": 1, "resent": 0}


@pytest.mark.parametrize(
    ("new", "hint"),
    [
        (
            {"sent": 2, "answered": True},
            "datagrams from a new source port were answered: something on the way ends UDP flows",
        ),
        ({"sent": 10, "answered": False}, "datagrams from a new source port were not answered either: UDP was dropped"),
        (None, "something on the way drops UDP at times"),
    ],
)
def test_a_flow_that_ends_while_pings_are_answered_fails(new: dict[str, Any] | None, hint: str) -> None:
    seen = Seen()
    seen.flows[KNOWN]["silences"] = [{"at": NOW + 4, "s": 6.0, "lost": 60, "before": 40, "open": True}]
    if new:
        seen.flows[KNOWN]["new"] = new
    check = seen.check()
    assert check.verdict == "failed"
    assert "was silent for 6 s from 21:30:04.0 UTC, after 40 datagrams, and pings were answered meanwhile" in check.hint
    assert hint in check.hint


def test_a_path_that_is_down_is_no_flow_that_ended() -> None:
    for what, name in (("lines", "outages"), ("streams", "waits")):
        seen = Seen()
        seen.flows[KNOWN]["silences"] = [{"at": NOW + 4, "s": 6.0, "lost": 60, "before": 40}]
        getattr(seen, what)[KNOWN][name] = [{"at": NOW + 4.5, "s": 5.0}]
        assert seen.check().verdict == "passed"
        # A short disturbance does not explain a long silence.
        getattr(seen, what)[KNOWN][name] = [{"at": NOW + 4.5, "s": 0.5}]
        assert seen.check().verdict == "failed"


def test_a_silence_within_the_budget_passes_and_a_rare_one_of_a_saturated_machine_is_no_verdict() -> None:
    seen = Seen()
    seen.flows[KNOWN]["silences"] = [{"at": NOW + 4, "s": 2.9, "lost": 29, "before": 40}]
    assert seen.check().verdict == "passed"
    seen.flows[KNOWN].update(silences=[{"at": NOW + 4, "s": 3.4, "lost": 34, "before": 40}], sent=1200)
    assert seen.check(Load(slowdown=4, said="two jobs on one core")).verdict == "skipped"
    seen.flows[KNOWN].update(sent=300, pause_s=0.4)
    assert seen.check(Load(slowdown=4, said="two jobs on one core")).verdict == "skipped"
    for pause in (0.1, None, -5, "long"):
        seen.flows[KNOWN].update(sent=300, pause_s=pause)
        assert seen.check(Load(slowdown=4, said="two jobs on one core")).verdict == "failed"
    assert seen.check().verdict == "failed"


def test_a_late_answer_that_does_not_arrive_fails() -> None:
    seen = Seen()
    seen.idle[KNOWN].update(arrived=0, forgotten=[NOW + 6])
    check = seen.check()
    assert check.verdict == "failed"
    assert (
        "sent a second answer 5 s later, of which no copy arrived: something on the way forgets UDP flows" in check.hint
    )
    seen.lines[KNOWN]["outages"] = [{"at": NOW + 5.8, "s": 0.4}]
    assert seen.check().verdict == "passed"
    seen.lines[KNOWN]["outages"] = []
    seen.idle[KNOWN]["arrived"] = 1
    assert seen.check().verdict == "passed"


@pytest.mark.parametrize(
    ("lost", "pings_lost", "verdict"), [(10, 0, "failed"), (10, 10, "passed"), (4, 0, "passed"), (2, 0, "passed")]
)
def test_losses_are_compared_with_those_of_pings(lost: int, pings_lost: int, verdict: str) -> None:
    check = Seen(lost=lost, pings_lost=pings_lost).check()
    assert check.verdict == verdict
    if verdict == "failed":
        assert (
            "of 99 datagrams over one flow, some were lost at 10 moments, and of 100 pings at the same time"
            in check.hint
        )
        assert "some were lost at 0 (40 losses of UDP to all nodes together)" in check.hint
        assert "drops a part of UDP only" in check.hint


def test_segments_that_were_sent_again_count_for_tcp() -> None:
    seen = Seen()
    for known in ADDRESSES:
        seen.streams[known]["losses"] = 9
    check = seen.check()
    assert "for 9 of 90 blocks of 1 kB over one connection, a segment was lost and sent again" in check.hint
    assert "drops a part of TCP only" in check.hint
    for known in ADDRESSES:
        seen.streams[known]["losses"] = None
    assert seen.check().verdict == "passed", "a kernel that does not tell is no verdict"


def test_only_pairs_that_lose_more_are_blamed() -> None:
    seen = Seen(lost=30)
    seen.flows[KNOWN].update(lost=1, losses=1)
    assert seen.check().verdict == "passed"


def test_paths_that_lose_all_packets_alike_are_never_blamed() -> None:
    """Of 2,000 nodes whose lines lose up to a fifth of their packets, none is said to lose UDP alone."""
    chance = random.Random(13)  # noqa: S311 - not a secret
    for _line in range(2000):
        share = chance.uniform(0, 0.2)
        seen = Seen()
        for known in ADDRESSES:
            lost, pings = (sum(chance.random() < share for _one in range(100)) for _protocol in range(2))
            seen.flows[known].update(sent=100, losses=lost)
            seen.lines[known].update(answered=100 - pings, lost=pings, losses=pings)
        assert seen.check().verdict == "passed"


@pytest.mark.parametrize("junk", ["x", -1, 1e300, [], None, True])
def test_counts_that_make_no_sense_are_no_verdict(junk: Any) -> None:
    seen = Seen(lost=30)
    for known in ADDRESSES:
        seen.flows[known].update(losses=junk)
    assert seen.check().verdict == "passed"
    seen.idle[KNOWN].update(arrived=junk, forgotten=junk)
    seen.flows[KNOWN].update(silences=junk, new=junk, errors=junk)
    assert seen.check().verdict == "passed"


def test_a_peer_that_does_not_listen_or_answer_is_left_to_the_check_that_says_why() -> None:
    seen = Seen()
    seen.flows[KNOWN]["first"] = None
    assert (seen.check().verdict, "has answered no datagram" in seen.check().hint) == ("skipped", True)
    del seen.flows[KNOWN]
    assert (seen.check().verdict, "does not listen" in seen.check().hint) == ("skipped", True)
