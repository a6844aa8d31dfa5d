# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the probe sees of real sockets, on the loopback interface."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import capture


def look(kind: str, *, deadline_s: float = 5, **ask: Any) -> dict[str, Any]:
    answer = probe.main({"observe": [{"id": "it", "kind": kind, **ask}], "deadline_s": deadline_s})
    found = answer["observations"]["it"]
    json.dumps(found)
    return dict(found)


def data(kind: str, **ask: Any) -> Any:
    found = look(kind, **ask)
    if not found["ok"] and found["error"]["type"] == "not_permitted":
        pytest.skip(found["error"]["message"])
    assert found["ok"], found
    return found["data"]


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_unknown_kind_is_an_error_of_that_observation_alone() -> None:
    answer = probe.main({"observe": [{"id": "bad", "kind": "nope"}, {"id": "good", "kind": "time"}]})
    assert answer["observations"]["bad"]["error"]["type"] == "unknown_kind"
    assert answer["observations"]["good"]["ok"]
    assert answer["host"]["hostname"] == socket.gethostname()


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
def test_every_echo_request_to_the_loopback_is_answered(family: str) -> None:
    found = data("icmp", targets=[family], count=3, interval_s=0.02)[family]
    assert (found["sent"], found["received"], found["lost"], found["errors"]) == (3, 3, 0, [])
    assert all(0 < rtt < 1000 for rtt in found["rtt_ms"])


def test_two_probes_at_once_do_not_count_each_others_replies() -> None:
    ping = {"kind": "icmp", "targets": ["127.0.0.1"], "count": 2, "interval_s": 0.02}
    asks = [{"id": str(number), **ping} for number in range(4)]
    answer = probe.main({"observe": asks, "deadline_s": 5})["observations"]
    if not answer["0"]["ok"]:
        pytest.skip(answer["0"]["error"]["message"])
    assert [found["data"]["127.0.0.1"]["received"] for found in answer.values()] == [2] * 4


def test_a_tcp_connection_and_a_refusal(listener: int, closed_port: int) -> None:
    targets = [{"host": "127.0.0.1", "port": listener}, {"host": "127.0.0.1", "port": closed_port}]
    found = data("tcp", targets=targets)
    assert [entry["outcome"] for entry in found] == ["connected", "refused"]
    assert found[1]["from"] == "127.0.0.1"


def test_a_listening_socket_is_found_with_its_process(listener: int) -> None:
    found = data("listening", ports=[listener])
    assert [(entry["proto"], entry["address"], entry["port"]) for entry in found] == [("tcp", "127.0.0.1", listener)]
    assert found[0]["process"]["pid"] > 0


def test_an_ipv6_wildcard_is_told_from_an_address() -> None:
    with closing(socket.create_server(("::", 0), family=socket.AF_INET6)) as server:
        found = data("listening", ports=[server.getsockname()[1]])
        assert [entry["address"] for entry in found] == ["::"]


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_a_socket_of_ipv6_at_an_address_of_ipv4_is_found_there(bound: str) -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind((f"::ffff:{bound}", 0))
        server.listen()
        found = data("listening", ports=[server.getsockname()[1]])
        assert [entry["address"] for entry in found] == [bound]


class Page(BaseHTTPRequestHandler):
    """Answers with its own request."""

    def do_GET(self) -> None:
        """Answer with the path and the Host header."""
        body = f"{self.path} {self.headers['Host']}".encode() + b"." * (100_000 if self.path == "/long" else 0)
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_with_its_status_body_and_times(web: str) -> None:
    found = data("http", targets=[{"url": f"{web}/x"}, {"url": f"{web}/missing"}, {"url": f"{web}/long"}])
    assert {entry["outcome"] for entry in found} == {"answered"}
    assert [entry["status"] for entry in found] == [200, 404, 200]
    assert found[0]["body"] == f"/x {web.removeprefix('http://')}"
    assert set(found[0]["timings"]) == {"resolve_ms", "connect_ms", "first_byte_ms", "total_ms"}
    assert len(found[2]["body"]) == 64 << 10
    assert found[2]["truncated"]


def test_another_host_header_and_another_address(web: str) -> None:
    port = web.rpartition(":")[2]
    found = data("http", targets=[{"url": f"http://mesh.invalid:{port}/", "connect": "127.0.0.1", "host_header": "me"}])
    assert (found[0]["body"], found[0]["address"]) == ("/ me", "127.0.0.1")


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("ftp://x/", "bad_url"), ("http://", "bad_url"), ("http://u@h/", "bad_url"), ("http://127.0.0.1:x/", "bad_url")],
)
def test_a_url_that_is_none(url: str, outcome: str) -> None:
    assert data("http", targets=[{"url": url}])[0]["outcome"] == outcome


def serve_once(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(5)

    def run() -> None:
        try:
            while True:
                question, peer = server.recvfrom(2048)
                for reply in answer(question):
                    server.sendto(reply, peer)
        except OSError:
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.close()


def dns_reply(question: bytes, *records: bytes, rcode: int = 0, ident: bytes | None = None) -> bytes:
    head = (ident or question[:2]) + struct.pack("!HHHHH", 0x8580 | rcode, 1, len(records), 0, 0)
    return head + question[12:] + b"".join(records)


def record(kind: int, value: bytes, ttl: int = 5) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(value)) + value


def ask_dns(port: int, name: str, kind: str, **more: Any) -> Any:
    return data("dns", server="127.0.0.1", port=port, queries=[{"name": name, "type": kind}], **more)[0]


def test_an_address_from_a_name_server() -> None:
    served = serve_once(lambda question: [dns_reply(question, record(1, bytes([100, 64, 0, 1])))])
    found = ask_dns(next(served), "one.mesh.internal", "A")
    assert (found["outcome"], found["rcode"], found["server"]) == ("answered", "NOERROR", "127.0.0.1")
    assert found["answers"] == [{"name": "one.mesh.internal", "type": "A", "ttl": 5, "value": "100.64.0.1"}]


def test_a_name_that_does_not_exist() -> None:
    served = serve_once(lambda question: [dns_reply(question, rcode=3)])
    assert ask_dns(next(served), "x.y", "AAAA")["rcode"] == "NXDOMAIN"


def test_an_answer_to_another_question_is_not_taken() -> None:
    def answer(question: bytes) -> list[bytes]:
        stale = dns_reply(question, record(1, bytes([6, 6, 6, 6])), ident=bytes(byte ^ 255 for byte in question[:2]))
        other = dns_reply(question[:12] + question[12:].replace(b"one", b"two"), record(1, bytes([6, 6, 6, 6])))
        return [stale, other, dns_reply(question, record(1, bytes([100, 64, 0, 1])))]

    found = ask_dns(next(serve_once(answer)), "one.test", "A")
    assert [entry["value"] for entry in found["answers"]] == ["100.64.0.1"]


def test_a_reverse_question_is_made_from_an_address() -> None:
    asked: list[bytes] = []

    def answer(question: bytes) -> list[bytes]:
        asked.append(question)
        return [dns_reply(question, record(12, b"\x03one\x04mesh\x00"))]

    port = next(serve_once(answer))
    assert ask_dns(port, "100.64.0.1", "PTR")["answers"][0]["value"] == "one.mesh"
    assert b"\x011\x010\x0264\x03100\x07in-addr\x04arpa\x00" in asked[0]
    assert ask_dns(port, "fd7a::1", "PTR")["outcome"] == "answered"
    assert asked[1][12:].count(b"\x010") == 27


def test_a_broken_answer_is_not_an_exception() -> None:
    served = serve_once(lambda question: [dns_reply(question, b"\xc0\x0c\x00\x01")])
    found = ask_dns(next(served), "a.b", "A")
    assert found["outcome"] == "broken"
    assert "answer is broken" in found["error"]


def test_a_name_server_that_is_silent_is_asked_again_and_then_given_up() -> None:
    served = serve_once(lambda _question: [])
    found = ask_dns(next(served), "a.b", "A", tries=2, try_timeout_s=0.1)
    assert (found["outcome"], found["tries"]) == ("timeout", 2)


def test_the_systems_resolver_knows_localhost() -> None:
    found = data("getaddrinfo", names=["localhost"])[0]
    assert found["outcome"] == "found"
    assert set(found["addresses"]) & {"127.0.0.1", "::1"}


def test_of_an_address_the_system_knows_the_name() -> None:
    found = data("getaddrinfo", names=["127.0.0.1", "192.0.2.1"])
    assert (found[0]["outcome"], found[0]["canonical"].startswith("localhost")) == ("found", True)
    assert (found[1]["outcome"], found[1]["canonical"]) != ("found", "")


def test_a_text_file_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello", encoding="utf-8")
    found = data("files", paths=[str(path), str(tmp_path / "b.txt")])
    assert found[str(path)] == {"text": "hello"}
    assert "No such file" in found[str(tmp_path / "b.txt")]["error"]


def local_api(path: Path, reply: bytes | None) -> None:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def run() -> None:
        while True:
            connection, _peer = server.accept()
            with connection:
                connection.recv(4096)
                if reply is None:
                    time.sleep(2)
                else:
                    connection.sendall(reply)

    threading.Thread(target=run, daemon=True).start()


def test_no_tailscaled_is_said_in_a_sentence(tmp_path: Path) -> None:
    found = look("status", socket=str(tmp_path / "none.sock"))
    assert found["error"]["type"] == "no_tailscaled"
    assert "nothing listens on" in found["error"]["message"]


def test_a_tailscaled_that_runs_without_its_socket_is_not_called_stopped(tmp_path: Path) -> None:
    program = tmp_path / "tailscaled"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            said = look("status", socket=str(tmp_path / "none.sock"))["error"]
        finally:
            process.kill()
    assert said["type"] == "no_socket"
    assert said["message"].startswith(f"tailscaled runs as process {process.pid}, but nothing listens on ")


def test_secrets_do_not_leave_the_host(tmp_path: Path) -> None:
    document = {
        "Self": {"HostName": "a", "CapMap": {}},
        "Config": {"PrivateNodeKey": "privkey:1"},
        "AuthURL": "https://x",
    }
    local_api(tmp_path / "s", b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(document).encode())
    assert data("status", socket=str(tmp_path / "s")) == {"Self": {"HostName": "a"}, "Config": {}}


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "not_permitted", "become: true"),
        (b"HTTP/1.0 500 Oops\r\n\r\nno backend", "refused", "no backend"),
        (b"HTTP/1.0 200 OK\r\n\r\n{", "bad_response", "not JSON"),
        (b"SSH-2.0-x\r\n", "bad_response", "not HTTP"),
        (b"", "bad_response", "not HTTP"),
        (b"HTTP/1.0 " + b"9" * 6000 + b" OK\r\n\r\n", "bad_response", "not HTTP"),
        (b"HTTP/1.0 \xb2\xb2\xb2 OK\r\n\r\n", "bad_response", "not HTTP"),
    ],
)
def test_a_tailscaled_that_does_not_answer_as_it_should(tmp_path: Path, reply: bytes, kind: str, said: str) -> None:
    local_api(tmp_path / "s", reply)
    error = look("status", socket=str(tmp_path / "s"))["error"]
    assert error["type"] == kind
    assert said in error["message"]


def test_no_observation_outlives_the_deadline(tmp_path: Path) -> None:
    local_api(tmp_path / "s", None)
    began = time.monotonic()
    asks: list[dict[str, Any]] = [
        {"id": "status", "kind": "status", "socket": str(tmp_path / "s")},
        {"id": "disco", "kind": "disco", "socket": str(tmp_path / "s"), "targets": ["100.64.0.1"]},
        {"id": "time", "kind": "time"},
    ]
    found = probe.main({"observe": asks, "deadline_s": 0.4})["observations"]
    assert time.monotonic() - began < 1.5
    assert [found[key]["ok"] for key in ("status", "disco", "time")] == [False, False, True]
    assert found["status"]["error"]["type"] == "timeout"


def test_metrics_are_read_by_name_and_label(tmp_path: Path) -> None:
    text = '# HELP x y\ntailscaled_outbound_packets_total{path="derp"} 7\ntailscaled_health 0.5\nrubbish\n'
    local_api(tmp_path / "s", b"HTTP/1.0 200 OK\r\n\r\n" + text.encode())
    found = data("metrics", socket=str(tmp_path / "s"))
    assert found["tailscaled_outbound_packets_total"] == [{"labels": {"path": "derp"}, "value": 7.0}]


def test_steps_are_made_one_after_another() -> None:
    found = data("sequence", steps=[{"id": "a", "kind": "time"}, {"id": "b", "kind": "time"}])
    assert found["a"]["data"]["now"] <= found["b"]["data"]["now"]


def test_a_capture_that_is_optional_and_not_permitted_lets_all_else_be_observed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_args: object) -> None:
        raise PermissionError

    monkeypatch.setattr(probe.socket, "socket", refused)
    during = [{"id": "t", "kind": "time"}]
    found = data("capture", optional=True, during=during)
    assert (found["flows"], found["during"]["t"]["ok"]) == (None, True)
    assert look("capture", during=during)["error"]["type"] == "not_permitted"


def test_a_capture_counts_what_is_no_ip_only_where_it_is_marked() -> None:
    flows: dict[Any, Any] = {}
    where = ("eth0", 0x88B5, capture._PACKET_OUTGOING, 1)
    key, payload = capture._other(b"\x11\x00find-me", where)
    capture._count(flows, key, payload, payload, b"find-me")
    (found,) = flows.values()
    assert (found["interface"], found["direction"], found["proto"], found["marked"]) == ("eth0", "out", "0x88b5", 1)
    assert found["ttl"] is None


def test_a_capture_counts_packets_with_a_second_text_besides() -> None:
    flows: dict[Any, Any] = {}
    key = ("eth0", "out", "udp", "192.0.2.1", "192.0.2.2", 4000, 53)
    for packet in (b"\x45 a new find-me", b"\x45 and find-me", b"\x45 and nothing"):
        capture._count(flows, key, packet, packet, b"find-me", b"new")
    (found,) = flows.values()
    assert (found["packets"], found["marked"], found["fresh"]) == (3, 2, 1)


def test_a_capture_sees_the_marker_and_wireguard_by_their_form() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        marked = {"id": "m", "kind": "send", "host": "127.0.0.1", "port": port, "marker": "find-me", "count": 2}
        wireguard = {"id": "w", "kind": "send", "host": "127.0.0.1", "port": port, "marker": "\x04\0\0\0" + "x" * 40}
        disco = {"id": "d", "kind": "send", "host": "127.0.0.1", "port": port, "marker": "TS\U0001f4ac" + "x" * 40}
        found = data("capture", marker="find-me", during=[marked, wireguard, disco])
    flows = [flow for flow in found["flows"] if flow["dport"] == port and flow["direction"] == "out"]
    assert sum(flow["marked"] for flow in flows) == 2
    assert sum(flow["wireguard"].get("4", 0) for flow in flows) == 1
    assert sum(flow["disco"] for flow in flows) == 1
    assert found["dropped"] == 0
    assert found["during"]["m"]["data"]["sent"] == 2


def test_a_capture_of_echoes_sees_icmp_of_both_families_and_nothing_else() -> None:
    pings = {"id": "p", "kind": "icmp", "targets": ["127.0.0.1", "::1"], "count": 1, "marker": "find-me"}
    other = {"id": "o", "kind": "send", "host": "127.0.0.1", "port": 9, "marker": "find-me"}
    found = data("capture", marker="find-me", echoes=True, during=[pings, other])
    marked = {flow["proto"] for flow in found["flows"] if flow["marked"]}
    assert {flow["proto"] for flow in found["flows"]} <= {"icmp", "icmp6"}
    assert marked == {"icmp", "icmp6"}


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        ({"url": "https://127.0.0.1:1", "api_key_file": "/nonexistent"}, "no_api_key"),
        ({"url": "https://127.0.0.1:1", "api_key": "s3cret"}, "no_headscale"),
        ({"url": "file:///etc/passwd", "api_key": "s3cret"}, "bad_url"),
    ],
)
def test_a_server_that_cannot_be_asked(ask: dict[str, str], kind: str) -> None:
    found = look("headscale", **ask)
    assert found["error"]["type"] == kind
    assert "s3cret" not in json.dumps(found)
