# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries frames between two interfaces, each some milliseconds late: for kernels without sch_netem.

Run as `python3 delay.py INTERFACE INTERFACE MILLISECONDS`, in the network namespace of both.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_LONGEST = 65535


def _port(interface: str) -> socket.socket:
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    # Each frame with the kernel's metadata: on a virtual link, checksums are often left to the receiver.
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.bind((interface, 0))
    port.setblocking(False)
    return port


def carry(one: str, other: str, delay_s: float) -> None:
    """Carry frames both ways until killed."""
    ports = (_port(one), _port(other))
    waiting: deque[tuple[float, socket.socket, bytes]] = deque()
    while True:
        # One delay for all: what came first is due first.
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for port in select.select(ports, [], [], pause)[0]:
            to = ports[1] if port is ports[0] else ports[0]
            waiting.append((time.monotonic() + delay_s, to, port.recv(_LONGEST)))
        while waiting and waiting[0][0] <= time.monotonic():
            _due, to, frame = waiting.popleft()
            try:
                to.send(frame)
            except OSError:
                # The line takes no such frame, or is down: it is lost, as on any line.
                continue


if __name__ == "__main__":
    carry(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000)
