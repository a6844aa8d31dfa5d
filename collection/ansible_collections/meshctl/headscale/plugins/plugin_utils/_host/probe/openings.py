# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open many connections to a peer that `serve`s, or send it many datagrams, one after another, from source ports chosen at random.

A connection that opened only because its first packet was sent again counts as lost, and so does a datagram of which only a
later copy was answered; a late answer is none. What was in vain until the end was `never` answered, and counts as lost as well.
"""

from __future__ import annotations

import errno
import json
import random
import select
import socket
import time

from .tcp import abort_on_close, kernel_of
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._types import Dict, Json, List, Tuple

_LOWEST_SOURCE = 1024
_REFUSED = ("refused", "reset", "port-unreachable", "prohibited")
# The kernel sends the first packet of a connection again after this long.
_AGAIN_S = 1.0


def openings(host: str, ports: List, count: int, pause: float, until: float) -> Dict:
    """Return, by port, how many of `count` connections opened at once, opened late or not at all, or were refused."""
    return _one_by_one(ports, count, pause, until, lambda port, row: _begin(host, port, row), select.POLLOUT, _settle)


def replies(host: str, ports: List, datagram: bytes, count: int, pause: float, until: float) -> Dict:  # noqa: PLR0913, PLR0917
    """Return, by port, of how many of `count` datagrams the first copy was answered, a later one or none, or how many were refused."""
    return _one_by_one(
        ports, count, pause, until, lambda port, row: _send(host, port, datagram, row), select.POLLIN,
        lambda one: _answered(one, len(datagram)),
        # A longer one, so that the reply tells which of them it is about.
        lambda one: _send_again(one, datagram + b"."),
    )  # fmt: skip


def _one_by_one(  # noqa: PLR0913, PLR0917
    ports: List, count: int, pause: float, until: float, begin: Callable, event: int, settle: Callable, again: Callable | None = None
) -> Dict:  # fmt: skip
    """Begin something `count` times, at the ports in turn, and settle each when its socket is ready; return a row for each port."""
    found = {str(port): _row() for port in ports}
    waiting: Dict = {}
    poll = select.poll()
    begun, due = 0, time.monotonic()
    repeated = due + _AGAIN_S if again else until
    try:
        while (begun < count or waiting) and time.monotonic() < until:
            now = time.monotonic()
            if begun < count and now >= due:
                port = ports[begun % len(ports)]
                begun, due = begun + 1, due + pause
                one = begin(port, found[str(port)])
                if one:
                    waiting[one[0].fileno()] = one
                    poll.register(one[0], event)
            elif again and begun == count and now >= repeated:
                repeated = now + _AGAIN_S
                for one in waiting.values():
                    again(one)
            wake = due if begun < count else min(repeated, until)
            for number, _event in poll.poll(max(1, int((wake - time.monotonic()) * 1000))):
                poll.unregister(number)
                settle(waiting.pop(number))
        for one in waiting.values():
            _note(one, "never")
    finally:
        for one in waiting.values():
            one[0].close()
    return found


def _row() -> Dict:
    return {"tried": 0, "opened": 0, "lost": 0, "never": 0, "refused": 0, "lost_from": []}


def _send(host: str, port: int, datagram: bytes, row: Dict) -> List | None:
    """Send a datagram; return the socket, its row, its source port and whether it was sent again, unless that fails already."""
    sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
    sock.setblocking(False)
    one = [sock, row, _from_any_port(sock), False]
    row["tried"] += 1
    try:
        sock.connect((host, port))
        sock.send(datagram)
    except OSError as exc:
        _note(one, "refused" if outcome_of(exc.errno) in _REFUSED else "never")
        sock.close()
        return None
    return one


def _send_again(one: List, datagram: bytes) -> None:
    one[3] = True
    try:
        one[0].send(datagram)
    except OSError:
        return


def _answered(one: List, length: int) -> None:
    try:
        reply = one[0].recv(65535)
        _note(one, "lost" if one[3] and _bytes(reply) != length else "opened")
    except OSError as exc:
        _note(one, "refused" if outcome_of(exc.errno) in _REFUSED else "never")
    one[0].close()


def _bytes(reply: bytes) -> Json:
    """Return the length of the datagram that a reply is about, None if it is no such reply."""
    try:
        return json.loads(reply).get("bytes")
    except (ValueError, AttributeError):
        return None


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
        _note(one, "refused" if outcome_of(error) in _REFUSED else "never")
    else:
        _note(one, "lost" if kernel_of(sock).get("retransmitted") else "opened")
        # Leave no connection behind that the kernel would remember for a minute.
        abort_on_close(sock)
    sock.close()


def _note(one: Tuple | List, what: str) -> None:
    row, source = one[1], one[2]
    row[what] += 1
    if what == "never":
        row["lost"] += 1
    if what in ("lost", "never"):
        row["lost_from"].append(source)
