# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An interpreter of classic BPF, and packets for it."""

from __future__ import annotations

import socket
import struct

_INTERFACE = 0xFFFFF008


def passes(program: list[tuple[int, int, int, int]], packet: bytes, interface: int = 2) -> bool:
    """Whether the kernel would pass a packet from an interface."""
    accumulator = index = line = 0

    def at(offset: int, length: int) -> int:
        return int.from_bytes(packet[offset : offset + length].ljust(length, b"\0"), "big")

    while True:
        code, true, false, operand = program[line]
        line += 1
        if code == 0x20:
            accumulator = interface if operand == _INTERFACE else at(operand, 4)
        elif code == 0x30:
            accumulator = at(operand, 1)
        elif code == 0x74:
            accumulator >>= operand
        elif code == 0xB1:
            index = 4 * (at(operand, 1) & 15)
        elif code == 0x40:
            accumulator = at(index + operand, 4)
        elif code == 0x15:
            line += true if accumulator == operand else false
        elif code == 0x05:
            line += operand
        else:
            assert code == 0x06
            return bool(operand)


def ipv4(proto: int, payload: bytes, options: bytes = b"") -> bytes:
    """Return a packet."""
    ends = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 0, 0, 64, proto, 0)
    return head + ends + options + payload


def ipv6(proto: int, payload: bytes) -> bytes:
    """Return a packet."""
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + bytes(32) + payload


def udp(payload: bytes) -> bytes:
    """Return a datagram."""
    return struct.pack("!HHHH", 41641, 41641, 8 + len(payload), 0) + payload
