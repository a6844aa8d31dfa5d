# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listeners that peers connect to: what they reply, and that none outlives its deadline."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import package, probe, remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import exchange, openings
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.serve import BLOCK, crc_of
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.talks import alone

BOTH = ["127.0.0.1", "::1"]


def look(kind: str, *, deadline_s: float = 5, **ask: Any) -> dict[str, Any]:
    answer = probe.main({"observe": [{"id": "it", "kind": kind, **ask}], "deadline_s": deadline_s})
    return dict(answer["observations"]["it"])


def data(kind: str, **ask: Any) -> Any:
    found = look(kind, **ask)
    assert found["ok"], found
    return found["data"]


def targets(serving: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [
        {"host": host, "tcp": ports["tcp"]["port"], "udp": ports["udp"]["port"], "token": serving["token"], **more}
        for host, ports in serving["ports"].items()
    ]


# A listener without its deadline would go on for much longer.
_PATIENCE_S = 6.0


def listens(port: int, kind: int = socket.SOCK_STREAM) -> bool:
    """Whether any process has the port on the loopback address."""
    with closing(socket.socket(socket.AF_INET, kind)) as sock:
        if kind == socket.SOCK_STREAM:
            return sock.connect_ex(("127.0.0.1", port)) == 0
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def assert_ended(port: int, since: float, seconds: float) -> None:
    """Assert that a listener ended on its own: after its deadline, and with patience for a busy machine."""
    while listens(port) or listens(port, socket.SOCK_DGRAM):
        assert time.monotonic() < since + seconds + _PATIENCE_S, f"port {port} is still in use"
        time.sleep(0.05)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def serving() -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = data("serve", addresses=BOTH, seconds=6)
    yield found
    for ports in found["ports"].values():
        with suppress(OSError), socket.create_connection(("127.0.0.1", ports["tcp"]["port"]), 0.1):
            pass


def test_small_requests_and_transfers_arrive_whole_over_both_families(serving: dict[str, Any]) -> None:
    found = data("exchange", targets=targets(serving), bulk=1_000_000)
    assert set(found) == set(BOTH)
    for host in BOTH:
        seen = found[host]
        assert (seen["udp"]["outcome"], seen["udp"]["answered"]) == ("answered", [64, 1232])
        assert (seen["tcp"]["outcome"], seen["tcp"]["seen"]["from"]) == ("answered", host)
        assert seen["tcp"]["seen"]["port"] == seen["tcp"]["local_port"]
        assert (seen["bulk"]["outcome"], seen["bulk"]["sent"], seen["bulk"]["received"]) == ("answered", 10**6, 10**6)
        assert seen["bulk"]["kernel"]["acknowledged"] >= 10**6
        # A new connection each time.
        assert seen["bulk"]["local_port"] != seen["tcp"]["local_port"]


@pytest.mark.parametrize(("pauses", "outcome"), [([1.2] * 4, "answered"), ([1.2, 60.0], "stalled")])
def test_a_slow_transfer_goes_on_and_one_that_has_stopped_is_given_up(
    pauses: list[float], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.exchange._QUIET_S", 1.8)
    over = threading.Event()
    length = 4 * 1000

    def reply(server: socket.socket) -> None:
        with server, server.accept()[0] as sock:
            sock.recv(65536)
            block = BLOCK[:length]
            sock.sendall(b'{"bytes": 0, "crc": %d, "down_crc": %d}\n' % (crc_of(0), zlib.crc32(block)))
            for number, pause in enumerate(pauses):
                if over.wait(pause):
                    return
                sock.sendall(block[1000 * number :][:1000])
            over.wait(5)

    server = socket.create_server(("127.0.0.1", 0))
    target = {"host": "127.0.0.1", "tcp": server.getsockname()[1], "token": "x"}
    thread = threading.Thread(target=reply, args=(server,))
    thread.start()
    began = time.monotonic()
    seen = alone(exchange._request(target, 0, length, began + 20))
    over.set()
    thread.join()
    assert seen["outcome"] == outcome
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("answered", "opened"), [("first", 3), ("second", 0)])
def test_a_late_answer_to_a_datagram_is_no_loss(answered: str, opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.openings._AGAIN_S", 0.2)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def reply() -> None:
            first = dict[Any, int]()
            with suppress(OSError):
                while len(first) < 6:
                    data, peer = server.recvfrom(65535)
                    if peer[1] in first:
                        # The other one is lost.
                        about = first[peer[1]] if answered == "first" else len(data)
                        server.sendto(b'{"bytes": %d}' % about, peer)
                    first.setdefault(peer[1], len(data))

        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        found = openings.replies("127.0.0.1", [port], b"x" * 64, 3, 0.01, time.monotonic() + 3)[str(port)]
    assert (found["tried"], found["opened"], found["lost"]) == (3, opened, 3 - opened)


def test_without_the_token_there_is_no_reply(serving: dict[str, Any]) -> None:
    found = data("exchange", targets=targets({**serving, "token": "0" * 32}), try_timeout_s=2)
    for seen in found.values():
        assert seen["tcp"]["outcome"] == "closed"
        assert (seen["udp"]["outcome"], seen["udp"]["answered"]) == ("timeout", [])


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"meshctl\n", b"meshctl TOKEN 1e9 x\n", b"meshctl TOKEN -1 0\n", b"x" * 5000]
)
def test_a_bad_request_is_closed_and_the_next_one_is_served(serving: dict[str, Any], line: bytes) -> None:
    (target, _other) = targets(serving)
    with socket.create_connection((target["host"], target["tcp"]), 3) as sock:
        sock.sendall(line.replace(b"TOKEN", serving["token"].encode()))
        sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert sock.recv(10) == b""
    assert data("exchange", targets=[target])[target["host"]]["tcp"]["outcome"] == "answered"


def test_nothing_listens_elsewhere_and_a_closed_port_refuses(free_port: int, serving: dict[str, Any]) -> None:
    port = serving["ports"]["127.0.0.1"]["tcp"]["port"]
    with closing(socket.socket()) as sock:
        assert sock.connect_ex(("127.0.0.2", port)) != 0
    closed = {"host": "127.0.0.1", "tcp": free_port, "udp": free_port, "token": "x"}
    seen = data("exchange", targets=[closed], try_timeout_s=1)["127.0.0.1"]
    assert (seen["tcp"]["outcome"], seen["udp"]["outcome"]) == ("refused", "refused")


def test_only_the_given_ports_are_used(free_port: int) -> None:
    first = data("serve", addresses=["127.0.0.1"], ports=[free_port], seconds=1)["ports"]["127.0.0.1"]
    assert first == {"tcp": {"port": free_port}, "udp": {"port": free_port}}
    second = data("serve", addresses=["127.0.0.1"], ports=[free_port], seconds=1)["ports"]["127.0.0.1"]
    assert second == {"tcp": {"error": "in use"}, "udp": {"error": "in use"}}
    missing = data("serve", addresses=["198.51.100.1"], seconds=1)["ports"]["198.51.100.1"]
    assert missing["tcp"] == {"error": "no-such-source"}


def test_sizes_and_many_connections_are_tried_where_something_is_transferred(serving: dict[str, Any]) -> None:
    found = data("exchange", targets=targets(serving), bulk=1000, sizes=[100, 700], connections=9)
    for seen in found.values():
        assert seen["udp"]["answered"] == [64, 100, 700, 1232]
        assert (seen["blocks"]["outcome"], seen["blocks"]["returned"]) == ("returned", [100, 700])
        ((row),) = seen["opened"]["tcp"].values()
        assert (row["tried"], row["opened"], row["lost_from"]) == (9, 9, [])
    without = data("exchange", targets=targets(serving, bulk=False), bulk=1000, sizes=[100, 700], connections=9)
    assert all(seen["udp"]["answered"] == [64, 1232] and "blocks" not in seen for seen in without.values())
    later = data("exchange", targets=targets(serving, transfer=False), bulk=1000, sizes=[100, 700], connections=9)
    for seen in later.values():
        assert not {"bulk", "blocks"} & set(seen)
        assert [row["opened"] for rows in seen["opened"].values() for row in rows.values()] == [9, 9]


def test_a_listener_may_have_a_port_of_each_range_as_well() -> None:
    serving = data("serve", addresses=BOTH, seconds=3, ranges=[(20000, 21000), (22000, 23000)])
    for ports in serving["ports"].values():
        for protocol in ("tcp", "udp"):
            low, high = ports[protocol]["more"]
            assert 20000 <= low <= 21000 and 22000 <= high <= 23000
    more = {host: {name: ports[name]["more"] for name in ports} for host, ports in serving["ports"].items()}
    asked = [{**target, "more": more[target["host"]]} for target in targets(serving)]
    for host, seen in data("exchange", targets=asked, bulk=1000, connections=6).items():
        assert set(more[host]["udp"]) <= {int(port) for port in seen["opened"]["udp"]}
        for rows in seen["opened"].values():
            assert {row["opened"] for row in rows.values()} == {2}
            assert len(rows) == 3


class Answers:
    """A peer that answers some datagrams."""

    def __init__(self, serving: dict[str, Any], let: Callable[[int, int, int], bool]) -> None:
        """Begin to answer what `let` says, given its number within its flow, its length and its source port."""
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = int(self.sock.getsockname()[1])
        self._let = let
        self._to = ("127.0.0.1", serving["ports"]["127.0.0.1"]["udp"]["port"])
        self._flows: dict[int, int] = {}
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.settimeout(2)
            while True:
                asked, who = self.sock.recvfrom(65535)
                number = self._flows[who[1]] = self._flows.get(who[1], 0) + 1
                if self._let(number, len(asked), who[1]):
                    far.sendto(asked, self._to)
                    self.sock.sendto(far.recv(65535), who)


@pytest.mark.parametrize(
    ("let", "outcome", "again"),
    [
        (lambda _number, length, _port: length not in range(500, 900), "some lost", (False, True)),
        (lambda _number, length, _port: length < 500, "large lost", (False, True)),
        (lambda number, _length, _port: number == 1, "large lost", (True, False)),
        (lambda number, length, _port: number != 2 or length == 64, "answered", None),
    ],
)
def test_a_size_that_was_lost_is_tried_again_from_another_port(
    serving: dict[str, Any], let: Callable[[int, int, int], bool], outcome: str, again: tuple[bool, bool] | None
) -> None:
    peer = Answers(serving, let)
    target = {"host": "127.0.0.1", "udp": peer.port, "token": serving["token"]}
    seen = data("exchange", targets=[target], bulk=1000, sizes=[100, 700], try_timeout_s=1)["127.0.0.1"]["udp"]
    assert seen["outcome"] == outcome
    rows = seen.get("again", [])
    assert [(row["answered"], row["other_answered"]) for row in rows] == [again] * len(rows)
    assert bool(rows) == bool(again)


def test_datagrams_of_some_source_ports_are_never_answered(serving: dict[str, Any]) -> None:
    peer = Answers(serving, lambda _number, _length, port: port % 2 == 0)
    asked = [{**targets(serving)[0], "udp": peer.port}]
    (row,) = data("exchange", targets=asked, bulk=1000, connections=40)["127.0.0.1"]["opened"]["udp"].values()
    assert row["tried"] == 40
    assert row["opened"] + row["never"] == 40
    assert 5 < row["never"] == row["lost"] < 35
    assert all(port % 2 for port in row["lost_from"])


def proxy_that_keeps(serving: dict[str, Any], lengths: range) -> int:
    """Pass on what arrives over TCP, unless it is of one of these lengths; return the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, to: socket.socket, kept: range) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                if len(chunk) not in kept:
                    to.sendall(chunk)
            to.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", serving["ports"]["127.0.0.1"]["tcp"]["port"]))
                threading.Thread(target=pass_on, args=(near, far, lengths), daemon=True).start()
                threading.Thread(target=pass_on, args=(far, near, range(0)), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def test_a_block_that_does_not_come_back_is_tried_twice(serving: dict[str, Any]) -> None:
    target = {"host": "127.0.0.1", "tcp": proxy_that_keeps(serving, range(300, 900)), "token": serving["token"]}
    seen = data("exchange", targets=[target], bulk=1000, sizes=[100, 250, 400, 1100])["127.0.0.1"]["blocks"]
    assert (seen["returned"], seen["stuck"], seen["again"]) == ([100, 250], 400, True)


@pytest.mark.parametrize("seconds", [0, -1, 1e9])
def test_a_listener_without_a_sensible_deadline_is_refused(seconds: float) -> None:
    assert look("serve", addresses=["127.0.0.1"], seconds=seconds)["error"]["type"] == "bad_request"


def start(port: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start the probe as on a host, in a session of its own."""
    request = {
        "observe": [{"id": "s", "kind": "serve", "addresses": ["127.0.0.1"], "ports": [port], "seconds": seconds}]
    }
    process = subprocess.Popen(
        [sys.executable, "-ISc", remote._READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin
    process.stdin.write(remote.encode(package.script_of("probe"), request, deadline_s=5))
    process.stdin.flush()
    return process


def test_the_answer_does_not_wait_for_the_listener(free_port: int) -> None:
    # Longer than a busy machine takes to start a program.
    began, seconds = time.monotonic(), 6
    process = start(free_port, seconds)
    out, _err = process.communicate(timeout=10)
    assert time.monotonic() - began < seconds
    assert b'"token"' in out
    assert listens(free_port) and listens(free_port, socket.SOCK_DGRAM)
    assert_ended(free_port, began, seconds)


@pytest.mark.parametrize("attempt", range(12))
def test_a_listener_ends_in_time_whenever_the_python_that_started_it_is_killed(free_port: int, attempt: int) -> None:
    seconds = 1.0
    process = start(free_port, seconds)
    # From before the script is compiled to after its answer.
    time.sleep(random.Random(attempt).uniform(0.0, 0.25))  # noqa: S311
    began = time.monotonic()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    while time.monotonic() < began + seconds:
        time.sleep(0.05)
    assert_ended(free_port, began, seconds)


def test_a_busy_listener_ends_in_time_as_well(free_port: int) -> None:
    serving = data("serve", addresses=["127.0.0.1"], ports=[free_port], seconds=1)
    began = time.monotonic()
    (target,) = targets(serving)
    sock = socket.create_connection((target["host"], target["tcp"]), 3)
    with sock:
        # A peer that asks for a lot and reads nothing.
        sock.sendall(b"meshctl %b 0 60000000\n" % serving["token"].encode())
        time.sleep(max(0.0, began + 2 - time.monotonic()))
        assert not listens(free_port)
