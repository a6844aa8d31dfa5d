# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listen for peers over TCP and UDP on given addresses, in a detached process.

A request over TCP is a line `meshctl TOKEN UP DOWN` and UP bytes. The reply is a line of JSON with what arrived, and DOWN
bytes. After a line `meshctl TOKEN stream` everything is returned as it arrives, until the peer closes the connection; after a
line `meshctl TOKEN counted` each block is, with the number of segments that were lost on the way back in its first bytes.
A request over UDP begins with the same line; its reply is as long as the request. Without the token there is no reply.

A request over UDP `meshctl TOKEN MS later ROUND` is answered at once, and again that many milliseconds later.

A request `meshctl TOKEN SINCE seen ADDRESS,...` asks which packets have come from these addresses since a moment, by the
clock in an earlier reply. Only where packets are captured is there an answer.

A request over TCP `meshctl TOKEN NONCE witness` asks which datagrams of the `knock` with this nonce have arrived.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
import zlib

from .arrivals import Arrivals, watching
from .base import left
from .binding import MOST_CONNECTIONS, bind, bind_more
from .detached import detach
from .door import Door, new_token, seconds_of
from .tcp import lost_of
from .witness import Witness, witnessing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

GREETING = b"meshctl "
BLOCK = bytes(range(256)) * 256
MOST_BYTES = 64 << 20
COUNTED_BYTES = 1024
# A late answer is sent several times, of which one is lost with any other packet.
LATE_COPIES = 5
_COPY_S = 0.1
_LATEST_S, _MOST_LATE = 120.0, 256
_LONGEST_LINE = 400
_IDLE_S = 5.0


def serve(ask: Dict, _until: float) -> Json:
    """Start to listen, and return token and ports; `seconds` later nothing listens any more."""
    seconds = seconds_of(ask)
    token, door = new_token(), Door()
    addresses = list(ask.get("addresses") or [])
    wanted = [int(port) for port in ask.get("ports") or []]
    ports, listeners = bind(addresses, wanted, every=bool(ask.get("every")))
    listeners += bind_more(ports, list(ask.get("ranges") or []))
    capture = watching(addresses) if ask.get("watch") else None
    witness = witnessing(addresses) if ask.get("witness") else None
    sockets = [*listeners, door.sock, *(sock for sock in (capture, witness) if sock)]
    try:
        server, until = _Server(token.encode(), door, capture, witness, addresses), time.monotonic() + seconds
        detach(lambda: server.run(listeners, until), {sock.fileno() for sock in sockets}, seconds)
    finally:
        for listener in sockets:
            listener.close()
    found = {"token": token, "ports": ports, "seconds": seconds, "end": {"name": door.name, "token": door.token}}
    return {**found, "witness": True} if witness else found


class _Open:
    """A connection whose request has not arrived, or whose small one is answered and which the client will close."""

    def __init__(self, connection: socket.socket, peer: Tuple, until: float) -> None:
        self.connection, self.peer, self.until = connection, peer, until
        self.data, self.answered = b"", False


class _Server:
    """Replies until the deadline."""

    def __init__(
        self, token: bytes, door: Door, capture: socket.socket | None, witness: socket.socket | None, addresses: List
    ) -> None:
        self._capture, self._witness = capture, witness
        self._knocks = Witness()
        self._arrivals = Arrivals(addresses)
        self._token = token
        self._door = door
        self._connections = 0
        self._ended = False
        # By the number of their sockets.
        self._open: Dict = {}
        # Late answers by peer and round: when the next copy is due, and how many were sent.
        self._late: Dict = {}

    def run(self, listeners: List, until: float) -> None:
        # A node may have dozens of listeners: `poll` would look at each, every time. No descriptor survives `detach`.
        self._ready = select.epoll()
        by_number = {listener.fileno(): listener for listener in listeners}
        for listener in listeners:
            listener.setblocking(False)
        captures = {sock.fileno() for sock in (self._capture, self._witness) if sock is not None}
        for number in (*by_number, self._door.sock.fileno(), *captures):
            self._ready.register(number, select.EPOLLIN)
        while time.monotonic() < until and not self._ended:
            late = [row["due"] for row in self._late.values() if row["copies"] < LATE_COPIES]
            wake = min([until, *late, *(one.until for one in self._open.values())])
            for number, _event in self._ready.poll(left(wake)):
                try:
                    if number in self._open:
                        self._read(self._open[number], until)
                    elif number in by_number:
                        self._take(by_number[number], until)
                    elif number in captures:
                        self._take_captured()
                    else:
                        self._door.take()
                        self._door.answer(self._end)
                except OSError:
                    continue
            self._send_late()
            self._close_idle()

    def _end(self, request: Dict) -> Dict:
        """End, and return which datagrams have arrived of the senders that the request names."""
        self._ended = True
        self._take_captured()
        nonces = [str(nonce) for nonce in request.get("nonces") or []]
        return {"ended": True, "noted": self._knocks.of_all(nonces) if self._witness is not None else None}

    def _take(self, listener: socket.socket, until: float) -> None:
        if listener.type == socket.SOCK_DGRAM:
            self._reply(listener)
            return
        connection, peer = listener.accept()
        if self._connections >= MOST_CONNECTIONS:
            connection.close()
            return
        self._connections += 1
        connection.setblocking(False)
        one = self._open[connection.fileno()] = _Open(connection, peer, min(until, time.monotonic() + _IDLE_S))
        self._ready.register(connection.fileno(), select.EPOLLIN)
        # A client sends its request with what completes the connection.
        self._read(one, until)

    def _read(self, one: _Open, until: float) -> None:
        """Read what has arrived of a request; answer a small one here, any other in a thread."""
        try:
            more = one.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        one.data += more
        if one.answered or not more:
            self._release(one)
            one.connection.close()
        elif b"\n" in one.data or len(one.data) >= _LONGEST_LINE:
            line, _newline, rest = one.data.partition(b"\n")
            if self._asked(line) == (0, 0):
                # The client ends the connection, which takes fewer packets.
                one.answered = True
                one.connection.sendall(_seen(one.connection, one.peer, len(rest), zlib.crc32(rest), 0))
                return
            self._release(one, thread=True)
            threading.Thread(
                target=self._converse, args=(one.connection, one.peer, one.data, until), daemon=True
            ).start()

    def _release(self, one: _Open, *, thread: bool = False) -> None:
        """Leave a connection to a thread, or give it up."""
        self._ready.unregister(one.connection.fileno())
        del self._open[one.connection.fileno()]
        self._connections -= not thread

    def _close_idle(self) -> None:
        now = time.monotonic()
        for one in [one for one in self._open.values() if one.until <= now]:
            self._release(one)
            one.connection.close()

    def _reply(self, listener: socket.socket) -> None:
        """Answer a datagram with one of the same length."""
        data, peer = listener.recvfrom(65535)
        line = data.partition(b"\n")[0]
        found = {"from": peer[0], "port": peer[1], "bytes": len(data), "crc": zlib.crc32(data), "clock": _clock()}
        found["at"] = listener.getsockname()[1]
        if (arrived := self._arrived(line)) is not None:
            found["arrived"] = arrived
        elif (later := self._later(line, listener, peer, len(data))) is not None:
            found.update(later)
        elif self._asked(line) is None:
            return
        listener.sendto(json.dumps(found).encode().ljust(len(data)), peer)

    def _later(self, line: bytes, listener: socket.socket, peer: Tuple, length: int) -> Dict | None:
        """Note when to answer again, and return how often that was done; None for another request."""
        words = line.split()
        if len(words) != 5 or words[0] + b" " != GREETING or words[1] != self._token or words[3] != b"later":
            return None
        if not (words[2].isdigit() and words[4].isdigit()) or len(words[2]) > 6 or len(words[4]) > 6:
            return None
        number, key = int(words[4]), (listener.fileno(), peer[:2])
        row = self._late.get(key)
        if (row is None and len(self._late) < _MOST_LATE) or (row is not None and row["round"] != number):
            due = time.monotonic() + min(_LATEST_S, int(words[2]) / 1000)
            row = self._late[key] = {"round": number, "due": due, "copies": 0, "to": (listener, peer), "bytes": length}
        return {"round": number, "copies": row["copies"] if row else 0}

    def _send_late(self) -> None:
        """Send the late answers that are due."""
        now = time.monotonic()
        for row in self._late.values():
            if row["copies"] < LATE_COPIES and row["due"] <= now:
                listener, peer = row["to"]
                row["copies"], row["due"] = row["copies"] + 1, now + _COPY_S
                try:
                    listener.sendto(
                        json.dumps({"round": row["round"], "late": True}).encode().ljust(row["bytes"]), peer
                    )
                except OSError:
                    continue

    def _converse(self, connection: socket.socket, peer: Tuple, data: bytes, until: float) -> None:
        try:
            with connection:
                connection.setblocking(True)
                connection.settimeout(max(0.1, min(_IDLE_S, until - time.monotonic())))
                line, _newline, data = data.partition(b"\n")
                if (kind := self._stream(line)) is not None:
                    (_return if kind == b"counted" else _echo)(connection, data, until)
                    return
                if (arrived := self._arrived(line)) is not None:
                    connection.sendall(json.dumps({"from": peer[0], "arrived": arrived}).encode() + b"\n")
                    return
                if (noted := self._witnessed(line)) is not None:
                    connection.sendall(json.dumps({"witness": noted}).encode() + b"\n")
                    return
                asked = self._asked(line)
                if asked is None:
                    return
                up, down = asked
                count, crc = _count(connection, data, up)
                connection.sendall(_seen(connection, peer, count, crc, down))
                send_blocks(connection, down)
        except OSError:
            return
        finally:
            self._connections -= 1

    def _take_captured(self) -> None:
        if self._capture is not None:
            self._arrivals.take(self._capture)
        if self._witness is not None:
            self._knocks.take(self._witness)

    def _witnessed(self, line: bytes) -> List | bool | None:
        """Return which datagrams have arrived, False if nothing is captured; None for another request."""
        words = line.split()
        if len(words) != 4 or words[0] + b" " != GREETING or words[1] != self._token or words[3] != b"witness":
            return None
        if self._witness is None:
            return False
        self._take_captured()
        return self._knocks.of(words[2].decode("ascii", "replace"))

    def _arrived(self, line: bytes) -> List | bool | None:
        """Return what has arrived, False if nothing is captured; None for a request that does not ask for it."""
        words = line.split()
        if len(words) != 5 or words[0] + b" " != GREETING or words[1] != self._token or words[3] != b"seen":
            return None
        if self._capture is None or not words[2].isdigit():
            return False
        # The packets that came before this request are in the capture by now, and not all of them are read.
        self._take_captured()
        return self._arrivals.since(int(words[2]) / 1000, words[4].decode("ascii", "replace").split(","))

    def _stream(self, line: bytes) -> bytes | None:
        """Return how what arrives is returned; None for another request."""
        return next(
            (kind for kind in (b"stream", b"counted") if line == b"%b%b %b" % (GREETING, self._token, kind)), None
        )

    def _asked(self, line: bytes) -> Tuple | None:
        """Return the lengths of both transfers, None for a request that is not ours."""
        words = line.split()
        if len(words) != 4 or words[0] + b" " != GREETING or words[1] != self._token:
            return None
        try:
            up, down = int(words[2]), int(words[3])
        except ValueError:
            return None
        return (up, down) if 0 <= up <= MOST_BYTES and 0 <= down <= MOST_BYTES else None


def _clock() -> int:
    return int(time.monotonic() * 1000)


def _seen(connection: socket.socket, peer: Tuple, count: int, crc: int, down: int) -> bytes:
    """Return the line of the reply that says what arrived."""
    seen = {"from": peer[0], "port": peer[1], "bytes": count, "crc": crc, "down_crc": crc_of(down)}
    seen["clock"], seen["at"] = _clock(), connection.getsockname()[1]
    return json.dumps(seen).encode() + b"\n"


def _echo(connection: socket.socket, data: bytes, until: float) -> None:
    """Return what arrives, until the peer closes the connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # No longer than the listener itself: a stream may be silent while its path is broken.
    connection.settimeout(max(0.1, until - time.monotonic()))
    connection.sendall(data)
    while True:
        data = connection.recv(65536)
        if not data:
            return
        connection.sendall(data)


def _return(connection: socket.socket, data: bytes, until: float) -> None:
    """Return blocks with the number of segments that were lost, until the peer closes the connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(max(0.1, until - time.monotonic()))
    while True:
        while len(data) < COUNTED_BYTES:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        block, data = data[:COUNTED_BYTES], data[COUNTED_BYTES:]
        connection.sendall(struct.pack("!q", lost_of(connection)) + block[8:])


def _count(connection: socket.socket, data: bytes, wanted: int) -> Tuple:
    """Read a transfer; return its length and checksum."""
    count, crc = len(data), zlib.crc32(data)
    while count < wanted:
        more = connection.recv(65536)
        if not more:
            break
        count, crc = count + len(more), zlib.crc32(more, crc)
    return count, crc


def send_blocks(connection: socket.socket, length: int) -> None:
    """Send `length` bytes."""
    while length > 0:
        connection.sendall(BLOCK[:length])
        length -= len(BLOCK)


def crc_of(length: int) -> int:
    """Return the checksum of what `send_blocks` sends."""
    crc = 0
    while length > 0:
        crc = zlib.crc32(BLOCK[:length], crc)
        length -= len(BLOCK)
    return crc
