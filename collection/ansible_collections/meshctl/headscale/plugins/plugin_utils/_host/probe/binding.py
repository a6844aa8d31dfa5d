# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bind listeners over TCP and UDP to addresses and ports."""

from __future__ import annotations

import random
import socket

from .tcp import fewer_packets
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List, Tuple

MOST_CONNECTIONS = 128
_CHOICES = 10


def bind(addresses: List, allowed: List, *, every: bool = False) -> Tuple:
    """Return the ports by address and protocol, or the error of each, and the sockets.

    One port of each address and protocol is bound, or `every` one that is allowed.
    """
    ports: Dict = {}
    listeners: List = []
    for address in addresses:
        ports[address] = {}
        for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            found: Dict = {}
            bound: List = []
            for choice in [[port] for port in allowed] if every else [allowed or [0]]:
                listener = socket.socket(family_of(address), kind)
                error = _bind_one(listener, address, choice)
                if error:
                    listener.close()
                    found["error"] = error
                    continue
                bound.append(listener.getsockname()[1])
                listeners.append(listener)
            if bound:
                found["port"] = bound[0]
                found.update({"ports": bound} if every else {})
            ports[address][protocol] = found
    return ports, listeners


def bind_more(ports: Dict, ranges: List) -> List:
    """Bind a port of each range as well, chosen at random, and note it as `more`; return the sockets."""
    listeners: List = []
    for address, by_protocol in ports.items():
        for protocol, found in by_protocol.items():
            for low, high in ranges if found.get("port") else []:
                kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
                listener = socket.socket(family_of(address), kind)
                if _bind_one(listener, address, random.sample(range(low, high + 1), _CHOICES)):
                    listener.close()
                    continue
                listeners.append(listener)
                found.setdefault("more", []).append(listener.getsockname()[1])
    return listeners


def _bind_one(listener: socket.socket, address: str, ports: List) -> str:
    """Bind a socket to the first port that is free; return the last error, if none is."""
    error = ""
    for port in ports:
        try:
            if listener.family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if listener.type == socket.SOCK_STREAM:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            if listener.type == socket.SOCK_STREAM:
                fewer_packets(listener)
                listener.listen(MOST_CONNECTIONS)
        except OSError as exc:
            error = "in use" if exc.errno == 98 else outcome_of(exc.errno)
        else:
            return ""
    return error
