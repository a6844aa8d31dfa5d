# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a transfer leaves encrypted, and all of it."""

from __future__ import annotations

from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.transferred import Transfer, judge_transferred

TWO4 = mesh.TWO.addresses[0]
EXPECT = Transfer(length=1000, peers={"two": TWO4})
WHOLE = {TWO4: {"tcp": {"outcome": "answered"}, "bulk": {"outcome": "answered"}}}


def judged(
    *flows: dict[str, Any],
    links: Any = None,
    made: Any = None,
    dropped: Any = 0,
    expect: Transfer = EXPECT,
    interfaces: Any = None,
) -> Check:
    capture = {
        "flows": list(flows),
        "dropped": dropped,
        "links": links or {"lo": [9000, 9000], "eth0": [1100, 1200], "tailscale0": [5000, 5000]},
        "during": {"exchange": mesh.seen(WHOLE if made is None else made)},
    }
    steps = {"bulk": mesh.seen(capture), "addresses": mesh.seen(mesh.links() if interfaces is None else interfaces)}
    return judge_transferred(mesh.answer(wire=mesh.seen(steps)), mesh.context("encrypted"), expect)


def test_a_whole_transfer_that_the_physical_links_carried_passes() -> None:
    check = judged()
    assert (check.id, check.verdict) == ("us1.encrypted.bulk", "passed")
    assert check.observed == {"in_clear": 0, "received_bytes": 1100, "sent_bytes": 1200}


@pytest.mark.parametrize(
    "flow",
    [
        mesh.flow("eth0", "100.64.0.1", TWO4, proto="tcp", direction="out", packets=3),
        mesh.flow("eth0", "192.168.1.10", "10.0.0.10", proto="tcp", direction="out", marked=2),
        mesh.flow("eth0", "", "", proto="0x88e5", direction="out", marked=2),
    ],
)
def test_a_part_in_clear_fails_even_if_the_transfer_does_not_end(flow: dict[str, Any]) -> None:
    for made in (WHOLE, {TWO4: {"tcp": {"outcome": "timeout"}}}):
        check = judged(flow, made=made)
        assert check.verdict == "failed"
        assert "left unencrypted on eth0" in check.hint


@pytest.mark.parametrize(
    "flow",
    [
        mesh.flow("tailscale0", "100.64.0.1", TWO4, proto="tcp", direction="out", marked=2),
        mesh.flow("lo", "100.64.0.1", "100.64.0.1", proto="tcp", direction="out", marked=2),
        mesh.flow("eth0", "192.168.1.10", "203.0.113.10", proto="tcp", direction="out", packets=9),
    ],
)
def test_other_traffic_is_no_leak(flow: dict[str, Any]) -> None:
    assert judged(flow).verdict == "passed"


def test_too_little_on_the_links_fails() -> None:
    for links in ({"eth0": [1100, 900]}, {"eth0": [900, 1100]}, {"tailscale0": [5000, 5000]}):
        check = judged(links=links)
        assert check.verdict == "failed"
        assert "fewer bytes left and arrived" in check.hint
    assert judged(links={"eth0": [600, 600], "wlan0": [600, 600]}).verdict == "passed", "both together"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"made": {TWO4: {"tcp": {"outcome": "answered"}, "bulk": {"outcome": "stalled"}}}}, "did not end (stalled)"),
        ({"made": {TWO4: {"tcp": {"outcome": "timeout"}}}}, "did not end (timeout)"),
        ({"made": {}}, "did not end"),
        ({"dropped": 3}, "dropped 3 packets"),
        ({"dropped": None}, "an unknown number"),
        ({"interfaces": []}, "no interface of this host has a mesh address"),
    ],
)
def test_what_proves_nothing(changes: dict[str, Any], said: str) -> None:
    check = judged(**changes)
    assert check.verdict == "error"
    assert said in check.hint


def test_a_capture_that_was_not_made_is_an_error_with_its_reason() -> None:
    steps = {"bulk": mesh.unseen("not_permitted", "use become: true"), "addresses": mesh.seen(mesh.links())}
    check = judge_transferred(mesh.answer(wire=mesh.seen(steps)), mesh.context("encrypted"), EXPECT)
    assert (check.verdict, check.hint) == ("error", "use become: true")


def test_without_a_listener_it_is_skipped_with_the_reason() -> None:
    check = judged(expect=Transfer(length=1000, peers={}, skipped="set mesh_probe_ports"))
    assert (check.verdict, check.hint) == ("skipped", "set mesh_probe_ports")
