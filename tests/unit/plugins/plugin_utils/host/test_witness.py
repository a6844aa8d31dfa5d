# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host notes the datagrams that reach it, and tells their sender."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import bpf
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import knock, noted, witness

NOTE = noted.note("n0nce", "192.0.2.7", "53")


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


TCP = struct.pack("!HHIIBBHHH", 40000, 22, 1, 0, 0x50, 2, 64240, 0, 0)


@pytest.mark.parametrize(
    ("proto", "payload"),
    [
        (6, TCP + NOTE),
        (6, TCP[:12] + b"\x70" + TCP[13:] + bytes(8) + NOTE),
        (1, bytes(8) + NOTE),
        (58, bytes(8) + NOTE),
        (47, noted.packet("gre", NOTE)),
        (50, noted.packet("esp", NOTE)),
        (132, noted.packet("sctp", NOTE)),
        (200, noted.packet("protocol-200", NOTE)),
    ],
    ids=["tcp", "tcp-with-options", "icmp", "icmp6", "gre", "esp", "sctp", "other"],
)
@pytest.mark.parametrize("packed", [bpf.ipv4, bpf.ipv6])
def test_the_kernel_passes_packets_of_other_protocols(packed: Any, proto: int, payload: bytes) -> None:
    program = witness.program(9)
    assert bpf.passes(program, packed(proto, payload))
    assert not bpf.passes(program, packed(proto, payload), interface=9)
    assert not bpf.passes(program, packed(proto, payload.replace(noted.SIGN, b"meshctl ")))
    assert payload.partition(noted.SIGN)[2].startswith(b"n0nce 192.0.2.7 53\n")


def test_a_connection_without_data_is_not_noted() -> None:
    assert not bpf.passes(witness.program(9), bpf.ipv4(6, TCP))


def test_options_of_ipv4_do_not_hide_one() -> None:
    assert bpf.passes(witness.program(9), bpf.ipv4(17, bpf.udp(NOTE), options=bytes(8)))


def test_senders_do_not_see_each_other_and_nothing_odd_is_kept() -> None:
    seen = witness.Witness()
    for note in (
        b"n0nce 192.0.2.7 53",
        b"other 192.0.2.7 80",
        b"",
        b"n0nce",
        b"n0nce \xff \x1b",
        b"n0nce " + b"x" * 500,
    ):
        seen._note(note)
    assert seen.of("n0nce") == [["192.0.2.7", "53"], [], ["\ufffd", "\x1b"]]
    assert seen.of("") == []


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


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("protocol", ["tcp", "icmp", "gre", "sctp", "protocol-200"])
def test_other_packets_that_have_arrived_are_told(serving: dict[str, Any], host: str, protocol: str) -> None:
    target = {"host": host, "protocol": protocol, "port": 9 if protocol == "tcp" else 0}
    with pytest.MonkeyPatch.context() as patched:
        # Nothing is silent here: a closed port refuses.
        patched.setattr(
            knock,
            "_wait_for",
            lambda batch, *_more: [one.begin() or one.send() for one in batch if one.protocol != "tcp"],
        )
        (told,) = rows("b1", {**target, "witness": serving})
    assert (told["outcome"], told["asked"]) == ("arrived", True)


@pytest.mark.parametrize(
    ("arrived", "outcome", "asked"),
    [([], "timeout", True), ([("127.0.0.1", "1")], "timeout", True), (None, "timeout", None)],
)
def test_a_silent_port_stays_silent_otherwise(
    monkeypatch: pytest.MonkeyPatch, arrived: Any, outcome: str, asked: Any
) -> None:
    monkeypatch.setattr(knock, "ask_witness", lambda *_args: arrived)
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
        told = probe.main({"observe": [end], "deadline_s": 5})["observations"]["end"]["data"]["noted"]
    assert told == ({"c1": [["127.0.0.1", str(port)]], "c2": []} if found.get("witness") else None)
