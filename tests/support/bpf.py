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
        loaded = {
            0x20: lambda value: interface if value == _INTERFACE else at(value, 4),
            0x30: lambda value: at(value, 1),
            0x40: lambda value: at(index + value, 4),  # noqa: B023 - called at once
            0x50: lambda value: at(index + value, 1),  # noqa: B023
            0x54: lambda value: accumulator & value,  # noqa: B023
            0x74: lambda value: accumulator >> value,  # noqa: B023
            0x0C: lambda _value: accumulator + index,  # noqa: B023
        }
        indexed = {0xB1: lambda value: 4 * (at(value, 1) & 15), 0x01: int, 0x07: lambda _value: accumulator}  # noqa: B023
        if code in loaded:
            accumulator = loaded[code](operand)
        elif code in indexed:
            index = indexed[code](operand)
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
