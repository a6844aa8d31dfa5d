# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host whose Python hangs, and a name with an address that nobody serves: neither holds a story up."""

from __future__ import annotations

import errno
import socket
import subprocess
import time
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import stun, web
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import RemoteError, _limited, decode


def test_an_interpreter_that_hangs_is_ended_and_called_late() -> None:
    # -6 s, and the seconds that a host is given besides: 1 s.
    began = time.monotonic()
    done = subprocess.run(
        ["/bin/sh", "-c", _limited("sleep 30", -6)], capture_output=True, text=True, timeout=20, check=False
    )
    assert time.monotonic() - began < 10
    with pytest.raises(RemoteError) as caught:
        decode(done.returncode, done.stdout, done.stderr, interpreter="python3", deadline_s=5)
    assert caught.value.kind == "timeout"


def test_a_host_without_timeout_does_without() -> None:
    command = _limited("/bin/echo $0 'a b'", 5)
    done = subprocess.run(
        ["/bin/sh", "-c", command, "me"], env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "me a b\n")


def test_what_the_command_returns_and_reads_is_its_own() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", _limited("sh -c 'cat; exit 3'", 5)], input="x", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "x")


@pytest.mark.parametrize("served", [0, 1])
def test_a_name_with_two_addresses_is_reached_at_the_one_that_is_served(
    monkeypatch: pytest.MonkeyPatch, served: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        rows: list[Any] = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{2 if n != served else 1}", port)) for n in (0, 1)
        ]
        monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_args, **_more: rows)
        found: dict[str, Any] = {"timings": {}}
        sock = web._connected(found, rows, {}, time.monotonic() + 5)
        assert sock is not None
        sock.close()
        assert found["address"] == "127.0.0.1"
    found = {"timings": {}}
    assert web._connected(found, rows, {}, time.monotonic() + 5) is None
    assert found["outcome"] == "refused"


_NO_ROUTE, _NO_IPV6 = ("net-unreachable", "local"), OSError(errno.EAFNOSUPPORT, "not supported")


@pytest.mark.parametrize(
    ("tried", "address", "outcome"),
    [
        ((("refused", "203.0.113.5"), _NO_ROUTE), "203.0.113.5", "refused"),
        ((_NO_ROUTE, ("refused", "2001:db8::1")), "2001:db8::1", "refused"),
        ((("timeout", ""), _NO_ROUTE), "203.0.113.5", "timeout"),
        ((("timeout", ""), ("refused", "2001:db8::1")), "2001:db8::1", "refused"),
        ((("refused", "203.0.113.5"), _NO_IPV6), "203.0.113.5", "refused"),
        ((("prohibited", "local"), _NO_ROUTE), "203.0.113.5", "prohibited"),
        ((_NO_ROUTE, _NO_IPV6), "203.0.113.5", "net-unreachable"),
        ((_NO_ROUTE, ("timeout", "")), "2001:db8::1", "timeout"),
        ((("host-unreachable", "local"), ("refused", "2001:db8::1")), "2001:db8::1", "refused"),
        ((("refused", "203.0.113.5"), ("host-unreachable", "local")), "203.0.113.5", "refused"),
        ((("host-unreachable", "local"), ("net-unreachable", "2001:db8::ff")), "2001:db8::1", "net-unreachable"),
        ((("net-unreachable", "192.0.2.1"), ("refused", "2001:db8::1")), "2001:db8::1", "refused"),
        ((("timeout", ""), ("host-unreachable", "local")), "2001:db8::1", "host-unreachable"),
    ],
)
def test_the_most_telling_outcome_of_several_addresses_is_kept(
    monkeypatch: pytest.MonkeyPatch, tried: tuple[Any, Any], address: str, outcome: str
) -> None:
    said = dict(zip(("203.0.113.5", "2001:db8::1"), tried, strict=True))

    def connect(_sock: socket.socket, host: str, *_more: Any) -> Any:
        if isinstance(said[host], OSError):
            raise said[host]
        return said[host]

    monkeypatch.setattr(web, "connect", connect)
    rows: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443)) for host in said]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_args, **_more: rows)
    row = web.fetch({"targets": [{"url": "https://hs.example.com/health"}]}, time.monotonic() + 5)[0]
    assert (row["address"], row["outcome"], row["connected"]) == (address, outcome, False)
    assert row["addresses"] == list(said)


def test_a_name_with_very_many_addresses_makes_no_large_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{n}", 443)) for n in range(200)]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_args, **_more: rows)
    monkeypatch.setattr(web, "connect", lambda *_args: ("refused", ""))
    row = web.fetch({"targets": [{"url": "https://hs.example.com/health"}]}, time.monotonic() + 5)[0]
    assert len(row["addresses"]) == 16


@pytest.mark.parametrize(
    ("family", "kind"), [(4, socket.AF_INET), (6, socket.AF_INET6), (0, socket.AF_UNSPEC), (None, socket.AF_UNSPEC)]
)
def test_a_page_and_stun_are_asked_in_one_family(
    monkeypatch: pytest.MonkeyPatch, family: int | None, kind: int
) -> None:
    asked = []

    def getaddrinfo(_host: str, _port: int, family: int = 0, *_more: Any) -> Any:
        asked.append(family)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(web.socket, "getaddrinfo", getaddrinfo)
    target = {"url": "https://relay/", "host": "relay", "port": 3478, "connect": "relay", "family": family}
    found = [ask({"targets": [target]}, time.monotonic() + 5)[0]["outcome"] for ask in (web.fetch, stun.ask_servers)]
    assert (found, asked) == (["no-name", "no-name"], [kind, kind])
