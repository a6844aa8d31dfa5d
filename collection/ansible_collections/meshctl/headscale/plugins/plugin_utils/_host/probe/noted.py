# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets that say who sent them, for a `witness` to note: also of protocols whose packets carry no data by themselves."""

from __future__ import annotations

import os
import socket
import struct

from .wire import family_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict

SIGN = b"meshctl:"
_SYN_BIT, _WINDOW = 2, 64240
_ECHO4, _ECHO6 = 8, 128
_LOWEST_SOURCE = 32768
_PROTOCOLS = {"ipip": 4, "6in4": 41, "gre": 47, "esp": 50, "sctp": 132}


def number_of(protocol: str) -> int:
    """Return the number of a protocol, which may be in its name."""
    return _PROTOCOLS.get(protocol) or int(protocol.rpartition("-")[2])


def what_of(row: Dict) -> str:
    """Return what a packet says of itself: a port of UDP alone, and the protocol of all others."""
    port = "{port} from {source}".format(**row) if row.get("source") else str(row["port"])
    port = port.replace(" ", "-")
    if row["protocol"] == "udp":
        return port
    return "tcp-" + port if row["protocol"] == "tcp" else str(row["protocol"])


def note(nonce: str, host: str, what: str) -> bytes:
    """Return what a sender with this nonce sends."""
    return b"%b%b %b %b\n" % (SIGN, nonce.encode(), host.encode(), what.encode())


def packet(protocol: str, data: bytes) -> bytes:
    """Return a packet that a host without a program for the protocol refuses, and that no program takes for data."""
    if protocol == "sctp":
        return _sctp_init(data)
    if protocol == "gre":
        return struct.pack("!HH", 0, 0x0800) + data.ljust(20, b"\0")
    # Routers refuse only packets with 8 bytes or more after the IP header.
    return data.ljust(16, b".")


def send_raw(row: Dict, data: bytes) -> bool:
    """Send what opens a connection, or an echo request, with data; return whether this user may."""
    host = row["host"]
    family, number = family_of(host), socket.IPPROTO_TCP
    if row["protocol"] == "icmp":
        number = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    try:
        with socket.socket(family, socket.SOCK_RAW, number) as sock:
            sock.connect((host, 0))
            head = _echo(family, data) if row["protocol"] == "icmp" else _syn(sock.getsockname()[0], row, data)
            sock.send(head + data)
    except OSError:
        return False
    return True


def _echo(family: int, data: bytes) -> bytes:
    """Return the header of an echo request; the kernel adds the checksum of IPv6."""
    kind = _ECHO4 if family == socket.AF_INET else _ECHO6
    rest = struct.pack("!HH", int.from_bytes(os.urandom(2), "big"), 1)
    total = _checksum(struct.pack("!BBH", kind, 0, 0) + rest + data) if family == socket.AF_INET else 0
    return struct.pack("!BBH", kind, 0, total) + rest


def _syn(source: str, row: Dict, data: bytes) -> bytes:
    """Return the header of the first packet of a TCP connection."""
    host, family = row["host"], family_of(row["host"])
    ports = (int(row.get("source") or _LOWEST_SOURCE + int.from_bytes(os.urandom(2), "big") % 28000), int(row["port"]))
    length = 20 + len(data)
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, host)
    pseudo = ends + (struct.pack("!HH", 6, length) if family == socket.AF_INET else struct.pack("!II", length, 6))
    number = int.from_bytes(os.urandom(4), "big")

    def head(total: int) -> bytes:
        return struct.pack("!HHIIBBHHH", *ports, number, 0, 0x50, _SYN_BIT, _WINDOW, total, 0)

    return head(_checksum(pseudo + head(0) + data))


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _sctp_init(data: bytes) -> bytes:
    """Return a request for an SCTP association: firewalls that track connections drop what is not valid.

    What it says of itself is a parameter that hosts skip.
    """
    tag = int.from_bytes(os.urandom(4), "big") | 1
    more = struct.pack("!HH", 0x8FFF, 4 + len(data)) + data + b"\0" * (-len(data) % 4)
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(more), tag, 65536, 1, 1, tag) + more
    ports = struct.pack("!HHI", 49152 + tag % 16384, 9, 0)
    return ports + struct.pack("<I", _crc32c(ports + b"\0\0\0\0" + chunk)) + chunk


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
