# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Minimal HTTP, because importing http.client takes longer than the rest of the probe."""

from __future__ import annotations

import socket
import time

from .base import Unseen, left, ms_since

LARGEST_HEAD = 16384

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Tuple


def request_of(method: str, path: str, headers: Dict) -> bytes:
    """Return an HTTP/1.0 request, whose answer is never chunked."""
    lines = [f"{method} {path} HTTP/1.0", *(f"{name}: {value}" for name, value in headers.items())]
    if method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def exchange(sock: socket.socket, request: bytes, until: float, limit: int) -> Tuple:
    """Send a request and return its answer: status, headers, body and the milliseconds to the first byte.

    It is read up to a limit in bytes, which is met when the connection ends; without one, only the head is read.
    """
    began = time.monotonic()
    sock.settimeout(left(until))
    sock.sendall(request)
    raw, first = bytearray(), 0.0
    while len(raw) < (limit or LARGEST_HEAD) and (limit or b"\r\n\r\n" not in raw):
        sock.settimeout(left(until))
        chunk = sock.recv(65536)
        if not chunk:
            break
        first = first or ms_since(began)
        raw += chunk
        if time.monotonic() >= until:
            raise socket.timeout("timed out")
    head, found, body = bytes(raw).partition(b"\r\n\r\n")
    first_line = head.split(b"\r\n", 1)[0].decode("latin-1").split(None, 2)
    if (
        not found
        or not head.startswith(b"HTTP/1.")
        or len(first_line) < 2
        or len(first_line[1]) != 3
        or not first_line[1].isdecimal()
    ):
        raise Unseen("bad_response", f"the answer is not HTTP: {bytes(raw[:80])!r}")
    pairs = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:]]
    return int(first_line[1]), {name.strip().lower(): value.strip() for name, _c, value in pairs}, body, first
