# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a detached process for results, through a socket that has no file.

It answers only its own user and root, and only who knows its token.
"""

from __future__ import annotations

import binascii
import json
import os
import socket
import struct

from .base import Unseen, left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Reply

LONGEST_S = 900.0
_LONGEST_REQUEST = 64 << 10
_LONGEST_ANSWER = 4 << 20
_MOST_WAITING = 16


def seconds_of(ask: Dict) -> float:
    """Return the seconds after which the process ends, or refuse them."""
    seconds = float(ask.get("seconds") or 0)
    if not 0 < seconds <= LONGEST_S:
        raise Unseen("bad_request", f"seconds is {seconds!r}: it must be above 0 and at most {LONGEST_S:g}")
    return seconds


def new_token() -> str:
    return binascii.hexlify(os.urandom(16)).decode()


class Door:
    """Where a detached process is asked: a socket in the kernel's own name space, with a random name."""

    def __init__(self) -> None:
        self.name, self.token = new_token(), new_token()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind("\0meshctl-" + self.name)
        self.sock.listen(_MOST_WAITING)
        self.sock.setblocking(False)
        self._waiting: List = []

    def take(self) -> None:
        """Read the requests that have arrived."""
        while True:
            try:
                caller, _nobody = self.sock.accept()
            except OSError:
                return
            request = _request(caller, self.token) if len(self._waiting) < _MOST_WAITING else None
            if request is None:
                caller.close()
            else:
                self._waiting.append((caller, request))

    @property
    def asked(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._waiting)

    def answer(self, reply: Reply) -> None:
        """Answer each request for which `reply(request)` has data by now."""
        for entry in list(self._waiting):
            caller, request = entry
            data = reply(request)
            if data is None:
                continue
            self._waiting.remove(entry)
            try:
                with caller:
                    caller.settimeout(2.0)
                    caller.sendall(json.dumps(data).encode())
            except OSError:
                continue


def _request(caller: socket.socket, token: str) -> Dict | None:
    try:
        if _user(caller) not in (0, os.geteuid()):
            return None
        caller.settimeout(0.2)
        data = b""
        while b"\n" not in data and len(data) < _LONGEST_REQUEST:
            more = caller.recv(_LONGEST_REQUEST)
            if not more:
                return None
            data += more
        request = json.loads(data)
    except (OSError, ValueError):
        return None
    return request if isinstance(request, dict) and request.get("token") == token else None


def _user(sock: socket.socket) -> int:
    """Return the user of the process at the other end."""
    return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


def call(ask: Dict, until: float) -> Json:
    """Ask a detached process by `name` and `token`; return its answer."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with sock:
        try:
            sock.settimeout(left(until))
            sock.connect("\0meshctl-" + str(ask.get("name")))
            if _user(sock) not in (0, os.geteuid()):
                raise Unseen("gone", "another user's process answers in place of the one that was started")
            request = {key: ask[key] for key in ("token", "hold_s", "drop", "nonces") if key in ask}
            sock.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(_all(sock, until))
        except socket.timeout:
            raise Unseen("deadline", "the process on the host did not answer in time") from None
        except (OSError, ValueError):
            raise Unseen("gone", "the process on the host has ended, or was killed") from None


def _all(sock: socket.socket, until: float) -> bytes:
    data = b""
    while len(data) < _LONGEST_ANSWER:
        sock.settimeout(left(until))
        more = sock.recv(1 << 20)
        if not more:
            return data
        data += more
    raise ValueError("too long")
