# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count the packets of one connection on the mesh interface, in a separate process that reports them afterwards."""

from __future__ import annotations

import binascii
import json
import os
import select
import socket
import struct
import time

from .base import Unseen, left
from .detached import detach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, Tuple

LONGEST_S = 120.0
_ETH_P_ALL, _PACKET_OUTGOING = 3, 4
_NUMBERS = {"tcp": (6,), "udp": (17,), "icmp": (1, 58)}
_ICMP = (1, 58)
_ECHOES = {(1, 8): "request", (1, 0): "reply", (58, 128): "request", (58, 129): "reply"}
_UNREACHABLE = ((1, 3), (58, 1))
_MOST_FLOWS = 200
# Packets that tailscaled still has when the answer is asked for.
_QUIET_S, _LONGEST_QUIET_S = 0.2, 1.0


def watch(ask: Dict, _until: float) -> Json:
    """Start to count the packets of a protocol and port between this host and `peers`; return the token of `watched`."""
    seconds = float(ask.get("seconds") or 0)
    if not 0 < seconds <= LONGEST_S:
        raise Unseen("bad_request", f"seconds is {seconds!r}: it must be above 0 and at most {LONGEST_S:g}")
    token = binascii.hexlify(os.urandom(16)).decode()
    try:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except PermissionError as exc:
        raise Unseen("not_permitted", "this user may not capture packets: use become: true") from exc
    with packets, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            packets.bind((str(ask["interface"]), _ETH_P_ALL))
        except OSError as exc:
            raise Unseen("no_interface", "{}: {}".format(ask["interface"], exc.strerror)) from exc
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        # A name in the kernel: it leaves no file, and ends with the process.
        door.bind(_name(token))
        door.listen(1)
        watcher = _Watcher(ask)
        detach(lambda: watcher.run(packets, door), {packets.fileno(), door.fileno()}, seconds)
    return {"token": token, "interface": ask["interface"]}


def watched(ask: Dict, until: float) -> Json:
    """Return what `watch` counted, and end it."""
    found = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(left(until))
        try:
            sock.connect(_name(str(ask["token"])))
            while True:
                more = sock.recv(65536)
                if not more:
                    break
                found += more
        except OSError as exc:
            raise Unseen("not_watched", f"the packets were not watched to the end: {exc}") from exc
    return json.loads(found)


def _name(token: str) -> str:
    return "\0meshctl-watch-" + token


class _Watcher:
    def __init__(self, ask: Dict) -> None:
        self._peers = {_packed(address) for address in ask.get("peers") or []}
        self._numbers = _NUMBERS[str(ask["protocol"])]
        self._port = int(ask.get("port") or 0)
        self._flows: Dict = {}

    def run(self, packets: socket.socket, door: socket.socket) -> None:
        """Count until asked for the result."""
        packets.setblocking(False)
        ready = select.poll()
        ready.register(packets, select.POLLIN)
        ready.register(door, select.POLLIN)
        while not any(number == door.fileno() for number, _event in ready.poll()):
            self._take(packets)
        ready.unregister(door)
        connection = door.accept()[0]
        until = time.monotonic() + _LONGEST_QUIET_S
        while time.monotonic() < until and ready.poll(int(_QUIET_S * 1000)):
            self._take(packets)
        with connection:
            connection.settimeout(5.0)
            connection.sendall(json.dumps(list(self._flows.values())).encode())

    def _take(self, packets: socket.socket) -> None:
        try:
            packet, where = packets.recvfrom(65535)
        except OSError:
            return
        found = self._read(packet)
        if found is None:
            return
        key = ("out" if where[2] == _PACKET_OUTGOING else "in", *found)
        if key not in self._flows:
            if len(self._flows) >= _MOST_FLOWS:
                return
            names = ("direction", "src", "dst", "kind")
            self._flows[key] = dict(zip(names, key), packets=0)
        self._flows[key]["packets"] += 1

    def _read(self, packet: bytes) -> Tuple | None:
        """Return source, target and kind of a packet that is part of what is watched."""
        if len(packet) < 20:
            return None
        if packet[0] >> 4 == 4:
            number, head, src, dst = packet[9], (packet[0] & 15) * 4, packet[12:16], packet[16:20]
        elif packet[0] >> 4 == 6 and len(packet) >= 40:
            number, head, src, dst = packet[6], 40, packet[8:24], packet[24:40]
        else:
            return None
        if src not in self._peers and dst not in self._peers:
            return None
        kind = self._kind(number, packet[head:])
        return (_written(src), _written(dst), kind) if kind else None

    def _kind(self, number: int, body: bytes) -> str:
        if len(body) < 8:
            return ""
        if number in _ICMP and (number, body[0]) in _UNREACHABLE:
            return f"unreachable {body[1]}"
        if number not in self._numbers:
            return ""
        if number in _ICMP:
            return _ECHOES.get((number, body[0]), "")
        if self._port not in struct.unpack("!HH", body[:4]):
            return ""
        return "datagram" if number == 17 else _segment(body)


def _segment(body: bytes) -> str:
    """Return the part that a TCP segment plays."""
    flags = body[13] if len(body) > 13 else 0
    if flags & 4:
        return "reset"
    if flags & 2:
        return "syn-ack" if flags & 16 else "syn"
    return "data"


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _written(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)
