# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host behind a router answers on every port, over UDP as well, and receives a transfer; else a hint says what is lost."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import Answer
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.behind import (
    Behind,
    Listener,
    answers,
    judge_behind,
    request,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.opened import connections
from healthy_mesh import context

SERVING = {
    "token": "t",
    "ports": {"10.0.0.20": {"tcp": {"port": 40001, "more": [700, 5000]}, "udp": {"port": 40002, "more": [701]}}},
}
NAS = Listener(host="10.0.0.20", token="t", tcp=40001, udp=40002, more={"tcp": (700, 5000), "udp": (701,)})
BEHIND = Behind(
    listener=NAS, name="nas", family=4, sources=("10.0.0.10",), carrier="the router two", silent="it is silent",
    wrong_source=lambda source: f"nas sees {source}",
)  # fmt: skip
ALL = {"tried": 8, "opened": 8, "lost": 0, "never": 0, "refused": 0, "lost_from": []}
UDP = {"40002": ALL, "701": ALL}
HEALTHY: dict[str, Any] = {
    "udp": {"outcome": "answered", "answered": [64, 1200], "unanswered": [], "seen": {"from": "10.0.0.10"}},
    "tcp": {"outcome": "answered", "seen": {"from": "10.0.0.10"}},
    "bulk": {"outcome": "answered", "stage": "done", "sent": 49152, "seen": {"bytes": 49152}},
    "opened": {"tcp": {"40001": ALL, "700": ALL, "5000": ALL}, "udp": {"40002": ALL, "701": ALL}},
}


def seen(**changes: Any) -> dict[str, Any]:
    found = deepcopy(HEALTHY) | changes
    return {"observations": {"exchange": {"ok": True, "data": {"10.0.0.20": found}}}}


def judged(answer: dict[str, Any], what: Behind = BEHIND) -> dict[str, Check]:
    found = judge_behind(Answer(answer), context("routed"), lambda name: f"{name}.auto", what)
    return {check.aspect.removesuffix(".auto"): check for check in found}


def test_a_listener_is_read_from_what_the_host_said() -> None:
    assert Listener.read(SERVING, "10.0.0.20") == NAS
    assert Listener.read(SERVING, "fd00:b::20") is None
    assert Listener.read({"error": "in use"}, "10.0.0.20") is None
    assert Listener.read(None, "10.0.0.20") is None
    asked = request([NAS], 3.0, whole=True)
    assert asked["targets"][0]["more"] == {"tcp": [700, 5000], "udp": [701]}
    assert asked["bulk"] and asked["connections"]
    assert "bulk" not in request([NAS], 3.0, whole=False)
    slow = request([NAS], 9.0, whole=True, patience=3.0)
    assert slow["pause_s"] == pytest.approx(9 * asked["pause_s"]), "slow hosts get fewer at a time"


def test_a_host_that_answers_everything_passes() -> None:
    checks = judged(seen())
    assert {name: check.verdict for name, check in checks.items()} == dict.fromkeys(
        ("udp", "upload", "ports"), "passed"
    )
    assert answers(Answer(seen()), "10.0.0.20")


SILENT = {"outcome": "timeout"}


@pytest.mark.parametrize(
    ("changes", "aspect", "hint"),
    [
        ({"udp": {"outcome": "timeout", "answered": []}}, "udp", "answers over TCP, and not over UDP (timeout): the firewall of the router two"),
        ({"udp": {"outcome": "large lost", "answered": [64], "unanswered": [1200], "seen": {"from": "10.0.0.10"}}}, "udp", "those of 1200 bytes are not"),
        ({"udp": {**HEALTHY["udp"], "seen": {"from": "10.0.0.77"}}}, "udp", "nas sees 10.0.0.77"),
        ({"bulk": {"outcome": "stalled", "stage": "reply", "sent": 49152}}, "upload", "49152 bytes do not arrive at nas"),
        ({"bulk": {"outcome": "damaged", "stage": "receive"}}, "upload", "something at the router two changes the data"),
        ({"opened": {"tcp": {"40001": ALL, "700": {**ALL, "opened": 0, "lost": 8, "never": 8}}, "udp": UDP}}, "ports", "TCP to port 700 is dropped"),
        ({"opened": {"tcp": {"40001": ALL, "700": {**ALL, "opened": 0, "refused": 8}}, "udp": UDP}}, "ports", "of a firewall on the router two"),
        ({"opened": {"tcp": {"40001": {**ALL, "opened": 4, "lost": 4}}, "udp": UDP}}, "ports", "a rule on source ports"),
        ({"opened": {"tcp": {"40001": ALL}, "udp": {"40002": ALL, "701": {**ALL, "opened": 0, "lost": 8, "never": 8}}}}, "ports", "UDP to port 701 is dropped"),
        ({"opened": {}}, "ports", "were not tried in time"),
    ],
)  # fmt: skip
def test_what_is_lost_is_named(changes: dict[str, Any], aspect: str, hint: str) -> None:
    checks = judged(seen(**changes))
    assert checks.pop(aspect).hint.count(hint) == 1
    assert {check.verdict for check in checks.values()} == {"passed"}


@pytest.mark.parametrize(("lost", "verdict"), [(3, "passed"), (5, "failed")])
def test_a_saturated_machine_may_lose_more_first_packets(lost: int, verdict: str) -> None:
    late = seen(opened={"tcp": {"40001": {**ALL, "opened": 8 - lost, "lost": lost}}, "udp": UDP})
    assert judged(late)["ports"].verdict == "failed"
    late["host"] = {"load": {"ran_s": 0.2, "waited_s": 1.0, "load": 9.0, "cores": 2}}
    assert judged(late)["ports"].verdict == verdict


def test_a_transfer_that_is_lost_on_the_way_back_has_arrived() -> None:
    assert judged(seen(bulk={"outcome": "stalled", "stage": "receive"}))["upload"].verdict == "passed"


def test_a_silent_host_has_one_cause() -> None:
    checks = judged(seen(udp=SILENT, tcp=SILENT, bulk={}, opened={}))
    assert {(check.verdict, check.hint) for check in checks.values()} == {("failed", "it is silent")}
    assert not answers(Answer(seen(udp=SILENT, tcp=SILENT)), "10.0.0.20")


def test_what_was_not_seen_is_an_error() -> None:
    assert {check.verdict for check in judged({"observations": {}}).values()} == {"error"}


def test_connections_of_all_looks_count() -> None:
    half = {**ALL, "opened": 5, "lost": 3}
    first = connections(seen(opened={"tcp": {"40001": half}}), {})
    both = connections(seen(opened={"tcp": {"40001": ALL}}), first)
    assert (both["10.0.0.20"]["tcp"]["40001"]["tried"], both["10.0.0.20"]["tcp"]["40001"]["lost"]) == (16, 3)
