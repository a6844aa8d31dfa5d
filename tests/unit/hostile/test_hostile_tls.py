# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A control server that abuses TLS: requests of the API client and of the probe end in time, and so do their connections."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _http
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import HeadscaleError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import observe_all
from ansible_site import COLLECTIONS
from hostile_tls import (
    HELLO_REQUESTS,
    Certificate,
    after_handshake,
    another_protocol,
    certify,
    dripping,
    inside,
    raw_server,
    without_end,
)

KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
_TIME_S = 2.0
# For what ends at once, also on a busy machine.
_PATIENCE_S = 15.0
_NODES = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{"nodes":[]}'
_SETTINGS = b"\0\0\x06\4\0\0\0\0\0\0\3\0\0\0\x64"

# What the server does, from its certificate and the list in which it counts its messages; what the API client and the
# probe's page must say of it.
_ATTACKS: dict[str, tuple[Callable[[Certificate, list[int]], Any], str, tuple[str, ...]]] = {
    "requests during the handshake": (lambda _certificate, _sent: without_end(HELLO_REQUESTS), "within 2 s", ("timeout",)),
    "tickets": (lambda certificate, sent: after_handshake(certificate, "tickets", sent), "within 2 s", ("timeout",)),
    "keys": (lambda certificate, sent: after_handshake(certificate, "keys", sent), "within 2 s", ("timeout",)),
    "renegotiation": (
        lambda certificate, sent: after_handshake(certificate, "renegotiation", sent), "within 2 s", ("timeout",)
    ),
    "slow handshake": (lambda certificate, _sent: dripping(certificate, every_s=0.05), "within 2 s", ("timeout",)),
    "plain text": (lambda _certificate, _sent: without_end(b"HTTP/1.1 200 OK\r\n\r\n"), "does not speak TLS", ("handshake",)),
    "HTTP/2": (
        lambda certificate, _sent: another_protocol(certificate, b"\2h2"[1:], _SETTINGS),
        r"within 2 s|does not speak (TLS|HTTP)", ("timeout", "bad_response", "handshake"),
    ),
    "closed": (lambda certificate, _sent: inside(certificate, lambda _secure: None), "cannot be reached|HTTP", ("bad_response", "broken", "reset")),
}  # fmt: skip


@pytest.mark.parametrize("name", _ATTACKS)
def test_no_message_of_tls_keeps_a_request_going(name: str, tmp_path: Path) -> None:
    attack, said, outcomes = _ATTACKS[name]
    timeout = _TIME_S if "within" in said else _PATIENCE_S
    sent: list[int] = []
    certificate = certify(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raw_server(attack(certificate, sent)) as url:
        began = time.monotonic()
        with pytest.raises(HeadscaleError, match=said) as refused:
            HeadscaleAPI(url=url, api_key=KEY, timeout=timeout, ca_path=str(certificate.ca_path)).list_nodes()
        assert time.monotonic() - began < timeout + 10
        assert len(str(refused.value)) < 400
        for thread in threading.enumerate():
            if isinstance(thread, _http._Request):
                thread.join(10)
                assert not thread.is_alive(), "the abandoned request goes on"
        page = {"url": f"{url}/health", "ca_file": str(certificate.ca_path)}
        asked = [
            {"id": "pages", "kind": "http", "targets": [page, {**page, "upgrade": "DERP"}], "try_timeout_s": timeout},
            {
                "id": "api",
                "kind": "headscale",
                "url": url,
                "api_key": KEY,
                "ca_file": page["ca_file"],
                "timeout_s": timeout,
            },
        ]
        began = time.monotonic()
        found = observe_all(asked, began + 30)
        assert time.monotonic() - began < timeout + 10, "the page is waited for until the deadline of the whole probe"
    assert [row["outcome"] in outcomes for row in found["pages"]["data"]] == [True, True], found["pages"]
    assert found["api"]["error"]["type"] in ("no_headscale", "deadline")
    assert KEY[:30] not in str(found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    if name in ("tickets", "keys", "renegotiation"):
        assert max(sent) > 100, "the server has not sent what this is about"


def test_a_large_chain_of_certificates_is_refused(tmp_path: Path) -> None:
    certificate = certify(tmp_path, more=300)
    with raw_server(inside(certificate, lambda secure: secure.sendall(_NODES % 12))) as url:
        with pytest.raises(HeadscaleError, match="does not speak TLS as expected"):
            HeadscaleAPI(url=url, api_key=KEY, timeout=20, ca_path=str(certificate.ca_path)).list_nodes()
        asked = {"id": "page", "kind": "http", "targets": [{"url": url, "ca_file": str(certificate.ca_path)}]}
        (row,) = observe_all([asked], time.monotonic() + 20)["page"]["data"]
    assert row["outcome"] == "handshake"


@pytest.mark.parametrize("length", [12, 13])
def test_an_end_without_a_word_is_told_from_a_cut(length: int, tmp_path: Path) -> None:
    def end(secure: Any) -> None:
        secure.sendall(_NODES % length)
        # Without close_notify, as a program that was killed ends, or as an attacker on the way cuts.
        socket.socket.shutdown(secure, socket.SHUT_RDWR)

    certificate = certify(tmp_path)
    with raw_server(inside(certificate, end)) as url:
        server = HeadscaleAPI(url=url, api_key=KEY, timeout=20, ca_path=str(certificate.ca_path))
        if length == 12:
            assert server.list_nodes() == []
        else:
            with pytest.raises(HeadscaleError, match="ended before its end"):
                server.list_nodes()


@pytest.mark.parametrize("program", ["init", "inventory"])
def test_programs_end_while_the_server_goes_on(program: str, tmp_path: Path) -> None:
    with raw_server(without_end(HELLO_REQUESTS)) as url:
        source = tmp_path / "headscale.yml"
        source.write_text(f"plugin: meshctl.headscale.headscale\nurl: {url}\ntimeout: 2\n", encoding="utf-8")
        commands = {
            "init": ["meshctl_headscale", "init", "--url", url, "--output", "-"],
            "inventory": ["ansible", "inventory", "-i", str(source), "--list"],
        }
        done = subprocess.run(
            [sys.executable, "-m", *commands[program]],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "HEADSCALE_API_KEY": KEY},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert "did not answer within" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
