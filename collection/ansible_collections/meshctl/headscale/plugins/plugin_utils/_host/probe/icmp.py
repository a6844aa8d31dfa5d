# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ping many targets at once, over IPv4 and IPv6, with the kernel's network stack."""

from __future__ import annotations

import os
import select
import socket
import struct
import time

from .base import Unseen, ms_since
from .packets import attach
from .wire import IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, family_of, outcome_of, refusal_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

_SO_TIMESTAMPNS = 35
_SHORTEST_PAUSE_S = 0.002
_COUNT, _INTERVAL_S = 3, 0.2
# With `until_answered`, a target that is silent is asked again after so long.
_AGAIN_S = 0.7
# A request without a reply for so long leaves its place to another.
_OPEN_S = 0.3
# Requests at a time: a client that wakes up for one packet takes longer for it than for a second one.
_TOGETHER = 4


def _icmp_socket(family: int) -> Tuple:
    """Return an echo socket and whether it is raw."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            sock = socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setblocking(False)
        return sock, kind == socket.SOCK_RAW
    raise Unseen(
        "not_permitted",
        "this user may not send ICMP echo requests: use become: true, or widen net.ipv4.ping_group_range on the host",
    )


class Echo:
    """Echo requests to many targets over one socket of a family."""

    def __init__(self, family: int, ask: Dict) -> None:
        self.family = family
        self.sock, self.raw = _icmp_socket(family)
        if ask.get("source"):
            self.sock.bind((ask["source"], 0))
        self.ident = int.from_bytes(os.urandom(2), "big")
        if self.raw:
            attach(self.sock, _replies(family, self.ident))
        self.payload = str(ask.get("marker") or "meshctl").encode().ljust(int(ask.get("size") or 24), b".")
        self.sent: Dict = {}
        self.found: Dict = {}
        self.number = 0

    def send(self, target: str) -> None:
        """Send one request to `target`."""
        self.number = (self.number + 1) & 0xFFFF
        request = 8 if self.family == socket.AF_INET else 128
        head = struct.pack("!BBHHH", request, 0, 0, self.ident, self.number)
        if self.family == socket.AF_INET:  # the kernel only computes the checksum of ICMPv6
            head = struct.pack("!BBHHH", request, 0, _checksum(head + self.payload), self.ident, self.number)
        result = self.found.setdefault(target, {"sent": 0, "received": 0, "rtt_ms": [], "errors": []})
        result["sent"] += 1
        self.sent[self.number] = (target, time.time(), time.monotonic())
        for last in (False, True):
            try:
                self.sock.sendto(head + self.payload, (target, 0))
                return
            except BlockingIOError:
                select.select([], [self.sock], [], 0.05)
            except OSError as exc:
                # With RECVERR, send reports an earlier target's refusal once: read it, then send again.
                self.take_errors()
                if last:
                    self.sent.pop(self.number, None)
                    result["errors"].append({"error": outcome_of(exc.errno), "from": "local", "errno": exc.errno})

    def open(self, recent: bool) -> int:
        """Return how many requests are unanswered, of all or of those that may still be on their way."""
        oldest = time.monotonic() - _OPEN_S if recent else 0.0
        return sum(began >= oldest for _target, _wall, began in self.sent.values())

    def take(self, errors: bool = True) -> None:
        """Receive the replies that have arrived, and refusals if there may be some."""
        if errors:
            self.take_errors()
        while True:
            try:
                packet, extra, _flags, _address = self.sock.recvmsg(2048, 256)
            except BlockingIOError:
                return
            except OSError:
                self.take_errors()
                continue
            now = time.monotonic()
            if self.raw and self.family == socket.AF_INET:
                packet = packet[(packet[0] & 15) * 4 :]
            reply = 0 if self.family == socket.AF_INET else 129
            if len(packet) < 8 or packet[0] != reply:
                continue
            _kind, _code, _sum, ident, number = struct.unpack("!BBHHH", packet[:8])
            if (self.raw and ident != self.ident) or packet[8:] != self.payload:
                continue
            self.count(number, extra, now)

    def count(self, number: int, extra: List, now: float) -> None:
        """Count a reply."""
        if number not in self.sent:
            return
        target, wall, began = self.sent.pop(number)
        rtt = now - began
        for level, kind, data in extra:
            # Use the kernel's time of arrival, because Python wakes up late on a busy host.
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) in (8, 16):
                seconds, nanos = struct.unpack("qq" if len(data) == 16 else "ii", data)
                exact = seconds + nanos / 1e9 - wall
                rtt = exact if 0 < exact <= rtt else rtt
        self.found[target]["received"] += 1
        self.found[target]["rtt_ms"].append(round(rtt * 1000, 3))

    def answered(self, target: str) -> bool:
        """Whether a target has replied."""
        return bool(self.found.get(target, {}).get("received"))

    def take_errors(self) -> None:
        """Receive the refusals of routers and hosts."""
        while True:
            try:
                packet, extra, _flags, address = self.sock.recvmsg(2048, 512, MSG_ERRQUEUE)
            except OSError:
                return
            refusal = refusal_of(extra)
            number = struct.unpack("!H", packet[6:8])[0] if len(packet) >= 8 else -1
            if refusal is None or number not in self.sent or self.sent[number][0] != address[0]:
                continue
            target, _wall, began = self.sent.pop(number)
            refusal["ms"] = ms_since(began)
            self.found[target]["errors"].append(refusal)


def _replies(family: int, ident: int) -> List:
    """Return a filter for replies to this socket: a raw one gets all ICMP packets of its host, and each wakes this process."""
    if family == socket.AF_INET:
        head = [(0xB1, 0, 0, 0), (0x50, 0, 0, 0), (0x15, 0, 3, 0), (0x48, 0, 0, 4)]  # past the header of IPv4
    else:
        head = [(0x30, 0, 0, 0), (0x15, 0, 3, 129), (0x28, 0, 0, 4)]
    return [*head, (0x15, 0, 1, ident), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return int(~total & 0xFFFF)


def icmp(ask: Dict, until: float) -> Json:
    """Ping many targets over IPv4 and IPv6."""
    targets = list(dict.fromkeys(ask.get("targets") or []))
    echoes = {family: Echo(family, ask) for family in sorted({family_of(target) for target in targets})}
    patience = float(ask.get("try_timeout_s") or 1.0)
    try:
        _repeat(echoes, targets, ask, until)
        ends = min(until, time.monotonic() + max(0.0, patience - float(ask.get("interval_s") or _INTERVAL_S)))
        if ask.get("until_answered"):
            _persist(echoes, targets, ends)
        # Whether some of several are lost counts as well.
        if not ask.get("until_answered") or int(ask.get("count") or _COUNT) > 1:
            _listen(echoes, ends, most_open=0)
        # On a busy host, this process may have slept until now, and replies have not.
        for echo in echoes.values():
            echo.take()
    finally:
        for echo in echoes.values():
            echo.sock.close()
    found: Dict = {}
    for echo in echoes.values():
        found.update(echo.found)
    for result in found.values():
        result["lost"] = result["sent"] - result["received"]
    return found


def _repeat(echoes: Dict, targets: List, ask: Dict, until: float) -> None:
    """Send `count` requests to each target."""
    interval = float(ask.get("interval_s") or _INTERVAL_S)
    for number in range(int(ask.get("count") or _COUNT)):
        if number and time.monotonic() + interval >= until:
            break
        sent_at = time.monotonic()
        _send_round(echoes, targets, ask, until)
        _listen(echoes, min(until, sent_at + interval))


def _persist(echoes: Dict, targets: List, until: float) -> None:
    """Send again to each target that has not answered at all, until each has."""
    left = targets
    while left:
        due = min(until, time.monotonic() + _AGAIN_S)
        while left and (now := time.monotonic()) < due:
            _take(echoes, max(1, int((due - now) * 1000)))
            left = [target for target in left if not echoes[family_of(target)].answered(target)]
        if time.monotonic() >= until:
            return
        _send_round(echoes, left, {}, until)


def _send_round(echoes: Dict, targets: List, ask: Dict, until: float) -> None:
    """Send a request to each target, no more than `per_second`, and about `window` of them without a reply."""
    pause = 1 / float(ask.get("per_second") or 1e6)
    window = int(ask.get("window") or 0)
    began = time.monotonic()
    for turn, target in enumerate(targets, start=1):
        if time.monotonic() >= until:
            return
        echoes[family_of(target)].send(target)
        if turn % _TOGETHER and turn < len(targets):
            continue
        # Without waking up for each reply: the kernel notes when it arrived.
        if (rest := min(until, began + turn * pause) - time.monotonic()) >= _SHORTEST_PAUSE_S:
            time.sleep(rest)
        _take(echoes, 0)
        if window:
            most = max(0, window - _TOGETHER)
            _listen(echoes, min(until, time.monotonic() + _OPEN_S), most_open=most, recent=True)


def _listen(echoes: Dict, until: float, most_open: int = -1, recent: bool = False) -> None:
    """Receive replies until `until`, or until no more than `most_open` requests are unanswered, of all or of recent ones."""
    while time.monotonic() < until and sum(echo.open(recent) for echo in echoes.values()) > most_open:
        _take(echoes, max(1, int((until - time.monotonic()) * 1000)))


def _take(echoes: Dict, most_ms: int) -> None:
    """Wait until something has arrived, and receive it."""
    poll = select.poll()
    for echo in echoes.values():
        poll.register(echo.sock, select.POLLIN)
    ready = dict(poll.poll(most_ms))
    for echo in echoes.values():
        if event := ready.get(echo.sock.fileno()):
            echo.take(errors=bool(event & select.POLLERR))
