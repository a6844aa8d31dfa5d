# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets that are counted on an interface, and the firewall's chains that may stop them."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import closing
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import firewall
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.watch import LONGEST_S, _Watcher
from hypothesis import given
from hypothesis import strategies as st


def look(kind: str, **ask: Any) -> dict[str, Any]:
    answer = probe.main({"observe": [{"id": "it", "kind": kind, **ask}], "deadline_s": 6})
    return dict(answer["observations"]["it"])


def data(kind: str, **ask: Any) -> Any:
    found = look(kind, **ask)
    if not found["ok"] and found["error"]["type"] == "not_permitted":
        pytest.skip(found["error"]["message"])
    assert found["ok"], found
    return found["data"]


def watching(**ask: Any) -> str:
    """Begin to watch the loopback interface, and return the token."""
    return str(data("watch", interface="lo", peers=["127.0.0.1", "::1"], seconds=20, **ask)["token"])


def kinds(token: str) -> dict[tuple[str, str], int]:
    """Return how many packets of each kind came in."""
    rows = data("watched", token=token)
    return {(row["dst"], row["kind"]): row["packets"] for row in rows if row["direction"] == "in"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_leaves_its_packets(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        token = watching(protocol="tcp", port=port)
        assert data("tcp", targets=[{"host": host, "port": port}])[0]["outcome"] == "connected"
        seen = kinds(token)
    assert (seen[host, "syn"], seen[host, "syn-ack"]) == (1, 1)
    token = watching(protocol="tcp", port=port)
    assert data("tcp", targets=[{"host": host, "port": port}])[0]["outcome"] == "refused"
    assert {kind for _dst, kind in kinds(token)} == {"syn", "reset"}


def test_datagrams_and_their_refusal() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    token = watching(protocol="udp", port=port)
    found = data("udp", targets=[{"host": "127.0.0.1", "port": port}], try_timeout_s=2)[0]
    assert found["outcome"] == "refused"
    assert kinds(token) == {("127.0.0.1", "datagram"): found["sent"], ("127.0.0.1", "unreachable 3"): found["sent"]}


def test_echo_requests() -> None:
    token = watching(protocol="icmp", port=0)
    data("icmp", targets=["127.0.0.1"], count=2)
    seen = kinds(token)
    assert seen["127.0.0.1", "request"] == seen["127.0.0.1", "reply"] == 2


def test_what_is_watched_is_told_once_and_ends_by_itself() -> None:
    token = watching(protocol="tcp", port=1)
    data("watched", token=token)
    assert look("watched", token=token)["error"]["type"] == "not_watched"
    short = data("watch", interface="lo", peers=[], seconds=0.2, protocol="tcp", port=1)["token"]
    end = time.monotonic() + 10
    while look("watched", token=short)["ok"]:
        assert time.monotonic() < end
    assert look("watched", token="unknown")["error"]["type"] == "not_watched"


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_S + 1])
def test_it_is_never_watched_for_long(seconds: float) -> None:
    found = look("watch", interface="lo", peers=[], seconds=seconds, protocol="tcp", port=1)
    assert found["error"]["type"] == "bad_request"


def test_an_interface_that_is_missing_is_named() -> None:
    found = look("watch", interface="nothing0", peers=[], seconds=1, protocol="tcp", port=1)
    if found["error"]["type"] != "not_permitted":
        assert found["error"]["message"].startswith("nothing0: ")


@given(st.binary(max_size=80), st.sampled_from([b"", b"\x45", b"\x60"]), st.sampled_from(["tcp", "udp", "icmp"]))
def test_any_packet_is_read(body: bytes, head: bytes, protocol: str) -> None:
    _Watcher({"protocol": protocol, "port": 1, "peers": ["127.0.0.1"]})._read(head + body)


def test_foreign_packets_are_not_counted() -> None:
    watcher = _Watcher({"protocol": "tcp", "port": 443, "peers": ["100.64.0.1"]})
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, socket.inet_aton("100.64.0.1"), socket.inet_aton("10.0.0.1")
    )
    syn = struct.pack("!HHIIBBHHH", 50000, 443, 0, 0, 0x50, 2, 0, 0, 0)
    assert watcher._read(head + syn) == ("100.64.0.1", "10.0.0.1", "syn")
    assert watcher._read(head + syn.replace(struct.pack("!H", 443), struct.pack("!H", 80))) is None
    assert watcher._read(head.replace(socket.inet_aton("100.64.0.1"), socket.inet_aton("100.64.0.9")) + syn) is None


def chain(name: str, **more: Any) -> dict[str, Any]:
    return {"chain": {"family": "inet", "table": "t", "name": name, **more}}


def rule(name: str, *parts: Any) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "t", "chain": name, "expr": list(parts)}}


def test_the_chains_that_drop_are_found() -> None:
    entries = [
        chain("in", hook="input", policy="accept"), rule("in", {"match": {}}, {"drop": None}),
        chain("strict", hook="input", policy="drop"),
        chain("map", hook="input", policy="accept"), rule("map", {"vmap": {"data": {"set": [[22, {"reject": {}}]]}}}),
        chain("jumped"), rule("jumped", {"reject": {"type": "tcp reset"}}),
        chain("open", hook="input", policy="accept"), rule("open", {"accept": None}),
        chain("forward", hook="forward", policy="drop"),
        chain("ts-input"), rule("ts-input", {"drop": None}),
        {"metainfo": {}}, rule("gone", {"drop": None}),
    ]  # fmt: skip
    assert [found["name"] for found in firewall._chains(entries)] == ["in", "strict", "map", "jumped"]


def test_the_chains_behind_the_hosts_own_output_are_found() -> None:
    entries = [
        chain("late", hook="postrouting", policy="accept"), rule("late", {"drop": None}),
        chain("nat", hook="postrouting", policy="accept"), rule("nat", {"snat": {"addr": "10.0.0.10"}}),
        chain("docker", hook="postrouting", policy="accept"), rule("docker", {"xt": {"type": "target", "name": "MASQUERADE"}}),
        chain("ts-postrouting"), rule("ts-postrouting", {"masquerade": None}),
        chain("pre", hook="prerouting", policy="accept"), rule("pre", {"dnat": {"addr": "10.0.0.9"}}),
    ]  # fmt: skip
    found = {one["name"]: (one["stops"], one["rewrites"]) for one in firewall._chains(entries)}
    assert found == {"late": (1, 0), "nat": (0, 1), "docker": (0, 1), "pre": (0, 1)}
