# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a watch notes: outages and not single losses, its own delays, and connections that break or stall."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import hold as watching
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.streams import Stream

PATIENCE = 3.0


def look(kind: str, **ask: Any) -> dict[str, Any]:
    answer = probe.main({"observe": [{"id": "it", "kind": kind, **ask}], "deadline_s": 8})
    return dict(answer["observations"]["it"])


def data(kind: str, **ask: Any) -> Any:
    found = look(kind, **ask)
    assert found["ok"], found
    return found["data"]


def line_of(replies: str) -> watching._Line:
    """Return a line whose requests, one each 0.1 s, were answered (`.`) or lost (`x`), or nothing is known yet (`?`)."""
    line = watching._Line()
    now = len(replies) * 0.1
    for number, reply in enumerate(replies):
        age = number * 0.1 - (PATIENCE if reply == "x" else 0)
        line.open.append([1000 + number * 0.1, age, reply == "."])
    line.settle(now, PATIENCE)
    return line


@pytest.mark.parametrize(
    ("replies", "outages"),
    [
        ("." * 20, []),
        ("..x..x..xx..x.", []),
        ("..xxx..", [0.3]),
        (".." + "x" * 10 + "..", [1.0]),
        ("..xxxxx....xxxxxx..", [0.5, 0.6]),
        ("xxxxxx..", []),
    ],
)
def test_several_losses_in_a_row_are_an_outage(replies: str, outages: list[float]) -> None:
    line = line_of(replies)
    found = line.as_dict()
    # A request that is lost was sent `PATIENCE` earlier here.
    assert [round(one["lost"] * 0.1, 1) for one in found["outages"]] == outages
    assert found["runs"] == len(outages)


def test_an_outage_that_goes_on_is_noted_as_such() -> None:
    (outage,) = line_of(".." + "x" * 12).as_dict()["outages"]
    assert outage["open"] is True
    assert outage["lost"] == 12


@pytest.mark.parametrize(
    ("replies", "undecided"),
    [("....?", False), ("...???", False), ("..????", True), ("??????", False), ("..xxx???", False)],
)
def test_an_answer_waits_for_requests_that_may_be_lost(replies: str, undecided: bool) -> None:
    assert line_of(replies).undecided(len(replies) * 0.1) is undecided


@pytest.fixture
def serving() -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = data("serve", addresses=["127.0.0.1", "::1"], seconds=8)
    yield found
    look("call", **found["end"])


def streams(serving: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"host": host, "tcp": ports["tcp"]["port"], "token": serving["token"]}
        for host, ports in serving["ports"].items()
    ]


def start(**ask: Any) -> dict[str, Any]:
    found = look("hold", seconds=8, **ask)
    if not found["ok"] and found["error"]["type"] == "not_permitted":
        pytest.skip(found["error"]["message"])
    assert found["ok"], found
    return {key: found["data"][key] for key in ("name", "token")}


def test_it_pings_and_exchanges_until_all_is_dropped(serving: dict[str, Any]) -> None:
    asked = start(targets=["127.0.0.1", "::1"], streams=streams(serving))
    seen = data("call", **asked, hold_s=1.0, drop=["127.0.0.1"])
    assert seen["ticks"] == 10
    assert set(seen["lines"]) == {"127.0.0.1", "::1"}
    assert {line["lost"] for line in seen["lines"].values()} == {0}
    assert [(one["outcome"], one["exchanged"] >= 2) for one in seen["streams"]] == [("open", True)] * 2
    again = data("call", **asked, drop=["::1"])
    assert set(again["lines"]) == {"::1"}
    assert [one["host"] for one in again["streams"]] == ["::1"]
    time.sleep(0.3)
    assert look("call", **asked)["error"]["type"] == "gone"


def test_an_idle_connection_is_used_once_its_time_has_passed(serving: dict[str, Any]) -> None:
    (stream,) = streams(serving)[:1]
    asked = start(targets=["127.0.0.1"], streams=[stream, {**stream, "idle_s": 1.0}])
    busy, idle = data("call", **asked, hold_s=1.6, drop=["127.0.0.1"])["streams"]
    assert (busy["idle_s"], idle["idle_s"]) == (None, 1.0)
    assert (idle["outcome"], idle["exchanged"], idle["waits"]) == ("open", 1, [])
    assert busy["exchanged"] > 1


def test_a_watch_that_begins_later_lasts_as_long(serving: dict[str, Any]) -> None:
    asked = start(targets=["127.0.0.1"], streams=streams(serving)[:1], delay_s=0.6)
    time.sleep(0.7)
    seen = data("call", **asked, hold_s=0.5, drop=["127.0.0.1"])
    assert seen["ticks"] == 5
    assert seen["held_up_s"] == 0
    # Of the time after the delay.
    assert 0 < seen["load"]["ran_s"] < 0.5
    assert seen["lines"]["127.0.0.1"]["sent"] == 5


def test_who_asks_begins_the_watch() -> None:
    asked = start(targets=["127.0.0.1"], delay_s=30)
    before = time.time()
    seen = data("call", **asked, hold_s=0.5, drop=["127.0.0.1"])
    assert seen["ticks"] == 5
    assert before - 0.01 <= seen["began"] <= before + 2


def test_only_who_knows_the_token_is_answered() -> None:
    asked = start(targets=["127.0.0.1"])
    assert look("call", **{**asked, "token": "0" * 32})["error"]["type"] == "gone"
    assert data("call", **asked, drop=["127.0.0.1"])["ticks"] >= 1


def test_a_listener_that_ends_is_a_connection_that_was_closed(serving: dict[str, Any]) -> None:
    # It ends long after one block and before the next: with one on its way, the kernel would reset the connection.
    stream = {**streams(serving)[0], "pause_s": 2.0}
    asked = start(targets=["127.0.0.1"], streams=[stream])
    data("call", **asked, hold_s=1.3)
    data("call", **serving["end"])
    time.sleep(0.3)
    (seen,) = data("call", **asked, drop=["127.0.0.1"])["streams"]
    assert seen["outcome"] == "closed"
    assert seen["broke"] - seen["opened"] < 2
    assert seen["exchanged"] >= 1


def test_a_watch_without_a_sensible_deadline_is_refused() -> None:
    assert look("hold", targets=["127.0.0.1"], seconds=1e9)["error"]["type"] == "bad_request"


class Driven:
    """A connection that a test moves through time."""

    def __init__(self, port: int) -> None:
        """Prepare a connection to a port."""
        self.stream = Stream({"host": "127.0.0.1", "tcp": port, "token": "t"})

    def step(self, active: float) -> None:
        """Let it do what it does at a time."""
        self.stream.tick(active)
        for _turn in range(3):
            if self.stream.sock is None:
                return
            poll = select.poll()
            poll.register(self.stream.sock, self.stream.events)
            if poll.poll(20):
                self.stream.ready(active)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_reply_that_is_late_is_noted_and_own_delays_are_not(listener: socket.socket) -> None:
    driven = Driven(listener.getsockname()[1])
    driven.step(0.0)
    peer, _address = listener.accept()
    with closing(peer):
        assert peer.recv(100) == b"meshctl t counted\n"
        driven.step(0.5)
        block = peer.recv(4096)
        assert len(block) == 1024
        # The clock stalls while the process is held up: nothing is noted of this reply.
        peer.sendall(block)
        driven.step(0.6)
        driven.step(1.0)
        block = peer.recv(4096)
        driven.step(5.0)
        assert driven.stream.as_dict(5.0)["waits"] == [
            {"at": pytest.approx(time.time() - 4, abs=1), "s": 4.0, "open": True}
        ]
        peer.sendall(block)
        driven.step(6.0)
    found = driven.stream.as_dict(6.0)
    assert [wait["s"] for wait in found["waits"]] == [5.0]
    assert (found["exchanged"], found["outcome"], found["open_s"]) == (2, "open", 6.0)


def test_other_bytes_than_were_sent_are_damage(listener: socket.socket) -> None:
    driven = Driven(listener.getsockname()[1])
    driven.step(0.0)
    peer, _address = listener.accept()
    with closing(peer):
        peer.recv(100)
        driven.step(0.5)
        peer.sendall(bytes(reversed(peer.recv(4096))))
        driven.step(0.6)
    assert driven.stream.as_dict(1.0)["outcome"] == "damaged"


def test_it_is_opened_until_that_succeeds_and_not_again_after_it_broke(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    driven = Driven(port)
    for active in (0.0, 0.5, 1.1, 2.2):
        driven.step(active)
    assert (driven.stream.found["tries"], driven.stream.found["outcome"]) == (3, "refused")
    driven = Driven(listener.getsockname()[1])
    driven.step(0.0)
    listener.accept()[0].close()
    for active in (0.3, 2.0, 4.0):
        driven.step(active)
    assert driven.stream.found["tries"] == 1
    assert driven.stream.state == "broken"
