# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that bends HTTP: one clear error in time and in bounded memory, of the API client and of the probe."""

from __future__ import annotations

import gzip
import json
import resource
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import HeadscaleError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import call as host_call
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import Unseen, read_json
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import observe_all
from hostile_server import answer, hostile_server

if TYPE_CHECKING:
    from hostile_server import Conduct

KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NODES = b'{"nodes":[]}'
# For what never ends, and for what ends at once, also on a busy machine.
_TIME_S, _PATIENCE_S = 2.0, 15.0
_HTTP = "does not speak HTTP as expected"
_OTHER = "is not the address of a Headscale API"
_LATE = "did not answer within 2 s"


def _said(content: bytes) -> Conduct:
    """Answer with these bytes and close."""
    return lambda client, _request: client.sendall(content)


def _on_and_on(start: bytes, unit: bytes) -> Conduct:
    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(start)
        while True:
            client.sendall(unit * 2000)

    return conduct


def _api(conduct: Conduct, *, timeout: float = _PATIENCE_S) -> Any:
    with hostile_server(conduct) as server:
        return HeadscaleAPI(url=server.url, api_key=KEY, timeout=timeout).list_nodes()


def _probed(conduct: Conduct, *, timeout: float = _PATIENCE_S) -> tuple[Any, list[dict[str, Any]]]:
    """Return what the probe makes of the API, and of a page and an upgrade."""
    before = {*threading.enumerate()}
    with hostile_server(conduct) as server:
        pages = [{"url": server.url}, {"url": f"{server.url}/derp", "upgrade": "DERP"}]
        asked = [
            {"id": "api", "kind": "headscale", "url": server.url, "api_key": KEY},
            {"id": "pages", "kind": "http", "targets": pages, "try_timeout_s": timeout},
        ]
        found = observe_all(asked, time.monotonic() + timeout)
    # What was late goes on until the server has ended, and its memory counts as well.
    for thread in {*threading.enumerate()} - before:
        thread.join(_PATIENCE_S)
    return found["api"], found["pages"]["data"]


_BENT: dict[str, tuple[Conduct, str]] = {
    "interim answers": (_on_and_on(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), _LATE),
    "early hints": (_on_and_on(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), _OTHER),
    "unwanted upgrade": (_said(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), _OTHER),
    "extensions of a chunk": (_on_and_on(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;", b"a=b;"), _HTTP),
    "tiny chunks": (_on_and_on(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), f"{_LATE}|{_HTTP}"),
    "negative chunk": (_said(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}"), f"{_HTTP}|{_OTHER}"),
    "huge chunk": (_said(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n{}"), f"{_HTTP}|{_OTHER}"),
    "folded headers": (_on_and_on(HEAD + b"X: a\r\n", b" b\r\n"), _HTTP),
    "many headers": (_said(HEAD + b"X: a\r\n" * 1000 + b"\r\n" + NODES), _HTTP),
    "two lengths": (_said(HEAD + b"Content-Length: 2\r\nContent-Length: 12\r\n\r\n" + NODES), "more than one length"),
    "list of lengths": (_said(HEAD + b"Content-Length: 12, 2\r\n\r\n" + NODES), "more than one length"),
    "length of chunks": (
        _said(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nc\r\n" + NODES + b"\r\n0\r\n\r\n"),
        "more than one length",
    ),
    "negative length": (_said(HEAD + b"Content-Length: -1\r\n\r\n" + NODES), "not a number"),
    "length of other digits": (_said(HEAD + b"Content-Length: \xb2\r\n\r\n" + NODES), "not a number"),
    "length of many digits": (_said(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + NODES), "not a number"),
    "cut": (_said(HEAD + b"Content-Length: 13\r\n\r\n" + NODES), "ended before its end"),
    "unknown coding": (_said(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\nc\r\n" + NODES), "Transfer-Encoding"),
    "not gzip": (_said(HEAD + b"Content-Encoding: gzip\r\n\r\n" + NODES), f"{_HTTP} .*gzip"),
    "cut gzip": (_said(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(NODES)[:-9]), _HTTP),
    "damaged gzip": (_said(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(NODES)[:10] + b"\xff" * 40), _HTTP),
    "settings of HTTP/2": (_on_and_on(b"", b"\0\0\0\4\0\0\0\0\0"), _HTTP),
    "preface of HTTP/2": (_said(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), _HTTP),
    "answer of HTTP/2": (_said(b"HTTP/2.0 200 OK\r\n\r\n" + NODES), _HTTP),
    "another protocol": (_said(b"ICY 200 OK\r\n\r\n" + NODES), _HTTP),
    "no status": (_said(b"HTTP/1.1 000 x\r\n\r\n" + NODES), _HTTP),
    "reset": (
        lambda client, _request: client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
        "cannot be reached",
    ),
    "number without end": (_said(HEAD + b'\r\n{"nodes":[{"id":' + b"9" * 1_000_000 + b"}]}"), _OTHER),
}
# What the API client refuses as ambiguous is one page to the probe, which asks in HTTP/1.0 and reads until the end.
_NO_PAGE = (
    "folded headers",
    "settings of HTTP/2",
    "preface of HTTP/2",
    "answer of HTTP/2",
    "another protocol",
    "reset",
)


@pytest.mark.parametrize("name", _BENT)
def test_bent_http_is_one_error(name: str) -> None:
    conduct, said = _BENT[name]
    timeout = _TIME_S if _LATE in said else _PATIENCE_S
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(HeadscaleError, match=said) as refused:
        _api(conduct, timeout=timeout)
    assert len(str(refused.value)) < 500
    assert str(refused.value).isprintable()
    api, pages = _probed(conduct, timeout=timeout)
    assert time.monotonic() - began < 2 * timeout + 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    assert [page["outcome"] for page in pages if page["outcome"] == "broken"] == []
    if name in _NO_PAGE:
        assert {page["outcome"] for page in pages} <= {"bad_response", "reset"}, pages
    if not api["ok"]:
        assert api["error"]["type"] in ("no_headscale", "refused", "bad_response", "deadline")
        assert len(api["error"]["message"]) <= 1000
        assert api["error"]["message"].strip() == api["error"]["message"]


@pytest.mark.parametrize("name", ["two lengths", "length of chunks"])
def test_a_host_that_asks_refuses_an_ambiguous_answer(name: str) -> None:
    api, _pages = _probed(_BENT[name][0])
    assert "more than one length" in api["error"]["message"]
    with hostile_server(_BENT[name][0]) as server:
        request = {"url": server.url, "method": "GET", "headers": {}, "timeout": 5.0, "largest": 1_000_000}
        assert host_call._ask(request, KEY) == {"problem": "the answer states more than one length"}


@pytest.mark.parametrize("lengths", [b"12", b"12, 12", b"12\r\nContent-Length: 12"])
def test_an_answer_with_one_length_is_read(lengths: bytes) -> None:
    assert _api(_said(HEAD + b"X: a\r\n b\r\nContent-Length: " + lengths + b"\r\n\r\n" + NODES)) == []


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359"]
)
def test_a_clock_at_the_end_of_time_is_none(date: str) -> None:
    document = json.dumps({"nodes": [{"id": "1", "name": "a", "expiry": "2027-01-01T00:00:00Z"}]})
    (node,) = _api(answer(document, headers=f"Date: {date}\r\n"))
    assert node["expiry"] == "2027-01-01T00:00:00Z"


def test_the_head_of_an_upgrade_may_come_in_pieces() -> None:
    def conduct(client: socket.socket, _request: bytes) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in (b"HTTP/1.1 101 Switch", b"ing Protocols\r\nUpgrade: DERP\r\n", b"\r\nDERP"):
            client.sendall(part)
            time.sleep(0.2)

    _api_answer, pages = _probed(conduct)
    assert (pages[1]["outcome"], pages[1]["status"], pages[1]["headers"]) == ("answered", 101, {"upgrade": "DERP"})


def test_the_head_of_an_upgrade_is_not_read_without_end() -> None:
    _api_answer, pages = _probed(_on_and_on(b"HTTP/1.1 101 Switching Protocols\r\n", b"X: y\r\n"))
    assert pages[1]["outcome"] == "bad_response"


@pytest.mark.parametrize("unit", [b"[],", b'{"a":1},', b"1,"])
def test_an_answer_of_too_many_values_is_not_parsed(unit: bytes) -> None:
    body = b"[" + unit * 3_000_000 + b"1]"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unseen, match="more than 2000000 values"):
        read_json(body)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
