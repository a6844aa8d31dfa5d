# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a name server of this test over TCP, and names of a resolver that hangs."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import dns, names

Answer = Callable[[socket.socket, bytes], None]


def asked(answer: Answer, **more: Any) -> dict[str, Any]:
    """Return what the probe makes of one connection to a server that answers like this."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _peer = server.accept()
            with connection:
                answer(connection, connection.recv(4096)[2:])

        threading.Thread(target=serve, daemon=True).start()
        request = {
            "server": "127.0.0.1", "port": server.getsockname()[1], "tcp": True, "tries": 1, "try_timeout_s": 0.5,
            "queries": [{"name": "two.mesh.internal", "type": "A"}], **more,
        }  # fmt: skip
        found: dict[str, Any] = dns.ask_servers(request, time.monotonic() + 3)[0]
        return found


def reply(question: bytes) -> bytes:
    record = struct.pack("!HHHIH4s", 0xC00C, 1, 1, 5, 4, socket.inet_aton("100.64.0.2"))
    message = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question[12:] + record
    return struct.pack("!H", len(message)) + message


def slowly(connection: socket.socket, question: bytes) -> None:
    for byte in reply(question):
        connection.sendall(bytes([byte]))


def test_an_answer_over_tcp_may_come_in_pieces() -> None:
    found = asked(slowly)
    assert (found["outcome"], found["rcode"]) == ("answered", "NOERROR")
    assert [record["value"] for record in found["answers"]] == ["100.64.0.2"]


def test_silence_and_a_closed_connection_over_tcp() -> None:
    hang = threading.Event()
    found = asked(lambda _connection, _question: bool(hang.wait(1)) and None)
    assert (found["outcome"], found["connected"]) == ("timeout", True)
    assert asked(lambda _connection, _question: None)["outcome"] == "closed"


def test_an_answer_to_another_question_is_refused() -> None:
    def other(connection: socket.socket, question: bytes) -> None:
        connection.sendall(reply(b"xx" + question[2:]))

    assert "another question" in asked(other)["error"]


def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    request = {"server": "127.0.0.1", "port": port, "tcp": True, "queries": [{"name": "two.test", "type": "A"}]}
    assert dns.ask_servers(request, time.monotonic() + 3)[0]["outcome"] == "refused"


def test_names_that_a_resolver_does_not_answer_are_told_from_those_it_did_not_get(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang = threading.Event()

    def look_up(name: str, _family: int) -> dict[str, Any]:
        if name != "first":
            hang.wait(5)
        return {"name": name, "outcome": "found", "addresses": ["100.64.0.2"], "duration_ms": 1.0}

    monkeypatch.setattr(names, "_look_up_one", look_up)
    began = time.monotonic()
    found = names.look_up({"names": ["first", *(f"name-{number}" for number in range(40))]}, began + 0.4)
    took = time.monotonic() - began
    hang.set()
    assert took < 1.5, "many hung lookups must not each cost a moment"
    outcomes = [row["outcome"] for row in found]
    assert outcomes[0] == "found"
    assert outcomes.count("timeout") == 16
    assert outcomes.count("not-asked") == 24
    assert all(300 < row["waited_ms"] < 1500 for row in found if row["outcome"] == "timeout")
