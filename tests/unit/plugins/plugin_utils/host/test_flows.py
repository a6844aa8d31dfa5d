# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows of datagrams: which were answered, when they fall silent, and late answers over a silent flow."""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.flows import Flow, IdleFlow


class Peer:
    """A peer that answers what a test lets it answer, at once."""

    def __init__(self) -> None:
        """Listen."""
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(5)
        self.target = {"host": "127.0.0.1", "udp": self.sock.getsockname()[1], "token": "t"}

    def answer(self, flow: Flow | IdleFlow, active: float, *, lost: bool = False, **more: Any) -> bytes:
        """Let the flow send a datagram, and answer it unless it is lost."""
        flow.tick(active)
        data, sender = self.sock.recvfrom(2048)
        if not lost:
            self.sock.sendto(json.dumps({"crc": zlib.crc32(data), **more}).encode(), sender)
        return data


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.sock.close()


def driven(peer: Peer, replies: str) -> dict[str, Any]:
    """Return what a flow notes of datagrams, one each 0.1 s, that were answered (`.`) or lost (`x`)."""
    flow = Flow(peer.target)
    for number, reply in enumerate(replies):
        peer.answer(flow, number * 0.1, lost=reply == "x")
        if flow._new.get("sent"):  # the comparison with another flow is not answered here
            peer.sock.setblocking(False)
            while True:
                try:
                    peer.sock.recv(2048)
                except BlockingIOError:
                    break
            peer.sock.settimeout(5)
    flow.take()
    found = flow.as_dict(len(replies) * 0.1)
    flow.end()
    return found


@pytest.mark.parametrize(
    ("replies", "sent", "lost", "losses", "silences"),
    [
        ("." * 12, 12, 0, 0, []),
        ("xx..x.xxx..x", 9, 4, 2, []),
        ("..xxxxxx..", 10, 6, 1, [(0.6, 2, False)]),
        ("..." + "x" * 10, 3, 0, 0, [(1.0, 3, True)]),
        ("x" * 12, 0, 0, 0, []),
    ],
)
def test_losses_in_a_row_count_once_and_long_ones_are_silences(
    peer: Peer, replies: str, sent: int, lost: int, losses: int, silences: list[tuple[float, int, bool]]
) -> None:
    found = driven(peer, replies)
    assert (found["sent"], found["lost"], found["losses"]) == (sent, lost, losses)
    assert [(round(one["s"], 1), one["before"], one.get("open", False)) for one in found["silences"]] == silences


def test_an_answer_counts_however_late_it_is(peer: Peer) -> None:
    flow = Flow(peer.target)
    late = peer.answer(flow, 0.0, lost=True)
    for number in range(1, 60):
        peer.answer(flow, number * 0.1)
    flow.take()
    assert flow.as_dict(6.0)["losses"] == 0, "what was before the first answer says nothing"
    peer.sock.sendto(json.dumps({"crc": zlib.crc32(late)}).encode(), flow._sock.getsockname())  # type: ignore[union-attr]
    flow.take()
    found = flow.as_dict(6.0)
    assert (found["sent"], found["lost"]) == (60, 0)
    flow.end()


def test_a_silent_flow_is_compared_with_a_new_one(peer: Peer) -> None:
    flow = Flow(peer.target)
    peer.answer(flow, 0.0)
    old = None
    for number in range(1, 30):
        flow.tick(number * 0.1)
        peer.sock.setblocking(False)
        while True:
            try:
                data, sender = peer.sock.recvfrom(2048)
            except BlockingIOError:
                break
            old = old or sender
            if sender != old:
                peer.sock.sendto(json.dumps({"crc": zlib.crc32(data)}).encode(), sender)
    found = flow.as_dict(3.0)
    assert found["new"]["answered"] is True
    assert found["new"]["sent"] <= 2
    assert [one["open"] for one in found["silences"]] == [True]
    flow.end()


def test_a_late_answer_is_forgotten_only_if_the_peer_says_that_it_was_sent(peer: Peer) -> None:
    flow = IdleFlow({**peer.target, "idle_s": 5.0})
    words = peer.answer(flow, 0.0, round=0, copies=0)
    assert words.startswith(b"meshctl t 5000 later 0\n")
    flow.tick(0.5)
    flow.tick(5.9)
    # The peer was held up, and has sent nothing yet.
    peer.answer(flow, 6.6, round=0, copies=0)
    peer.answer(flow, 7.2, round=0, copies=5)
    flow.take(7.3)
    found = flow.as_dict(7.3)
    assert (found["rounds"], found["arrived"], len(found["forgotten"])) == (1, 0, 1)
    assert peer.answer(flow, 7.8, round=1, copies=0).startswith(b"meshctl t 5000 later 1\n")
    flow.take(7.9)
    address = flow._sock.getsockname()  # type: ignore[union-attr]
    peer.sock.sendto(json.dumps({"round": 1, "late": True}).encode(), address)
    flow.take(12.8)
    assert (flow.as_dict(12.8)["arrived"], len(flow.as_dict(12.8)["forgotten"])) == (1, 1)
    flow.end()


def look(kind: str, **ask: Any) -> dict[str, Any]:
    answer = probe.main({"observe": [{"id": "it", "kind": kind, **ask}], "deadline_s": 8})
    found = answer["observations"]["it"]
    if not found["ok"] and found["error"]["type"] == "not_permitted":
        pytest.skip(found["error"]["message"])
    return dict(found["data"])


def test_a_listener_answers_at_once_and_again_later() -> None:
    serving = look("serve", addresses=["127.0.0.1", "::1"], seconds=8)
    try:
        flows = [
            {"host": host, "udp": ports["udp"]["port"], "token": serving["token"], **more}
            for host, ports in serving["ports"].items()
            for more in ({}, {"idle_s": 0.5})
        ]
        asked = look("hold", seconds=8, targets=["127.0.0.1", "::1"], flows=flows)
        asked = {key: asked[key] for key in ("name", "token")}
        seen = look("call", **asked, hold_s=1.5, drop=["127.0.0.1", "::1"])["flows"]
        assert [one["idle_s"] for one in seen] == [None, 0.5] * 2
        for busy, idle in (seen[:2], seen[2:]):
            assert busy["sent"] >= 10
            assert busy["lost"] == 0
            assert idle["arrived"] >= 1
            assert idle["forgotten"] == []
    finally:
        look("call", **serving["end"])
