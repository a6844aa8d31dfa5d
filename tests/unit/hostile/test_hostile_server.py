# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile server: each call of the API client ends in time, in bounded memory, with one sentence."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _http
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import (
    ApiError,
    BadAnswerError,
    BadInput,
    HeadscaleError,
    UnreachableError,
    WrongUrlError,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import call as host_call
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import observe_all
from ansible_site import COLLECTIONS
from hostile_server import answer, drip, flood, hostile_server, silence
from hypothesis import given
from hypothesis import strategies as st
from sample import examples

KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def call(conduct: Any, *, timeout: float = 1.0) -> Any:
    with hostile_server(conduct) as server:
        began = time.monotonic()
        try:
            return HeadscaleAPI(url=server.url, api_key=KEY, timeout=timeout).list_nodes()
        finally:
            assert time.monotonic() - began < timeout + 15


@pytest.mark.parametrize(
    "conduct",
    [
        silence,
        drip(),
        drip(b"HTTP/1.1 200 OK\r\nX: "),
        drip(HEAD + b"\r\n"),
        drip(HEAD + b"Content-Length: 1000\r\n\r\n"),
        drip(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}")[:10]),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["silence", "status", "header", "body", "length", "gzip", "chunked"],
)
def test_a_slow_answer_ends_at_the_deadline(conduct: Any) -> None:
    with pytest.raises(UnreachableError, match="did not answer within 1 s"):
        call(conduct)


@pytest.mark.parametrize(
    "conduct",
    [
        flood(HEAD + b"\r\n"),
        flood(HEAD + b"Content-Length: 99999999999\r\n\r\n"),
        answer(gzip.compress(b" " * 200_000_000, 1), headers="Content-Encoding: gzip\r\n"),
        answer("[" * 3_000_000),
        answer('{"nodes":[' + "[]," * 3_000_000 + "[]]}"),
        answer('{"nodes":[' + '{"a":1},' * 1_000_000 + "{}]}"),
        flood(b"HTTP/1.1 200 OK\r\nX: "),
        flood(b""),
    ],
    ids=["endless", "announced", "gzip-bomb", "deep", "many-lists", "many-objects", "header", "status"],
)
def test_a_large_answer_is_refused_in_bounded_memory(conduct: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HeadscaleError) as caught:
        call(conduct, timeout=10)
    assert len(str(caught.value)) < 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024


def _without_end(head: bytes, unit: bytes) -> Any:
    """Begin an answer, and go on with what http.client reads for as long as it comes."""

    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(head)
        while True:
            client.sendall(unit * 2000)

    return conduct


@pytest.mark.parametrize(
    "conduct",
    [
        _without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        _without_end(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"A: b\r\n"),
        _without_end(HEAD + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
        drip(HEAD + b"\r\n"),
    ],
    ids=["interim", "trailer", "gzip", "drip"],
)
def test_a_request_that_is_too_late_does_not_go_on(conduct: Any) -> None:
    with pytest.raises(HeadscaleError):
        call(conduct)
    for thread in threading.enumerate():
        if isinstance(thread, _http._Request):
            thread.join(20)
            assert not thread.is_alive()


_ACTS = "\x1b]0;x\x07\x9b31m\u202e"


@pytest.mark.parametrize(
    "conduct",
    [
        answer("", status="302 Found", headers=f"Location: http://{_ACTS}/\r\n"),
        answer(json.dumps({"message": _ACTS, "code": 13}), status="500 No"),
        answer("{}", status=f"500 No\r\nContent-Type: {_ACTS}"),
        answer("", status=f"{_ACTS}\r\nX: y"),
        lambda client, _request: client.sendall(f"{_ACTS}{'z' * 9000}\r\n\r\n".encode()),
    ],
    ids=["location", "message", "type", "status", "line"],
)
def test_an_error_acts_on_no_terminal(conduct: Any) -> None:
    with pytest.raises(HeadscaleError) as caught:
        call(conduct)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_ansible_prints_no_cause_of_an_error_raw(tmp_path: Path) -> None:
    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(f"{_ACTS}{'z' * 9000}\r\n\r\n".encode())

    with hostile_server(conduct) as server:
        file = tmp_path / "headscale.yml"
        file.write_text(f"plugin: meshctl.headscale.headscale\nurl: {server.url}\napi_key: {KEY}\n")
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "inventory", "-i", str(file), "--list"],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)},
            capture_output=True,
            text=True,
            check=False,
        )
    shown = done.stdout + done.stderr
    assert "does not speak HTTP as expected" in shown
    assert not re.search("[\x07\x1b\x9b\u202e]", shown)
    assert len(shown) < 6000


def test_a_long_refusal_is_cut_short() -> None:
    with pytest.raises(ApiError) as caught:
        call(answer(json.dumps({"message": "no " * 1_000_000}), status="500 No"), timeout=10)
    assert len(str(caught.value)) < 1200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_take_the_key_along(status: int) -> None:
    with hostile_server(answer("{}")) as thief:
        moved = answer("{}", status=f"{status} Moved", headers=f"Location: {thief.url}/api/v1/node\r\n")
        with pytest.raises(WrongUrlError, match="redirects"):
            call(moved)
        assert not thief.requests


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"nodes": {}},
        {"nodes": [None]},
        {"nodes": [{"id": "-1"}]},
        {"nodes": [{"id": "1", "name": ["x"]}]},
        {"nodes": [{"id": "1", "tags": "tag:x"}]},
        {"nodes": [{"id": "1", "user": "root"}]},
        {"nodes": [{"id": "1", "expiry": "tomorrow"}]},
        {"nodes": [{"id": "1", "ipAddresses": [{"a": 1}]}]},
    ],
)
def test_an_answer_of_another_shape_is_one_sentence(document: Any) -> None:
    with pytest.raises((BadAnswerError, WrongUrlError)):
        call(answer(json.dumps(document)), timeout=15)


def test_texts_that_no_file_can_hold_are_made_harmless() -> None:
    (node,) = call(answer('{"nodes":[{"id":"1","name":"a\\ud800b","tags":["\\udfff"]}]}'))
    assert (node["name"], node["tags"]) == ("a?b", ["?"])


@examples(40)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_and_no_traceback(content: bytes) -> None:
    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(content)

    with pytest.raises(HeadscaleError):
        call(conduct)


# -- the key in what a server says


_REPEATED = {
    "error": b'HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n{"message": "no: KEY"}',
    "not found": b'HTTP/1.1 404 No\r\nContent-Type: application/json\r\n\r\n{"message": "no: KEY"}',
    "page": b"HTTP/1.1 502 No\r\nContent-Type: text/html\r\n\r\n<pre>Authorization: Bearer KEY</pre>",
    "redirect": b"HTTP/1.1 302 No\r\nLocation: https://other.example/?KEY\r\n\r\n",
    "kind": b"HTTP/1.1 200 OK\r\nContent-Type: text/KEY\r\n\r\n",
    "status": b"KEY\r\n\r\n",
    "escapes": b'HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n{"message": "no: \\u0068REST"}',
    "escapes of a node": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"nodes": [{"id": "1", "name": "\\u0068REST"}, 7]}',
    "escapes of a time": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"nodes": [{"id": "1", "expiry": "\\u0068REST"}]}',
    "escapes of a name": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"\\u0068REST": 1, "\\u0068REST": 2}',
    "cut error": b'HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n{"message": "' + b"x" * 960 + b'KEY"}',
    "cut escapes": b'HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n{"message": "'
    + b"x" * 960
    + b'\\u0068REST"}',
    "cut of the probe": b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 460 + b"KEY",
    "cut status": b"x" * 270 + b"KEY\r\n\r\n",
    "cut redirect": b"HTTP/1.1 302 No\r\nLocation: https://other.example/" + b"x" * 960 + b"KEY\r\n\r\n",
    "node": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"nodes": [{"id": "1", "name": "KEY"}, 7]}',
}


@pytest.mark.parametrize("content", list(_REPEATED.values()), ids=list(_REPEATED))
def test_a_key_that_a_server_repeats_is_hidden(content: bytes, tmp_path: Path) -> None:
    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(content.replace(b"KEY", KEY.encode()).replace(b"REST", KEY[1:].encode()))

    with pytest.raises(HeadscaleError) as refused:
        call(conduct)
    told: BaseException | None = refused.value
    while told is not None:
        assert KEY[:30] not in f"{told} {vars(told)}"
        told = told.__cause__
    (tmp_path / "key").write_text(KEY, encoding="utf-8")
    with hostile_server(conduct) as server:
        asked = {"id": "it", "kind": "headscale", "url": server.url, "api_key_file": str(tmp_path / "key")}
        assert KEY[:30] not in str(observe_all([asked], time.monotonic() + 5))
        request = {**asked, "method": "GET", "headers": {}, "timeout": 5.0, "largest": 4_000_000}
        with contextlib.suppress(http.client.HTTPException):  # its module is then left to explain it
            told = host_call.main(request)
            assert KEY[:30] not in str(told)
            assert KEY[1:30] not in str(told)


# -- the key in plain text


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("2002:808:808::1", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("::ffff:10.1.2.3", False),
        ("2002:a01:203::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_a_key_is_not_sent_in_plain_text_to_a_public_address(
    monkeypatch: pytest.MonkeyPatch, address: str, refused: bool
) -> None:
    def resolve(*_args: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]

    monkeypatch.setattr(_http.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(_http, "open_url", lambda *_args, **_options: pytest.fail("a request was made"))
    if refused:
        with pytest.raises(BadInput, match="plain http"):
            HeadscaleAPI(url="http://headscale.example.com", api_key=KEY).list_nodes()
    else:
        _http.refuse_exposure("http://headscale.example.com")
    _http.refuse_exposure("https://headscale.example.com")


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "proxy.example:3128", "http://user:pass@proxy.example"])
def test_a_key_is_not_sent_in_plain_text_through_a_public_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    def resolve(host: str, port: int, **_options: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8" if host == "proxy.example" else "10.0.0.1", port))
        ]

    monkeypatch.setattr(_http.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(_http, "open_url", lambda *_args, **_options: pytest.fail("a request was made"))
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(BadInput, match="through a proxy with a public address"):
        HeadscaleAPI(url="http://headscale.example.com", api_key=KEY).list_nodes()
    # TLS hides the key from the proxy.
    _http.refuse_exposure("https://headscale.example.com", use_proxy=True)
    _http.refuse_exposure("http://headscale.example.com", use_proxy=False)
    monkeypatch.setenv("no_proxy", "headscale.example.com")
    _http.refuse_exposure("http://headscale.example.com:8080", use_proxy=True)


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\nb", "a b", "", "a\x00b"])
def test_a_key_cannot_add_a_header(key: str) -> None:
    with pytest.raises(BadInput, match="API key"):
        HeadscaleAPI(url="http://127.0.0.1:1", api_key=key)
