# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchange data with peers that `serve`: small requests over TCP and UDP, and a transfer in both directions."""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib

from .base import each, left, ms_since
from .serve import BLOCK, GREETING, crc_of
from .tcp import connect
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, Tuple

# Well below any path's MTU, and close to the mesh's own of 1280.
_SMALL, _LARGE = 64, 1200
_DATAGRAMS = 3
_LONGEST_LINE = 4096


def exchange(ask: Dict, until: float) -> Json:
    """Return what each target made of a small request over TCP and UDP, and of a transfer of `bulk` bytes each way."""
    targets = list(ask.get("targets") or [])
    patience = float(ask.get("try_timeout_s") or 3.0)
    rate = float(ask.get("per_second") or 0)
    small = each(lambda target: _small(target, patience, until), targets, until, per_second=rate)
    found = {"{host}".format(**target): seen for target, seen in zip(targets, small)}
    bulk = int(ask.get("bulk") or 0)
    if bulk:
        able = [target for target in targets if target.get("bulk", True) and _answered(found[target["host"]])]
        # Few at once: what is measured is the path, and not how well this host shares itself.
        sent = each(lambda target: _bulk(target, bulk, ask, until), able, until, workers=int(ask.get("at_once") or 4))
        for target, seen in zip(able, sent):
            found[target["host"]]["bulk"] = seen or {"outcome": "deadline"}
    return found


def _answered(seen: Dict) -> bool:
    return ((seen or {}).get("tcp") or {}).get("outcome") == "answered"


def _small(target: Dict, patience: float, until: float) -> Dict:
    limit = min(until, time.monotonic() + patience)
    found: Dict = {}
    if target.get("udp"):
        found["udp"] = _datagrams(target, limit)
    if target.get("tcp"):
        found["tcp"] = _request(target, 0, 0, limit)
    return found


def _datagrams(target: Dict, until: float) -> Dict:
    """Send datagrams of two sizes until one of each is answered, or the time is over."""
    sock = socket.socket(family_of(target["host"]), socket.SOCK_DGRAM)
    found: Dict = {"outcome": "timeout", "sent": 0, "answered": []}
    began = time.monotonic()
    with sock:
        try:
            sock.connect((target["host"], int(target["udp"])))
            found["local"], found["local_port"] = sock.getsockname()[:2]
            for length in (_SMALL, _LARGE):
                if _datagram(sock, _greeting(target, 0, 0).ljust(length, b"."), found, until):
                    found["answered"].append(length)
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
    if len(found["answered"]) == 2:
        found["outcome"] = "answered"
    elif found["answered"]:
        found["outcome"] = "large lost"
    found["duration_ms"] = ms_since(began)
    return found


def _datagram(sock: socket.socket, data: bytes, found: Dict, until: float) -> bool:
    pause = max(0.05, left(until) / (2 * _DATAGRAMS))
    for _number in range(_DATAGRAMS):
        if time.monotonic() >= until:
            return False
        sock.send(data)
        found["sent"] += 1
        sock.settimeout(min(pause, left(until)))
        try:
            seen = json.loads(sock.recv(65535))
        except (socket.timeout, ValueError):
            continue
        found["seen"] = {key: seen.get(key) for key in ("from", "port")}
        if seen.get("bytes") == len(data) and seen.get("crc") == zlib.crc32(data):
            return True
        found["damaged"] = True
    return False


def _bulk(target: Dict, length: int, ask: Dict, until: float) -> Dict:
    return _request(target, length, length, min(until, time.monotonic() + float(ask.get("bulk_timeout_s") or 8.0)))


def _request(target: Dict, up: int, down: int, until: float) -> Dict:
    """Make one connection and send and receive; return how far it came."""
    found: Dict = {"outcome": "timeout", "stage": "connect", "sent": 0, "received": 0}
    began = time.monotonic()
    sock = socket.socket(family_of(target["host"]), socket.SOCK_STREAM)
    with sock:
        try:
            outcome, refused_by = connect(sock, target["host"], int(target["tcp"]), until)
            found["connect_ms"] = ms_since(began)
            if outcome != "connected":
                found["outcome"], found["refused_by"] = outcome, refused_by
                return found
            found["local"], found["local_port"] = sock.getsockname()[:2]
            found["stage"] = "send"
            _send(sock, _greeting(target, up, down), None, until)
            _talk(sock, up, down, found, until)
        except socket.timeout:
            found["outcome"] = "stalled"
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
        finally:
            found["duration_ms"] = ms_since(began)
            found["kernel"] = kernel_of(sock)
    return found


def _talk(sock: socket.socket, up: int, down: int, found: Dict, until: float) -> None:
    began = time.monotonic()
    for offset in range(0, up, len(BLOCK)):
        _send(sock, BLOCK[: up - offset], found, until)
    found["stage"] = "reply"
    line, rest = _line(sock, until)
    seen = json.loads(line) if line else {}
    found["up_s"] = round(time.monotonic() - began, 4)
    found["seen"] = {key: seen.get(key) for key in ("from", "port", "bytes")}
    if not line:
        found["outcome"] = "closed"
        return
    found["stage"] = "receive"
    began, crc = time.monotonic(), zlib.crc32(rest)
    found["received"] = len(rest)
    while found["received"] < down:
        sock.settimeout(left(until))
        data = sock.recv(262144)
        if not data:
            found["outcome"] = "closed"
            return
        found["received"], crc = found["received"] + len(data), zlib.crc32(data, crc)
    found["down_s"] = round(time.monotonic() - began, 4)
    whole = seen.get("bytes") == up and seen.get("crc") == crc_of(up) and seen.get("down_crc") == crc
    found["outcome"], found["stage"] = ("answered", "done") if whole else ("damaged", "receive")


def _send(sock: socket.socket, data: bytes, found: Dict | None, until: float) -> None:
    view = memoryview(data)
    while view:
        sock.settimeout(left(until))
        count = sock.send(view)
        view = view[count:]
        if found is not None:
            found["sent"] += count


def _line(sock: socket.socket, until: float) -> Tuple:
    data = b""
    while b"\n" not in data and len(data) < _LONGEST_LINE:
        sock.settimeout(left(until))
        more = sock.recv(65536)
        if not more:
            return b"", b""
        data += more
    line, _newline, rest = data.partition(b"\n")
    return line, rest


def _greeting(target: Dict, up: int, down: int) -> bytes:
    return b"%b%b %d %d\n" % (GREETING, str(target["token"]).encode(), up, down)


def kernel_of(sock: socket.socket) -> Dict:
    """Return what the kernel knows of a connection: why it is slow, or stuck."""
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
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
