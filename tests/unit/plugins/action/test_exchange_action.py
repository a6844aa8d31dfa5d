# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two parts of an exchange in a large mesh: small requests of all hosts at once, and transfers of some."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action.assert_exchange import ActionModule, only, together
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.exchange import Exchange

_REQUEST = {
    "id": "exchange",
    "kind": "exchange",
    "bulk": 10,
    "targets": [{"host": "192.0.2.1", "bulk": True}, {"host": "192.0.2.2", "bulk": False}],
}


def test_targets_with_a_transfer_are_asked_apart() -> None:
    [few], [many] = (only([_REQUEST], bulk=bulk) for bulk in (False, True))
    assert ([one["host"] for one in few["targets"]], [one["host"] for one in many["targets"]]) == (
        ["192.0.2.2"],
        ["192.0.2.1"],
    )
    assert few["bulk"] == many["bulk"] == 10


def test_nothing_is_asked_for_no_targets() -> None:
    assert only([{**_REQUEST, "targets": _REQUEST["targets"][:1]}], bulk=False) == []


def test_both_parts_are_one_answer() -> None:
    first = {"host": {"load": 1}, "observations": {"exchange": {"data": {"192.0.2.2": {"tcp": {}}}}}}
    second = {"host": {"load": 2}, "observations": {"exchange": {"data": {"192.0.2.1": {"bulk": {}}}}}}
    found = together(first, second)
    assert found["observations"]["exchange"]["data"] == {"192.0.2.2": {"tcp": {}}, "192.0.2.1": {"bulk": {}}}


def test_a_second_part_that_fails_keeps_the_first() -> None:
    first = {"host": {}, "observations": {"exchange": {"data": {"192.0.2.2": {"tcp": {}}}}}}
    found = together(first, {"host": {}, "observations": {}, "failure": {"type": "deadline"}})
    assert found["failure"]["type"] == "deadline"
    assert found["observations"]["exchange"]["data"] == {"192.0.2.2": {"tcp": {}}}


def action_with_a_transfer() -> ActionModule:
    peer = Node(name="two", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
    ports = {known: {"tcp": {"port": 4001}, "udp": {"port": 4002}} for known in peer.addresses}
    action = ActionModule.__new__(ActionModule)
    action._sizes = []
    action._expect = Exchange(
        own=Node(name="one", addresses=("100.64.0.1",)), peers=(peer,), serving={"two": {"token": "t", "ports": ports}},
        families=(4, 6), bulk=1000, bulk_peers=frozenset({"two"}), rate_budget_mbit=1.0,
    )  # fmt: skip
    action.context = CheckContext(story="us1", assertion="reachable", source="one")
    return action


def test_a_transfer_that_has_passed_is_not_repeated_for_connections_that_had_no_time() -> None:
    action = action_with_a_transfer()
    small = {"outcome": "answered", "seen": {}}
    seen = {"100.64.0.2": {"tcp": small, "udp": small, "bulk": {**small, "up_s": 0.001, "down_s": 0.001}, "opened": {}}}
    checks = action.judge({"observations": {"exchange": {"ok": True, "data": seen}}})
    by_aspect = {check.aspect: check.verdict for check in checks if check.family == "ipv4"}
    assert by_aspect == {"tcp": "error", "udp": "error", "bulk": "passed"}
    targets = action.observe(frozenset({"two"}))[0]["targets"]
    assert {one["host"]: one["transfer"] for one in targets} == {"100.64.0.2": False, "fd7a:115c:a1e0::2": True}
    assert all(one["bulk"] for one in targets)


_SMALL = {"outcome": "answered", "seen": {}}
_WHOLE = {"tcp": _SMALL, "udp": _SMALL, "bulk": {**_SMALL, "up_s": 0.001, "down_s": 0.001}}
_LATE = {**_WHOLE, "bulk": {"outcome": "deadline"}, "opened": {}}


def _swept(opened: int) -> dict[str, Any]:
    """Return what became of 24 flows of each protocol to two ports, of which one lets only some through."""
    rows = [{"tried": 12, "opened": count, "lost": 12 - count, "never": 12 - count} for count in (12, opened)]
    return {"tcp": {"4001": rows[0], "5000": rows[1]}, "udp": {"4002": rows[0], "5000": rows[1]}}


@pytest.mark.parametrize(
    ("looks", "verdicts"),
    [
        ([_LATE, {**_WHOLE, "opened": _swept(0)}], {"tcp": "failed", "udp": "failed", "bulk": "passed"}),
        ([_LATE, {**_WHOLE, "opened": _swept(12)}], {"tcp": "passed", "udp": "passed", "bulk": "passed"}),
        ([_LATE, {**_WHOLE, "opened": {}}], {"tcp": "error", "udp": "error", "bulk": "passed"}),
        ([_LATE, _LATE], {"tcp": "passed", "udp": "passed", "bulk": "error"}),
        # A connection that fails after the transfer did leaves no pair without a bad check.
        (
            [_LATE, {"tcp": {"outcome": "timeout", "stage": "connect"}, "udp": _SMALL}],
            {"tcp": "failed", "udp": "error", "bulk": "skipped"},
        ),
    ],
)
def test_ports_are_judged_by_the_look_that_had_time_for_them(
    looks: list[dict[str, Any]], verdicts: dict[str, str]
) -> None:
    action = action_with_a_transfer()
    action._expect = replace(action._expect, families=(4,))
    found: dict[Any, Check] = {}
    for number, seen in enumerate(looks, start=1):
        checks = action.judge({"observations": {"exchange": {"ok": True, "data": {"100.64.0.2": seen}}}})
        action._keep(found, checks, number, frozenset({"two"}))
    assert len(found) == 3
    assert {check.aspect: check.verdict for check in found.values()} == verdicts


@pytest.mark.parametrize(("left_s", "ended"), [(30.0, False), (1.0, True), (-1.0, True), (None, False)])
def test_a_peer_that_no_longer_listens_is_not_asked(left_s: float | None, ended: bool) -> None:
    action = ActionModule.__new__(ActionModule)
    serving = {} if left_s is None else {"until": time.time() + left_s}
    action.of_host = lambda _host, _name: serving
    assert action._ended("two") is ended
