# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Capture the packets on the wire during other observations."""

from __future__ import annotations

import socket
import struct
import threading
import time

from .base import Unseen
from .observing import observe_all
from .packets import attach, interface_number
from .packets import jump as to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

_ETH_P_ALL, _SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING = 3, 263, 6, 4
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
# So much of what `exchange` transfers is in each of its packets, unless they are very small.
_MARK = 64
# How long a capture waits for a packet. Echoes are few and small: it looks for them once in this time.
_LOOK_S = 0.05
_DISCO = b"TS\xf0\x9f\x92\xac"


# A filter that lets ICMP and ICMPv6 pass, as classic BPF: code, jumps if true and false, operand.
_ECHOES = [
    (0x30, 0, 0, 0),
    (0x74, 0, 0, 4),  # the IP version
    (0x15, 0, to(2, 5), 4),
    (0x30, 0, 0, 9),
    (0x15, to(4, 8), to(4, 9), 1),
    (0x15, 0, to(5, 9), 6),
    (0x30, 0, 0, 6),
    (0x15, 0, to(7, 9), 58),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
]


def capture(ask: Dict, until: float) -> Json:
    """Capture on every interface during the observations in `during`; count the packets of each flow.

    `clear` leaves out WireGuard's data, which the interfaces count, and the interface that has one of the addresses in
    `except`: the rest is so little that nothing is lost, however much is transferred. `echoes` keeps nothing but ICMP.
    Packets with the text `fresh` are counted besides those with `marker`.
    Where the capture is `optional` and not permitted, they are made all the same, and there are no flows.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except PermissionError as exc:
        if ask.get("optional"):
            return {"flows": None, "during": observe_all(ask.get("during") or [], until - 0.2)}
        raise Unseen("not_permitted", "this user may not capture packets: use become: true") from exc
    flows: Dict = {}
    stop = threading.Event()
    before = _counted()
    if ask.get("clear"):
        attach(sock, _program(interface_number(list(ask.get("except") or []))))
    elif ask.get("echoes"):
        attach(sock, _ECHOES)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.settimeout(0.0 if ask.get("echoes") else _LOOK_S)
        marker, fresh = (str(ask.get(key) or "").encode() for key in ("marker", "fresh"))
        if ask.get("clear"):
            from .serve import BLOCK

            marker = BLOCK[:_MARK]
        watcher = threading.Thread(target=_watch, args=(sock, flows, marker, stop, fresh), daemon=True)
        watcher.start()
        during = observe_all(ask.get("during") or [], until - 0.5)
        time.sleep(0.05)  # the last packets may still be inside tailscaled
        stop.set()
        watcher.join(1.0)
        seen, dropped = struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    grown = {
        name: [now - then for now, then in zip(after, before.get(name, (0, 0)))] for name, after in _counted().items()
    }
    return {"flows": list(flows.values()), "packets": seen, "dropped": dropped, "during": during, "links": grown}


def _counted() -> Dict:
    """Return how many bytes each interface has received and sent."""
    found: Dict = {}
    try:
        with open("/proc/net/dev") as file:
            for line in file.readlines()[2:]:
                name, _colon, numbers = line.partition(":")
                words = numbers.split()
                found[name.strip()] = (int(words[0]), int(words[8]))
    except (OSError, ValueError, IndexError):
        return {}
    return found


def _program(but: int) -> List:
    """Return the filter, as classic BPF: code, jumps if true and false, operand."""
    accept, leave_out = 15, 16
    word, byte, equal = 0x20, 0x30, 0x15

    return [
        (word, 0, 0, 0xFFFFF008),  # the interface
        (equal, to(1, leave_out), 0, but or 0xFFFFFFFF),
        (byte, 0, 0, 0),
        (0x74, 0, 0, 4),  # the IP version
        (equal, 0, to(4, 10), 4),
        (byte, 0, 0, 9),
        (equal, 0, to(6, accept), 17),
        (0xB1, 0, 0, 0),  # the length of IPv4's header
        (0x40, 0, 0, 8),
        (0x05, 0, 0, to(9, 14)),
        (equal, 0, to(10, accept), 6),
        (byte, 0, 0, 6),
        (equal, 0, to(12, accept), 17),
        (word, 0, 0, 48),
        (equal, to(14, leave_out), 0, 0x04000000),  # WireGuard's data
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    ]


def _watch(sock: socket.socket, flows: Dict, marker: bytes, stop: threading.Event, fresh: bytes) -> None:
    last = None
    while last is None or time.monotonic() < last:
        if last is None and stop.is_set():
            # Read what is still buffered, which a busy host may not have processed yet.
            last = time.monotonic() + 0.8
        try:
            packet, where = _received(sock)
        except (socket.timeout, BlockingIOError):
            if last is not None:
                return
            continue
        except OSError:
            return
        flow = _flow(packet, where) or (_other(packet, where) if marker and marker in packet else None)
        if flow is None:
            continue
        _count(flows, flow[0], flow[1], packet, marker, fresh)


def _received(sock: socket.socket) -> Tuple:
    try:
        return sock.recvfrom(65535)
    except BlockingIOError:
        # Several arrive meanwhile, and the host wakes up only once for them.
        time.sleep(_LOOK_S)
        return sock.recvfrom(65535)


def _count(  # noqa: PLR0913, PLR0917
    flows: Dict, key: Tuple, payload: bytes, packet: bytes, marker: bytes, fresh: bytes = b""
) -> None:
    seen = flows.get(key)
    if seen is None:
        names = ("interface", "direction", "proto", "src", "dst", "sport", "dport")
        seen = flows[key] = dict(zip(names, key), packets=0, bytes=0, marked=0, wireguard={}, disco=0, ttl=None)
    seen["packets"] += 1
    seen["bytes"] += len(payload)
    if key[3]:
        seen["ttl"] = packet[8] if packet[0] >> 4 == 4 else packet[7]
    if marker and marker in packet:
        seen["marked"] += 1
    if fresh and fresh in packet:
        seen["fresh"] = seen.get("fresh", 0) + 1
    if key[2] == "udp":
        _classify(seen, payload)


def _classify(seen: Dict, payload: bytes) -> None:
    if payload.startswith(_DISCO):
        seen["disco"] += 1
    elif len(payload) >= 32 and payload[0] in (1, 2, 3, 4) and payload[1:4] == b"\0\0\0":
        kind = str(payload[0])
        seen["wireguard"][kind] = seen["wireguard"].get(kind, 0) + 1


def _flow(packet: bytes, where: Tuple) -> Tuple | None:
    """Return a packet's flow and payload; None when it is not IP."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        proto, head = packet[9], (packet[0] & 15) * 4
        src, dst = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
    elif packet[0] >> 4 == 6 and len(packet) >= 40:
        proto, head = packet[6], 40
        src, dst = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    else:
        return None
    ports = struct.unpack("!HH", packet[head : head + 4]) if proto in (6, 17) and len(packet) >= head + 4 else (0, 0)
    body = head + 8 if proto == 17 else head
    return (where[0], _way(where), _PROTOCOLS.get(proto, str(proto)), src, dst, *ports), packet[body:]


def _other(packet: bytes, where: Tuple) -> Tuple:
    """Return the flow of a packet that is not IP, such as of a tunnel below it."""
    return (where[0], _way(where), f"0x{where[1]:04x}", "", "", 0, 0), packet


def _way(where: Tuple) -> str:
    return "out" if where[2] == _PACKET_OUTGOING else "in"
