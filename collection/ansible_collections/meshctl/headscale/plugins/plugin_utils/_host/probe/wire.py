# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Name the kernel's reasons for refusing a packet or a connection."""

from __future__ import annotations

import errno
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List

# As requests name an address family; any other value means both.
FAMILIES: Dict = {4: socket.AF_INET, 6: socket.AF_INET6}
# Outcomes that tell nothing of the other side if they are this host's own: it has no route in that family, or no address.
NOWHERE = ("net-unreachable", "net-down", "no-such-source", "EAFNOSUPPORT")
# A name may lead to any number of addresses.
MOST_ADDRESSES = 16
_V4_REFUSALS = {
    0: "net-unreachable", 1: "host-unreachable", 2: "protocol-unreachable", 3: "port-unreachable",
    6: "net-unknown", 7: "host-unknown", 9: "net-prohibited", 10: "host-prohibited", 13: "prohibited",
}  # fmt: skip
IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE = 11, 25, 0x2000
_V6_REFUSALS = {0: "net-unreachable", 1: "prohibited", 3: "host-unreachable", 4: "port-unreachable", 6: "net-rejected"}
_ERRNO_OUTCOMES = {
    errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ENETUNREACH: "net-unreachable",
    errno.EHOSTUNREACH: "host-unreachable", errno.ETIMEDOUT: "timeout", errno.EACCES: "prohibited",
    errno.EPERM: "prohibited", errno.EADDRNOTAVAIL: "no-such-source", errno.ENETDOWN: "net-down",
}  # fmt: skip


def outcome_of(number: int | None) -> str:
    return _ERRNO_OUTCOMES.get(number or 0) or errno.errorcode.get(number or 0, "unknown")


def telling(outcome: str, by: str, address: str) -> int:
    """Return how much a failed connection tells of the other side: the more, the farther away what ended it is."""
    if outcome in NOWHERE and by in ("", "local"):
        return 0
    if outcome == "timeout":
        return 1
    if by == "local":
        return 2
    # A router on the way knows less than the host at that address.
    return 4 if by == address else 3


def refusal_of(extra: List) -> Dict | None:
    """Return the address that refused and its reason, from a socket's error queue."""
    for level, _kind, data in extra:
        if level not in (socket.IPPROTO_IP, socket.IPPROTO_IPV6) or len(data) < 16:
            continue
        number, origin, kind, code = struct.unpack("=IBBB", data[:7])
        if origin not in (1, 2, 3):
            continue
        offender = "local"
        if origin == 2 and len(data) >= 24:
            offender = socket.inet_ntop(socket.AF_INET, data[20:24])
        elif origin == 3 and len(data) >= 40:
            offender = socket.inet_ntop(socket.AF_INET6, data[24:40])
        names = _V4_REFUSALS if origin == 2 and kind == 3 else _V6_REFUSALS if origin == 3 and kind == 1 else {}
        if (origin, kind) == (3, 4):
            names = {1: "protocol-unreachable"}
        return {"error": names.get(code) or outcome_of(number), "from": offender, "type": kind, "code": code}
    return None


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
