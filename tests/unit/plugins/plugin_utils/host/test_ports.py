# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trying ports of listeners, and noting what arrives."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.arrivals import Arrivals, opening
from test_exchange import data, look

HOST = "127.0.0.1"


@pytest.fixture
def free() -> list[int]:
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server((HOST, 0))).getsockname()[1] for _number in range(3)]


def tried(serving: dict[str, Any], ports: list[Any], **more: Any) -> dict[str, Any]:
    target = {"name": "peer", "token": serving["token"], "own": [HOST], "controls": [], "ports": ports, **more}
    found: dict[str, Any] = data("ports", targets=[target], quiet_s=0.2, try_timeout_s=1.0)["peer"]
    return found


def test_every_port_answers_over_both_protocols_and_says_who_asked(free: list[int]) -> None:
    serving = data("serve", addresses=[HOST], seconds=10, ports=free[:2], every=True)
    assert serving["ports"][HOST]["tcp"]["ports"] == free[:2]
    ports = [[HOST, protocol, port, True] for protocol in ("tcp", "udp") for port in free[:2]]
    found = tried(serving, ports, controls=[[HOST, "tcp", free[0]]])
    assert [(row[3], row[4]) for row in found["tries"]] == [("answered", HOST)] * 4
    assert found["control"] | {"by": None} == {
        "before": True, "after": True, "outcome": "answered", "by": None, "arrived": False,
    }  # fmt: skip


def test_a_port_that_nobody_has_is_refused_and_a_silent_one_is_silent(free: list[int]) -> None:
    serving = data("serve", addresses=[HOST], seconds=10, ports=free[:1], every=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((HOST, free[2]))
        ports = [[HOST, "tcp", free[1], False], [HOST, "udp", free[1], False], [HOST, "udp", free[2], False]]
        found = tried(serving, ports, controls=[[HOST, "udp", free[0]]])
    assert [row[3] for row in found["tries"]] == ["refused", "refused", "silent"]
    assert found["control"]["after"] is True
    assert found["window_ms"] >= 200


def test_a_control_that_does_not_answer_says_so(free: list[int]) -> None:
    serving = data("serve", addresses=[HOST], seconds=10, ports=free[:1], every=True)
    found = tried(serving, [], controls=[[HOST, "tcp", free[1]]])
    assert (found["control"]["before"], found["control"]["outcome"]) == (False, "refused")


def test_another_control_takes_its_place(free: list[int]) -> None:
    serving = data("serve", addresses=[HOST], seconds=10, ports=free[:1], every=True)
    found = tried(serving, [], controls=[[HOST, "tcp", free[1]], [HOST, "udp", free[0]]])
    assert found["control"]["by"] == [HOST, "udp", free[0]]


def test_a_port_in_use_is_reported(free: list[int]) -> None:
    with socket.create_server((HOST, free[0])):
        found = look("serve", addresses=[HOST], seconds=5, ports=free[:2], every=True)["data"]["ports"][HOST]
    assert found["tcp"] == {"error": "in use", "port": free[1], "ports": [free[1]]}
    assert found["udp"]["ports"] == free[:2]


def _ipv4(protocol: int, body: bytes) -> bytes:
    return (
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0, b"\x64\x40\0\1", b"\x64\x40\0\2")
        + body
    )


SYN = _ipv4(6, struct.pack("!HHIIBBHHH", 50000, 443, 0, 0, 0x50, 2, 0, 0, 0))
SYN_ACK = _ipv4(6, struct.pack("!HHIIBBHHH", 443, 50000, 0, 0, 0x50, 18, 0, 0, 0))
DATAGRAM = _ipv4(17, struct.pack("!HHHH", 50000, 53, 8, 0))


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (SYN, ("100.64.0.1", "100.64.0.2", "tcp", 443)),
        (DATAGRAM, ("100.64.0.1", "100.64.0.2", "udp", 53)),
        (SYN_ACK, None),
        (SYN[:30], None),
        (b"", None),
        (b"\x60" + bytes(10), None),
        (_ipv4(1, bytes(8)), None),
    ],
)
def test_what_opens_a_connection(packet: bytes, found: Any) -> None:
    assert opening(packet) == found


def test_arrivals_are_told_by_source_and_time() -> None:
    noted = Arrivals(["100.64.0.2"])
    noted._note(SYN)
    noted._note(DATAGRAM)
    assert noted.since(0, ["100.64.0.1"]) == [["tcp", "100.64.0.2", 443], ["udp", "100.64.0.2", 53]]
    assert noted.since(0, ["100.64.0.3"]) == []
    assert noted.since(1e12, ["100.64.0.1"]) == []
    other = Arrivals(["100.64.0.9"])
    other._note(SYN)
    assert other.since(0, ["100.64.0.1"]) == []
