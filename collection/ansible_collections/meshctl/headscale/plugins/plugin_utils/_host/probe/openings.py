# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open many connections to a peer that `serve`s, one after another, from source ports chosen at random.

A connection that opened only because its first packet was sent again counts as lost.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import struct
import time

from .tcp import kernel_of
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List, Tuple

_PAUSE_S = 0.01
_LOWEST_SOURCE = 1024
_ABORT = struct.pack("ii", 1, 0)


def openings(host: str, ports: List, count: int, until: float) -> Dict:
    """Return, by port, how many of `count` connections opened at once, opened late or not at all, or were refused."""
    found: Dict = {str(port): {"tried": 0, "opened": 0, "lost": 0, "refused": 0, "lost_from": []} for port in ports}
    waiting: Dict = {}
    poll = select.poll()
    begun, due = 0, time.monotonic()
    try:
        while (begun < count or waiting) and time.monotonic() < until:
            if begun < count and time.monotonic() >= due:
                port = ports[begun % len(ports)]
                begun, due = begun + 1, due + _PAUSE_S
                one = _begin(host, port, found[str(port)])
                if one:
                    waiting[one[0].fileno()] = one
                    poll.register(one[0], select.POLLOUT)
            wake = due if begun < count else until
            for number, _event in poll.poll(max(1, int((wake - time.monotonic()) * 1000))):
                poll.unregister(number)
                _settle(waiting.pop(number))
        for one in waiting.values():
            _note(one, "lost")
    finally:
        for sock, _row, _source in waiting.values():
            sock.close()
    return found


def _begin(host: str, port: int, row: Dict) -> Tuple | None:
    """Begin to connect; return the socket, its row and its source port, unless that fails already."""
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setblocking(False)
    one = (sock, row, _from_any_port(sock))
    row["tried"] += 1
    number = sock.connect_ex((host, port))
    if number == errno.EINPROGRESS:
        return one
    _settle(one, number)
    return None


def _from_any_port(sock: socket.socket) -> int:
    """Bind a socket to a source port; the kernel itself chooses from a part of them only."""
    for _attempt in range(5):
        source = random.randint(_LOWEST_SOURCE, 65535)  # noqa: S311 - not a secret
        try:
            sock.bind(("", source))
        except OSError:
            continue
        return source
    return 0


def _settle(one: Tuple, number: int | None = None) -> None:
    sock = one[0]
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if number is None else number
    if error:
        _note(one, "refused" if outcome_of(error) in ("refused", "reset") else "lost")
    else:
        _note(one, "lost" if kernel_of(sock).get("retransmitted") else "opened")
        # Leave no connection behind that the kernel would remember for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    sock.close()


def _note(one: Tuple, what: str) -> None:
    _sock, row, source = one
    row[what] += 1
    if what == "lost":
        row["lost_from"].append(source)
