# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Datagrams of a host outside the mesh that nodes have captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.arrived import judge_arrived
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check

WALL = replace(mesh.WALLS[0], udp=(53, 123))


def judged(noted: Any, nonce: str = "n1", **more: Any) -> list[Check]:
    return judge_arrived({WALL.name: noted}, nonce, mesh.context("isolated"), [replace(WALL, **more)])


def test_a_datagram_that_has_arrived_fails_whether_it_was_answered_or_not() -> None:
    (check,) = judged({"n1": [[WALL.address, "9000"], [WALL.address, "123"], ["192.0.2.1", "53"]]})
    assert (check.verdict, check.observed) == ("failed", {"over": ["UDP port 123, 9000"]})
    assert (
        f"packets over UDP port 123, 9000 to {WALL.address} have arrived at {WALL.name} without the mesh" in check.hint
    )
    assert check.id.endswith("isolated.arrived")


def test_other_packets_that_have_arrived_are_named() -> None:
    found = ["tcp-22", "tcp-40000-from-443", "gre", "6in4", "protocol-200", "53-from-53", "icmp"]
    (check,) = judged({"n1": [[WALL.address, what] for what in found]})
    assert check.observed == {
        "over": ["UDP port 53 from 53", "TCP port 22, 40000 from 443", "GRE", "6IN4", "ICMP", "PROTOCOL-200"]
    }


def test_nothing_that_has_arrived_passes_only_where_it_would_have_been_seen() -> None:
    (check,) = judged({"n1": []})
    assert (check.verdict, check.observed) == ("passed", {"over": []})
    for noted in (None, {}, {"other": []}, "rubbish", {"n1": "rubbish"}):
        (check,) = judged(noted)
        assert check.verdict == "skipped", noted
        assert "could not capture" in check.hint
    assert judged({"": []}, nonce="")[0].verdict == "skipped"


@pytest.mark.parametrize("noted", [[[]], [["x"]], [3], [[None, {}]]])
def test_odd_notes_are_no_datagrams(noted: Any) -> None:
    assert judged({"n1": noted})[0].verdict == "passed"


def test_public_addresses_and_hosts_without_ports_are_left_out() -> None:
    assert judged({"n1": []}, drops=True) == judged({"n1": []}, udp=()) == []
    assert judged({"n1": []}, other="ipv6")[0].aspect == "arrived.ipv6"
