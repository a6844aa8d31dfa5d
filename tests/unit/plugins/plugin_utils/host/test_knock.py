# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Knock on real ports of this machine."""

from __future__ import annotations

import errno
import socket
import threading
import time
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import knock as probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import noted


def knocked(*targets: tuple[str, str, int], seconds: float = 5.0, **more: Any) -> list[dict[str, Any]]:
    asked = [{"host": host, "protocol": protocol, "port": port} for host, protocol, port in targets]
    found: list[dict[str, Any]] = probe.knock({"targets": asked, **more}, time.monotonic() + seconds)
    return found


def free(kind: socket.SocketKind, host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_closed_ports_are_refused_by_the_host(host: str) -> None:
    tcp, udp = knocked((host, "tcp", free(socket.SOCK_STREAM, host)), (host, "udp", free(socket.SOCK_DGRAM, host)))
    assert (tcp["outcome"], tcp["from"]) == ("refused", host)
    assert (udp["outcome"], udp["from"]) == ("port-unreachable", host)


def test_open_ports_answer_or_are_silent() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet,
    ):
        quiet.bind(("127.0.0.1", 0))
        tcp, udp = knocked(
            ("127.0.0.1", "tcp", server.getsockname()[1]),
            ("127.0.0.1", "udp", quiet.getsockname()[1]),
            try_timeout_s=0.2,
        )
        assert (tcp["outcome"], tcp["from"]) == ("connected", "127.0.0.1")
        assert udp["outcome"] == "timeout"
        quiet.setblocking(False)
        assert [quiet.recv(99) for _number in range(2)] == [b"meshctl"] * 2, "a single packet may be lost"


def listening() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def received(sock: socket.socket) -> int:
    """Return the number of datagrams that wait to be read."""
    count = 0
    while True:
        try:
            sock.recv(99)
        except BlockingIOError:
            return count
        count += 1


def test_a_host_that_has_refused_a_datagram_keeps_its_other_refusals_for_others() -> None:
    with listening() as first, listening() as last:
        before, after = first.getsockname()[1], last.getsockname()[1]
        closed = free(socket.SOCK_DGRAM, "127.0.0.1")
        targets = [("127.0.0.1", "udp", port) for port in (before, closed, closed, after)]
        other = ("::1", "udp", free(socket.SOCK_DGRAM, "::1"))
        found = knocked(*targets, other, sparing=True, try_timeout_s=1.0)
        assert (received(first), received(last)) == (1, 0)
    assert [row["outcome"] for row in found] == [
        "untried",
        "port-unreachable",
        "untried",
        "untried",
        "port-unreachable",
    ]


def test_without_an_answer_every_datagram_is_sent_twice() -> None:
    with listening() as one, listening() as two:
        targets = [("127.0.0.1", "udp", sock.getsockname()[1]) for sock in (one, two)]
        began = time.monotonic()
        found = knocked(*targets, sparing=True, try_timeout_s=0.3)
        assert time.monotonic() - began < 1
        assert (received(one), received(two)) == (2, 2)
    assert [row["outcome"] for row in found] == ["timeout"] * 2


def test_refusals_are_all_seen_where_none_must_be_spared() -> None:
    closed = [("127.0.0.1", "udp", free(socket.SOCK_DGRAM, "127.0.0.1")) for _number in range(3)]
    assert [row["outcome"] for row in knocked(*closed)] == ["port-unreachable"] * 3


def test_silent_ports_cost_the_time_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_AT_ONCE", 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        target = ("127.0.0.1", "udp", quiet.getsockname()[1])
        began = time.monotonic()
        found = knocked(*[target] * 40, try_timeout_s=0.2)
    assert time.monotonic() - began < 2
    assert [row["outcome"] for row in found] == ["timeout"] * 40


def test_what_there_was_no_time_for_is_not_silence() -> None:
    assert knocked(("127.0.0.1", "tcp", 9), seconds=0.0)[0]["outcome"] == "deadline"


def test_protocols_need_a_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: Any) -> socket.socket:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(probe.socket, "socket", refused)
    assert knocked(("127.0.0.1", "gre", 0))[0]["outcome"] == "not-permitted"


def test_the_sctp_request_is_valid() -> None:
    # The example of RFC 3720, appendix B.4.
    assert noted._crc32c(bytes(range(32))) == 0x46DD794E
    packet = noted.packet("sctp", b"meshctl:abc")
    assert (len(packet), packet[36:47]) == (48, b"meshctl:abc")
    without = packet[:8] + b"\0\0\0\0" + packet[12:]
    assert int.from_bytes(packet[8:12], "little") == noted._crc32c(without)


@pytest.mark.parametrize("protocol", ["gre", "esp", "ipip", "6in4"])
def test_other_packets_are_long_enough_for_a_refusal(protocol: str) -> None:
    assert len(noted.packet(protocol, b"")) >= 8


def serving(answer: list[bytes], *, closes: bool) -> tuple[socket.socket, threading.Thread]:
    """Return a server that answers one connection in pieces."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _peer = server.accept()
        connection.recv(4096)
        for piece in answer:
            connection.sendall(piece)
            time.sleep(0.05)
        if not closes:
            hang.wait(2)
        connection.close()

    hang = threading.Event()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return server, thread


@pytest.mark.parametrize(
    ("answer", "found"), [([b"HTTP/1.0 200 OK\r\n\r\nthe pa", b"ge"], True), ([b"other"], False), ([], False)]
)
@pytest.mark.parametrize("closes", [True, False])
def test_a_text_is_found_in_an_answer_that_comes_in_pieces(answer: list[bytes], found: bool, closes: bool) -> None:
    server, _thread = serving(answer, closes=closes)
    with server:
        port = server.getsockname()[1]
        row = knocked(("127.0.0.1", "tcp", port), send="GET /", find="the page", try_timeout_s=0.5)[0]
    assert (row["outcome"], row["found"]) == ("connected", found)


def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_LONGEST_ANSWER", 1 << 16)
    server, _thread = serving([b"x" * (1 << 20)], closes=False)
    with server:
        began = time.monotonic()
        row = knocked(("127.0.0.1", "tcp", server.getsockname()[1]), find="page", try_timeout_s=3.0)[0]
    assert time.monotonic() - began < 2
    assert (row["outcome"], row["found"]) == ("connected", False)


def test_a_text_is_found_in_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            _request, who = server.recvfrom(4096)
            server.sendto(b"first", who)
            server.sendto(b"the page", who)

        threading.Thread(target=serve, daemon=True).start()
        row = knocked(("127.0.0.1", "udp", server.getsockname()[1]), find="the page", try_timeout_s=1.0)[0]
    assert (row["outcome"], row["found"]) == ("answered", True)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_packet_may_come_from_a_given_port(kind: str) -> None:
    number = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    source, port = free(number, "127.0.0.1"), free(number, "127.0.0.1")
    plain, sourced = probe.knock(
        {
            "targets": [
                {"host": "127.0.0.1", "protocol": kind, "port": port, **more} for more in ({}, {"source": source})
            ]
        },
        time.monotonic() + 5,
    )
    assert "source" not in plain
    assert (sourced["source"], sourced["outcome"], sourced.get("any_source")) == (source, plain["outcome"], None)
    with socket.socket(socket.AF_INET, number) as taken:
        taken.bind(("127.0.0.1", 0))
        (row,) = probe.knock(
            {"targets": [{"host": "127.0.0.1", "protocol": kind, "port": port, "source": taken.getsockname()[1]}]},
            time.monotonic() + 5,
        )
    assert (row["any_source"], row["outcome"]) == (True, plain["outcome"])


def test_a_protocol_may_be_given_by_its_number() -> None:
    assert (noted.number_of("gre"), noted.number_of("protocol-200")) == (47, 200)


def on_no_other_address(bound: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket on a port that nobody uses on another address of this host."""
    used = {
        target["port"] for target in probe.own_targets({"addresses": ["127.0.0.1"], "but": []}, time.monotonic() + 5)
    }
    while True:
        sock = socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET, kind)
        sock.bind((bound, 0))
        if sock.getsockname()[1] not in used:
            return sock
        sock.close()


@pytest.mark.parametrize(
    ("bound", "seen"),
    [
        ("127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("127.0.0.2", False),
        ("::ffff:127.0.0.1", True),
        ("::ffff:0.0.0.0", True),
        ("::ffff:127.0.0.2", False),
    ],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_the_ports_on_which_this_host_listens_are_found(bound: str, seen: bool, kind: socket.SocketKind) -> None:
    with on_no_other_address(bound, kind) as sock:
        if kind == socket.SOCK_STREAM:
            sock.listen()
        port = sock.getsockname()[1]
        protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
        found = probe.own_targets({"addresses": ["127.0.0.1"], "but": []}, time.monotonic() + 5)
        assert ({"host": "127.0.0.1", "protocol": protocol, "port": port, "own": True} in found) is seen
        found = probe.own_targets({"addresses": ["127.0.0.1"], "but": [port]}, time.monotonic() + 5)
        assert port not in {target["port"] for target in found}
    assert probe.own_targets({}, time.monotonic() + 5) == []
