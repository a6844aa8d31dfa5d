# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile name server on loopback, over TCP and UDP: each query ends in time, with a small answer."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import observe_all

_TIME_S = 2.0
_QUERIES = [{"name": f"host-{number}.mesh.internal", "type": "A"} for number in range(8)]


def _framed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


def _message(question: bytes, records: int, data: bytes) -> bytes:
    """Return an answer to a question."""
    return question[:2] + struct.pack("!HHHHH", 0x8180, 1, records, 0, 0) + question[12:] + data


def _address(value: str = "100.64.0.2") -> bytes:
    return struct.pack("!HHHIH4s", 0xC00C, 1, 1, 5, 4, socket.inet_aton(value))


def _names_of(question: bytes) -> bytes:
    """Return an answer whose records all have one name of 40,000 bytes, by a pointer to it."""
    labels = b"\x01a" * 20_000 + b"\x00"
    at = len(question)
    first = labels + struct.pack("!HHIH", 1, 1, 5, 0)
    more = struct.pack("!HHHIH", 0xC000 | at, 16, 1, 5, 0) * 250
    return _message(question, 251, first + more)


@contextlib.contextmanager
def _tcp_server(conduct: Callable[[socket.socket, bytes], None]) -> Iterator[int]:
    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            conduct(client, client.recv(4096)[2:])

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _asked(port: int, *, tcp: bool) -> list[dict[str, Any]]:
    """Return what the probe makes of the name server; check time and size."""
    asked = {"id": "dns", "kind": "dns", "server": "127.0.0.1", "port": port, "tcp": tcp, "queries": _QUERIES,
             "try_timeout_s": 0.8}  # fmt: skip
    began = time.monotonic()
    found = observe_all([asked], began + _TIME_S)
    assert time.monotonic() - began < _TIME_S + 5
    assert len(json.dumps(found)) < 200_000
    rows: list[dict[str, Any]] = found["dns"]["data"]
    assert None not in rows, "a query was still going on at the deadline"
    return rows


def _trickle(client: socket.socket, question: bytes) -> None:
    for byte in _framed(_message(question, 1, _address())):
        client.sendall(bytes([byte]))
        time.sleep(0.2)


def _without_end(client: socket.socket, _question: bytes) -> None:
    client.sendall(b"\xff\xff")
    while True:
        client.sendall(b"\x00")
        time.sleep(0.05)


def _zero(client: socket.socket, _question: bytes) -> None:
    while True:
        client.sendall(b"\x00\x00" * 1000)


def _wrong_id(client: socket.socket, question: bytes) -> None:
    while True:
        client.sendall(_framed(_message(bytes([question[0] ^ 1]) + question[1:], 1, _address())))


def _many_messages(client: socket.socket, question: bytes) -> None:
    client.sendall(_framed(_message(question, 1, _address())) * 20)
    while True:
        client.sendall(_framed(_message(question, 1, _address("100.64.0.66"))))


def _borrowed(client: socket.socket, question: bytes) -> None:
    """Announce a record that only the next message holds."""
    client.sendall(_framed(_message(question, 1, b"")) + _address("100.64.0.66") * 20)


def _says(message: Callable[[bytes], bytes]) -> Callable[[socket.socket, bytes], None]:
    def conduct(client: socket.socket, question: bytes) -> None:
        client.sendall(_framed(message(question)))
        client.recv(1)

    return conduct


@pytest.mark.parametrize("conduct", [_trickle, _without_end], ids=["trickle", "without end"])
def test_a_slow_answer_over_tcp_is_a_timeout(conduct: Any) -> None:
    with _tcp_server(conduct) as port:
        assert {row["outcome"] for row in _asked(port, tcp=True)} == {"timeout"}


_BROKEN = {
    "no length": (_zero, "closed|another question"),
    "wrong id": (_wrong_id, "another question"),
    "borrowed": (_borrowed, "broken"),
    "many records": (_says(lambda question: _message(question, 4000, _address() * 4000)), "4000 records"),
    "long names": (_says(_names_of), "name of more than"),
    "one long name": (_says(lambda question: _message(question, 1, b"\x01a" * 20_000 + b"\0" * 11)), "name of more than"),
    "a name of itself": (_says(lambda question: _message(question, 1, struct.pack("!H", 0xC000 | len(question)))), "itself"),
    "a record without end": (_says(lambda question: _message(question, 1, struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 65535))), "broken"),
}  # fmt: skip


@pytest.mark.parametrize("name", _BROKEN)
def test_a_broken_answer_over_tcp_is_one_error(name: str) -> None:
    conduct, said = _BROKEN[name]
    with _tcp_server(conduct) as port:
        rows = _asked(port, tcp=True)
    assert all(re.search(said, f"{row['outcome']} {row.get('error', '')}") for row in rows), rows
    assert all(len(str(row)) < 500 for row in rows)


def test_of_many_messages_over_tcp_the_first_counts() -> None:
    with _tcp_server(_many_messages) as port:
        rows = _asked(port, tcp=True)
    assert [[record["value"] for record in row["answers"]] for row in rows] == [["100.64.0.2"]] * len(_QUERIES)


def test_an_oversize_but_valid_answer_over_tcp_is_read() -> None:
    def message(question: bytes) -> bytes:
        return _message(question, 1, struct.pack("!HHHIH", 0xC00C, 16, 1, 5, 10_000) + b"x" * 10_000)

    with _tcp_server(_says(message)) as port:
        assert {row["outcome"] for row in _asked(port, tcp=True)} == {"answered"}


@pytest.mark.parametrize("wrong", ["id", "question", "direction"])
def test_datagrams_that_answer_something_else_do_not_count(wrong: str) -> None:
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                question, client = listener.recvfrom(4096)
                reply = {
                    "id": lambda asked: _message(bytes([asked[0] ^ 1]) + asked[1:], 1, _address()),
                    "question": lambda asked: _message(asked[:13] + b"x" + asked[14:], 1, _address()),
                    "direction": lambda asked: asked,
                }[wrong](question)
                for _number in range(50):
                    listener.sendto(reply, client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.2)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        rows = _asked(listener.getsockname()[1], tcp=False)
        over.set()
        thread.join()
    assert {row["outcome"] for row in rows} == {"timeout"}
