# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Note which packets come out of the mesh interface, before a firewall of the host sees them."""

from __future__ import annotations

import socket
import struct
import time

from .packets import interface_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List, Tuple

_ETH_P_ALL, _OUTGOING = 3, 4
_TCP, _UDP, _SYN, _ACK = 6, 17, 2, 16
_MOST_KEPT = 20000


def watching(addresses: List) -> socket.socket | None:
    """Return a socket that captures on the interface with one of these addresses; None where that is not permitted."""
    interface = interface_of(addresses)
    if not interface:
        return None
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except OSError:
        return None
    try:
        sock.bind((interface, _ETH_P_ALL))
        sock.setblocking(False)
    except OSError:
        sock.close()
        return None
    return sock


class Arrivals:
    """When each source last opened a connection or sent a datagram to each port, whether it was let in or not."""

    def __init__(self, addresses: List) -> None:
        self._own = set(addresses)
        self._last: Dict = {}

    def take(self, sock: socket.socket) -> None:
        """Read what the capture has."""
        for _number in range(256):
            try:
                packet, where = sock.recvfrom(256)
            except OSError:
                return
            if where[2] != _OUTGOING:
                self._note(packet)

    def _note(self, packet: bytes) -> None:
        found = opening(packet)
        if found and found[1] in self._own and (found in self._last or len(self._last) < _MOST_KEPT):
            self._last[found] = time.monotonic()

    def since(self, moment: float, sources: List) -> List:
        """Return `[protocol, address, port]` of what these sources have sent since a moment."""
        return sorted(
            [protocol, target, port]
            for (source, target, protocol, port), last in list(self._last.items())
            if last >= moment and source in sources
        )


def opening(packet: bytes) -> Tuple | None:
    """Return source, target, protocol and port of a TCP SYN or a datagram; None for any other packet."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        number, head = packet[9], (packet[0] & 15) * 4
        source, target = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
    elif packet[0] >> 4 == 6 and len(packet) >= 40:
        number, head = packet[6], 40
        source, target = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    else:
        return None
    if number == _TCP and len(packet) >= head + 14 and packet[head + 13] & (_SYN | _ACK) == _SYN:
        protocol = "tcp"
    elif number == _UDP and len(packet) >= head + 8:
        protocol = "udp"
    else:
        return None
    return source, target, protocol, struct.unpack("!H", packet[head + 2 : head + 4])[0]
