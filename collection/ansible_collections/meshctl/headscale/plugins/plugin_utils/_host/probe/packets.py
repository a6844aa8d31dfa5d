# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What captures of packets share: the interface of an address, and filters of the kernel."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import List

_SIOCGIFADDR, _ATTACH_FILTER = 0x8915, 26


def interface_of(addresses: List) -> str:
    """Return the interface that has one of these IPv4 addresses, or no name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _number, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            if socket.inet_ntoa(found[20:24]) in addresses:
                return name
    return ""


def interface_number(addresses: List) -> int:
    """Return the number of that interface; 0 if there is none."""
    name = interface_of(addresses)
    return socket.if_nametoindex(name) if name else 0


def attach(sock: socket.socket, program: List) -> None:
    """Let the kernel run a filter, in classic BPF: code, jumps if true and false, operand."""
    data = array.array("B", b"".join(struct.pack("=HBBI", *line) for line in program))
    where, length = data.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", length // 8, where))


def jump(line: int, target: int) -> int:
    """Return what a filter's line says to go on at another line."""
    return target - line - 1
