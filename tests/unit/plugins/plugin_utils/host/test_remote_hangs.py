# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host whose Python hangs, and a name with an address that nobody serves: neither holds a story up."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import web
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
