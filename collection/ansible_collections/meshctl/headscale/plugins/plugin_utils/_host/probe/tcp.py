# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open TCP connections and send UDP datagrams."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time

from .base import each, left, ms_since
from .talks import alone
from .wire import IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, family_of, outcome_of, refusal_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, Talk, Tuple

# The question for the name servers of the root, which every resolver answers or refuses.
_QUERY = b"\x6d\x65\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
_ABORT = struct.pack("ii", 1, 0)


def tcp(ask: Dict, until: float) -> Json:
    """Try to connect to each target; the outcome is the kernel's."""
    patience = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 3.0))
    return each(lambda target: _connect_one(target, ask, patience), list(ask.get("targets") or []), until)


def _connect_one(target: Dict, ask: Dict, until: float) -> Dict:
    host, port = str(target["host"]), int(target["port"])
    found: Dict = {"host": host, "port": port, "from": "", "local": ""}
    began = time.monotonic()
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    try:
        if family_of(host) == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        if ask.get("source"):
            sock.bind((ask["source"], 0))
        found["outcome"], found["from"] = connect(sock, host, port, until)
        if found["outcome"] == "connected":
            found["local"] = sock.getsockname()[0]
    except OSError as exc:
        found["outcome"] = outcome_of(exc.errno)
    finally:
        sock.close()
    found["duration_ms"] = ms_since(began)
    return found


def bypass(sock: socket.socket) -> None:
    """Route a socket around the mesh, as tailscaled does with its own; only root may."""
    try:  # noqa: SIM105 - contextlib is slow to import
        sock.setsockopt(socket.SOL_SOCKET, 36, 0x80000)  # SO_MARK
    except OSError:
        pass


def fewer_packets(sock: socket.socket) -> None:
    """Let the acknowledgements of a connection travel with what is said next: in a large mesh, each packet counts."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)


def abort_on_close(sock: socket.socket) -> None:
    """Have a connection end with one packet when it is closed; neither kernel remembers it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)


def connect(sock: socket.socket, host: str, port: int, until: float) -> Tuple:
    """Return the outcome of connecting, and the address of the router or host that refused by ICMP."""
    return tuple(alone(connecting(sock, host, port, until)))


def connecting(sock: socket.socket, host: str, port: int, until: float) -> Talk:
    """Connect as a conversation; return what `connect` returns."""
    sock.setblocking(False)
    number = sock.connect_ex((host, port))
    if number == errno.EINPROGRESS:
        if not (yield sock, select.POLLOUT, until):
            return "timeout", ""
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not number:
        return "connected", ""
    try:
        refusal = refusal_of(sock.recvmsg(2048, 512, MSG_ERRQUEUE)[1])
    except OSError:
        refusal = None
    if refusal:
        return refusal["error"], refusal["from"]
    # A refusal without an ICMP message is a reset from the target; "no route" comes from this host.
    return outcome_of(number), host if number == errno.ECONNREFUSED else "local"


def udp(ask: Dict, until: float) -> Json:
    """Send datagrams to each target until one is answered or refused."""
    patience = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 3.0))
    return each(lambda target: _ask_one(target, patience), list(ask.get("targets") or []), until)


def _ask_one(target: Dict, until: float) -> Dict:
    host, port = str(target["host"]), int(target["port"])
    found: Dict = {"host": host, "port": port, "sent": 0, "outcome": "timeout"}
    began = time.monotonic()
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
        try:
            # A connected socket learns of a refusal.
            sock.connect((host, port))
            while found["outcome"] == "timeout" and time.monotonic() < until:
                sock.send(_QUERY if port == 53 else b"meshctl")
                found["sent"] += 1
                sock.settimeout(min(0.5, left(until)))
                try:
                    found["bytes"] = len(sock.recv(65535))
                    found["outcome"] = "answered"
                except socket.timeout:
                    continue
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
    found["duration_ms"] = ms_since(began)
    return found


def send(ask: Dict, _until: float) -> Json:
    """Send UDP datagrams with a marker."""
    host, port = str(ask["host"]), int(ask["port"])
    sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
    sent, errors = 0, []
    with sock:
        for _number in range(int(ask.get("count") or 1)):
            try:
                sock.sendto(str(ask.get("marker") or "meshctl").encode(), (host, port))
                sent += 1
            except OSError as exc:
                errors.append(outcome_of(exc.errno))
    return {"sent": sent, "errors": errors}


def kernel_of(sock: socket.socket) -> Dict:
    """Return what the kernel knows of a connection: why it is slow, or stuck."""
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        # struct tcp_info: eight bytes, 24 counters of 32 bits, four of 64 bits.
        counters = struct.unpack_from("=24I", data, 8)
        acknowledged = struct.unpack_from("=Q", data, 120)[0]
    except (OSError, struct.error):
        return {}
    return {
        "mss": counters[2],
        "pmtu": counters[13],
        "retransmitted": counters[23],
        "acknowledged": acknowledged,
        # Milliseconds since anything arrived, data or acknowledgement.
        "quiet_ms": min(counters[11], counters[12]),
    }


def lost_of(sock: socket.socket) -> int:
    """Return how many segments of a connection were lost: those sent again, without those of which two copies arrived; -1 if unknown."""
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        return max(0, int(struct.unpack_from("=I", data, 100)[0]) - int(struct.unpack_from("=I", data, 216)[0]))
    except (OSError, struct.error):
        return -1
