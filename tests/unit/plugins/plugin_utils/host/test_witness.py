# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host notes the datagrams that reach it, and tells their sender."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import bpf
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import knock, witness

NOTE = witness.datagram("n0nce", "192.0.2.7", 53)


@pytest.mark.parametrize("packed", [bpf.ipv4, bpf.ipv6])
def test_the_kernel_passes_only_these_datagrams(packed: Any) -> None:
    program = witness.program(9)
    passing = packed(17, bpf.udp(NOTE))
    assert bpf.passes(program, passing)
    assert bpf.passes(witness.program(0), passing)
    assert not bpf.passes(program, passing, interface=9), "the mesh interface"
    assert not bpf.passes(program, packed(6, bpf.udp(NOTE)))
    assert not bpf.passes(program, packed(17, bpf.udp(b"meshctl " + NOTE[8:])))
    assert not bpf.passes(program, packed(17, bpf.udp(b"m" * 64)))
    assert not bpf.passes(program, b"")


def test_options_of_ipv4_do_not_hide_one() -> None:
    assert bpf.passes(witness.program(9), bpf.ipv4(17, bpf.udp(NOTE), options=bytes(8)))


def test_senders_do_not_see_each_other_and_nothing_odd_is_kept() -> None:
    noted = witness.Witness()
    for note in (
        b"n0nce 192.0.2.7 53",
        b"other 192.0.2.7 80",
        b"",
        b"n0nce",
        b"n0nce \xff \x1b",
        b"n0nce " + b"x" * 500,
    ):
        noted._note(note)
    assert noted.of("n0nce") == [["192.0.2.7", "53"], [], ["\ufffd", "\x1b"]]
    assert noted.of("") == []


@pytest.fixture
def serving() -> Iterator[dict[str, Any]]:
    # On ::1, because the interface of an IPv4 address that it listens on is left out.
    ask = {"id": "it", "kind": "serve", "addresses": ["::1"], "seconds": 30, "witness": True}
    found = probe.main({"observe": [ask], "deadline_s": 5})["observations"]["it"]["data"]
    if not found.get("witness"):
        pytest.skip("this user may not capture packets")
    yield {"host": "::1", "port": found["ports"]["::1"]["tcp"]["port"], "token": found["token"]}
    probe.main({"observe": [{"id": "end", "kind": "call", **found["end"]}], "deadline_s": 5})


def rows(nonce: str, *targets: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = knock.knock(
        {"targets": list(targets), "nonce": nonce, "sparing": True, "try_timeout_s": 0.3}, time.monotonic() + 5
    )
    return found


def test_a_silent_port_that_a_datagram_has_reached_is_told(serving: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        target = {"host": "127.0.0.1", "protocol": "udp", "port": quiet.getsockname()[1]}
        (told,) = rows("a1", {**target, "witness": serving})
        assert (told["outcome"], told["from"], told["asked"]) == ("arrived", "127.0.0.1", True)
        (untold,) = rows("a2", target)
        assert untold["outcome"] == "timeout"
    assert witness.ask(serving, "a1", time.monotonic() + 5) == [("127.0.0.1", str(target["port"]))] * 1
    assert witness.ask(serving, "another", time.monotonic() + 5) == []
    assert witness.ask({**serving, "token": "wrong"}, "a1", time.monotonic() + 5) is None


@pytest.mark.parametrize(
    ("noted", "outcome", "asked"),
    [([], "timeout", True), ([("127.0.0.1", "1")], "timeout", True), (None, "timeout", None)],
)
def test_a_silent_port_stays_silent_otherwise(
    monkeypatch: pytest.MonkeyPatch, noted: Any, outcome: str, asked: Any
) -> None:
    monkeypatch.setattr(knock, "ask_witness", lambda *_args: noted)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        (row,) = rows(
            "a3", {"host": "127.0.0.1", "protocol": "udp", "port": quiet.getsockname()[1], "witness": {"host": "x"}}
        )
    assert (row["outcome"], row.get("asked")) == (outcome, asked)


@pytest.mark.parametrize(
    "reply", [b"", b"{}\n", b"[]\n", b'{"witness": false}\n', b'{"witness": {"a": 1}}\n', b"no json\n"]
)
def test_what_is_no_answer_proves_nothing(reply: bytes) -> None:
    def answer(server: socket.socket) -> None:
        connection, _peer = server.accept()
        with connection:
            connection.recv(999)
            connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        asked = {"host": "127.0.0.1", "port": server.getsockname()[1], "token": "t"}
        assert witness.ask(asked, "a", time.monotonic() + 5) is None


def test_a_listener_that_ends_tells_what_has_arrived_of_those_who_cannot_ask() -> None:
    ask = {"id": "it", "kind": "serve", "addresses": ["::1"], "seconds": 30, "witness": True}
    found = probe.main({"observe": [ask], "deadline_s": 5})["observations"]["it"]["data"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        port = quiet.getsockname()[1]
        rows("c1", {"host": "127.0.0.1", "protocol": "udp", "port": port})
        end = {"id": "end", "kind": "call", **found["end"], "nonces": ["c1", "c2"]}
        noted = probe.main({"observe": [end], "deadline_s": 5})["observations"]["end"]["data"]["noted"]
    assert noted == ({"c1": [["127.0.0.1", str(port)]], "c2": []} if found.get("witness") else None)
