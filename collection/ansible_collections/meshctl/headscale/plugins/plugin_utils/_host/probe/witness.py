# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Note which packets of `knock` reach this host outside the mesh, and ask another host what it has noted.

A packet says who sent it, to which address and over what, so that neither NAT nor a port-forward hides that. The capture
opens no port and no firewall, and the kernel passes nothing else to it.
"""

from __future__ import annotations

import json
import socket
import struct

from .base import left
from .noted import SIGN
from .packets import attach, interface_number
from .packets import jump as to
from .tcp import connect
from .wire import family_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List

_ETH_P_ALL, _OUTGOING = 3, 4
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_MOST_KEPT, _LONGEST_NOTE, _LONGEST_REPLY = 20000, 120, 1 << 20


def witnessing(addresses: List) -> socket.socket | None:
    """Return a socket that captures these packets on all interfaces but the one with these mesh addresses.

    Return None where that is not permitted.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except OSError:
        return None
    try:
        attach(sock, program(interface_number(addresses)))
        sock.setblocking(False)
    except OSError:
        sock.close()
        return None
    return sock


def program(but: int) -> List:
    """Return the kernel's filter, as classic BPF: code, jumps if true and false, operand.

    The sign is behind the header of UDP, of ICMP and of TCP. Other protocols have it at their beginning, as GRE after four
    bytes, and SCTP in its first parameter.
    """
    word, byte, equal, at_header, head = 0x20, 0x30, 0x15, 0x40, 0xB1
    first, second = struct.unpack("!II", SIGN)
    tcp, others, after_eight, accept, leave_out = 15, 20, 28, 36, 37

    return [
        (word, 0, 0, 0xFFFFF008),  # the interface
        (equal, to(1, leave_out), 0, but or 0xFFFFFFFF),
        (byte, 0, 0, 0),
        (0x74, 0, 0, 4),  # the IP version
        (equal, 0, to(4, 8), 4),
        (head, 0, 0, 0),  # the length of IPv4's header
        (byte, 0, 0, 9),
        (0x05, 0, 0, to(7, 11)),
        (equal, 0, to(8, leave_out), 6),
        (0x01, 0, 0, 40),
        (byte, 0, 0, 6),
        (equal, to(11, tcp), 0, _TCP),
        (equal, to(12, after_eight), 0, _UDP),
        (equal, to(13, after_eight), 0, _ICMP),
        (equal, to(14, after_eight), to(14, others), _ICMP6),
        (0x50, 0, 0, 12),  # tcp: the length of its header
        (0x54, 0, 0, 0xF0),
        (0x74, 0, 0, 2),
        (0x0C, 0, 0, 0),
        (0x07, 0, 0, 0),
        (at_header, 0, 0, 0),  # others, and tcp
        (equal, 0, to(21, 24), first),
        (at_header, 0, 0, 4),
        (equal, to(23, accept), to(23, leave_out), second),
        (at_header, 0, 0, 4),
        (equal, 0, to(25, 30), first),
        (at_header, 0, 0, 8),
        (equal, to(27, accept), to(27, leave_out), second),
        (at_header, 0, 0, 8),  # a header of eight bytes
        (equal, to(29, 34), to(29, leave_out), first),
        (at_header, 0, 0, 36),
        (equal, 0, to(31, leave_out), first),
        (at_header, 0, 0, 40),
        (equal, to(33, accept), to(33, leave_out), second),
        (at_header, 0, 0, 12),
        (equal, to(35, accept), to(35, leave_out), second),
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    ]


class Witness:
    """The packets that have reached this host."""

    def __init__(self) -> None:
        self._noted: Dict = {}

    def take(self, sock: socket.socket) -> None:
        """Read what the capture has."""
        for _number in range(256):
            try:
                packet, where = sock.recvfrom(512)
            except OSError:
                return
            if where[2] != _OUTGOING:
                self._note(packet.partition(SIGN)[2].partition(b"\n")[0])

    def _note(self, note: bytes) -> None:
        if len(note) <= _LONGEST_NOTE and len(self._noted) < _MOST_KEPT:
            self._noted[note.decode("ascii", "replace")] = None

    def of_all(self, nonces: List) -> Dict:
        """Return the packets of several senders."""
        return {nonce: self.of(nonce) for nonce in nonces}

    def of(self, nonce: str) -> List:
        """Return address and port or protocol, as text, of the packets of one sender."""
        return [note.split()[1:3] for note in list(self._noted) if note.split()[:1] == [nonce]]


def ask(witness: Dict, nonce: str, until: float) -> List | None:
    """Return what a host that `serve`s has noted of this sender, None if it does not say."""
    try:
        with socket.socket(family_of(witness["host"]), socket.SOCK_STREAM) as sock:
            if connect(sock, witness["host"], int(witness["port"]), until)[0] != "connected":
                return None
            sock.settimeout(left(until))
            sock.sendall(b"meshctl %b %b witness\n" % (str(witness["token"]).encode(), nonce.encode()))
            data = b""
            while not data.endswith(b"\n") and len(data) < _LONGEST_REPLY:
                sock.settimeout(left(until))
                more = sock.recv(65536)
                if not more:
                    return None
                data += more
        noted = json.loads(data).get("witness")
    except (OSError, ValueError, AttributeError):
        return None
    return [tuple(map(str, pair)) for pair in noted if isinstance(pair, list)] if isinstance(noted, list) else None
