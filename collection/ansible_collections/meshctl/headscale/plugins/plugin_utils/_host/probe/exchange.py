# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchange data with peers that `serve`: small requests over TCP and UDP, and a transfer in both directions.

Where something is transferred, `sizes` are tried as well: a datagram of each, and a block of each over one connection.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import time
import zlib

from .base import each, ms_since
from .openings import openings, replies
from .serve import BLOCK, GREETING, crc_of
from .talks import alone, together
from .tcp import abort_on_close, connecting, fewer_packets, kernel_of
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._types import Dict, Json, List, Talk

# Well below any path's MTU, and with the headers of IPv6 the 1280 bytes of the mesh's own.
_SMALL, _LARGE = 64, 1232
_DATAGRAMS = 3
_LONGEST_LINE = 4096
# Between two new flows.
_PAUSE_S = 0.01
# For a datagram to be answered that is tried again.
_AGAIN_S = 0.4
# For a block to come back.
_BLOCK_S = 2.0
# A transfer has stopped when nothing has arrived for this long, not even an acknowledgement; a slow one goes on.
_QUIET_S, _LOOK_S = 5.0, 1.0


def exchange(ask: Dict, until: float) -> Json:
    """Return what each target made of a small request over TCP and UDP, and of a transfer of `bulk` bytes each way."""
    targets = list(ask.get("targets") or [])
    patience = float(ask.get("try_timeout_s") or 3.0)
    rate = float(ask.get("per_second") or 0)
    sizes = [int(size) for size in ask.get("sizes") or []]
    small = together(lambda target: _small(target, sizes, patience, until), targets, until, per_second=rate)
    found = {"{host}".format(**target): seen for target, seen in zip(targets, small)}
    bulk = int(ask.get("bulk") or 0)
    if bulk:
        able = [
            target
            for target in targets
            if target.get("bulk", True) and target.get("transfer", True) and _answered(found[target["host"]])
        ]
        # Few at once: what is measured is the path, and not how well this host shares itself.
        sent = each(lambda target: _bulk(target, bulk, ask, until), able, until, workers=int(ask.get("at_once") or 4))
        for target, seen in zip(able, sent):
            found[target["host"]]["bulk"] = seen or {"outcome": "deadline"}
        blocks = together(lambda target: returned(target, sizes, until), able if sizes else [], until)
        for target, seen in zip(able, blocks):
            found[target["host"]]["blocks"] = seen or {"outcome": "deadline"}
        count = int(ask.get("connections") or 0)
        many = [target for target in targets if count and target.get("bulk", True)]
        pause = float(ask.get("pause_s") or _PAUSE_S)
        opened = each(lambda target: _opened(target, found[target["host"]], count, pause, patience, until), many, until)
        for target, seen in zip(many, opened):
            found[target["host"]] = {**(found[target["host"]] or {}), "opened": seen or {}}
    return found


def _opened(target: Dict, small: Dict, count: int, pause: float, patience: float, until: float) -> Dict:  # noqa: PLR0913, PLR0917
    """Open connections to every TCP port of a peer, and send datagrams to every UDP port, where one has answered."""
    found: Dict = {}
    for name in ("tcp", "udp"):
        if not target.get(name) or not (_answered(small, name) or _answered(small)):
            continue
        ports = [int(target[name]), *((target.get("more") or {}).get(name) or [])]
        limit = min(until, time.monotonic() + patience)
        if name == "tcp":
            found[name] = openings(target["host"], ports, count, pause, limit)
        else:
            found[name] = replies(
                target["host"], ports, _greeting(target, 0, 0).ljust(_SMALL, b"."), count, pause, limit
            )
    return found


def _answered(seen: Dict, name: str = "tcp") -> bool:
    return ((seen or {}).get(name) or {}).get("outcome") == "answered"


def _small(target: Dict, sizes: List, patience: float, until: float) -> Talk:
    limit = min(until, time.monotonic() + patience)
    found: Dict = {}
    if target.get("udp"):
        more = sizes if target.get("bulk", True) else []
        found["udp"] = yield from _datagrams(target, sorted({_SMALL, _LARGE, *more}), limit)
    if target.get("tcp"):
        found["tcp"] = yield from _request(target, 0, 0, limit)
    return found


def _datagrams(target: Dict, sizes: List, until: float) -> Talk:
    """Send a datagram of each size until all are answered, or the time is over."""
    sock = socket.socket(family_of(target["host"]), socket.SOCK_DGRAM)
    found: Dict = {"outcome": "timeout", "sent": 0, "answered": []}
    began, missing = time.monotonic(), list(sizes)
    pause = max(0.05, (until - began) / (2 * _DATAGRAMS))
    with sock:
        try:
            sock.setblocking(False)
            sock.connect((target["host"], int(target["udp"])))
            found["local"], found["local_port"] = sock.getsockname()[:2]
            data = {length: _greeting(target, 0, 0).ljust(length, b".") for length in sizes}
            for _number in range(_DATAGRAMS):
                if missing and time.monotonic() < until:
                    limit = min(until, time.monotonic() + pause)
                    missing = yield from _answers(sock, data, missing, found, limit)
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
    found["answered"], found["unanswered"] = [length for length in sizes if length not in missing], missing
    if not missing:
        found["outcome"] = "answered"
    elif found["outcome"] == "timeout":
        found["outcome"] = _of_some(found)
        if found["outcome"] in ("large lost", "some lost"):
            found["again"] = yield from _again(target, data, found)
    found["duration_ms"] = ms_since(began)
    return found


def _of_some(found: Dict) -> str:
    """Return the outcome of datagrams that were not all answered, and not refused either."""
    if found.get("damaged"):
        return "damaged"
    if not found["answered"]:
        return "timeout"
    return "large lost" if min(found["unanswered"]) > max(found["answered"]) else "some lost"


def _again(target: Dict, data: Dict, found: Dict) -> Talk:
    """Try lengths that were not answered again, each as the first datagram from another port, and one that was answered after it.

    Only where the first is lost and the second is not does the length decide.
    """
    rows = []
    control = max(found["answered"])
    for length in sorted({min(found["unanswered"]), max(found["unanswered"])}):
        row = {"bytes": length, "answered": False, "other": control, "other_answered": False}
        with socket.socket(family_of(target["host"]), socket.SOCK_DGRAM) as sock:
            try:
                sock.setblocking(False)
                sock.connect((target["host"], int(target["udp"])))
                for name, one in (("answered", length), ("other_answered", control)):
                    left_over = yield from _answers(sock, data, [one], {"sent": 0}, time.monotonic() + _AGAIN_S)
                    row[name] = not left_over
            except OSError:
                pass
        rows.append(row)
    return rows


def _answers(sock: socket.socket, data: Dict, lengths: List, found: Dict, until: float) -> Talk:
    """Send datagrams of some lengths, and return the lengths that have no good answer."""
    missing = list(lengths)
    for length in missing:
        sock.send(data[length])
        found["sent"] += 1
    while missing and (yield sock, select.POLLIN, until):
        try:
            seen = json.loads(sock.recv(65535))
        except BlockingIOError:
            continue
        except ValueError:
            found["damaged"] = True
            continue
        found["seen"] = {key: seen.get(key) for key in ("from", "port")}
        length = seen.get("bytes")
        # Every length is sent more than once: an answer may come twice, or late.
        if length not in data or seen.get("crc") != zlib.crc32(data[length]):
            found["damaged"] = True
        elif length in missing:
            missing.remove(length)
    return missing


def returned(target: Dict, sizes: List, until: float) -> Talk:
    """Have a block of each size returned over one connection; a size that is not returned is tried again over a second one."""
    found = yield from _blocks(target, sizes, until)
    size = found.get("stuck")
    if size is not None:
        again = yield from _blocks(target, [_SMALL, size], until)
        # Not the size but the moment was the reason.
        found["again"] = again.get("stuck") == size and again["returned"] == [_SMALL]
    return found


def _blocks(target: Dict, sizes: List, until: float) -> Talk:
    found: Dict = {"outcome": "timeout", "returned": []}
    with socket.socket(family_of(target["host"]), socket.SOCK_STREAM) as sock:
        try:
            opened = min(until, time.monotonic() + _BLOCK_S)
            found["outcome"], _by = yield from connecting(sock, target["host"], int(target["tcp"]), opened)
            if found["outcome"] != "connected":
                return found
            # One packet for each block.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeting = b"%b%b stream\n" % (GREETING, str(target["token"]).encode())
            yield from _send(sock, greeting, None, until)
            count = len(greeting)
            for size in sizes:
                found["stuck"], count = size, count + size
                limit = min(until, time.monotonic() + _BLOCK_S)
                yield from _send(sock, BLOCK[:size], None, limit)
                if (yield from _read(sock, size, limit)) != BLOCK[:size]:
                    found["outcome"] = "damaged"
                    return found
                found["returned"].append(size)
            del found["stuck"]
            found["outcome"] = "returned"
        except socket.timeout:
            found["outcome"] = "stalled"
            # The kernel counts the first packet of a connection as a byte.
            found["arrived"] = kernel_of(sock).get("acknowledged", 0) >= count
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
    return found


def _read(sock: socket.socket, length: int, until: float) -> Talk:
    data = b""
    while len(data) < length:
        more = yield from _patiently(sock, select.POLLIN, sock.recv, length - len(data), until)
        if not more:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        data += more
    return data


def _bulk(target: Dict, length: int, ask: Dict, until: float) -> Dict:
    limit = min(until, time.monotonic() + float(ask.get("bulk_timeout_s") or 8.0))
    found: Dict = alone(_request(target, length, length, limit))
    return found


def _request(target: Dict, up: int, down: int, until: float) -> Talk:
    """Make one connection and send and receive; return how far it came."""
    found: Dict = {"outcome": "timeout", "stage": "connect", "sent": 0, "received": 0}
    began = time.monotonic()
    sock = socket.socket(family_of(target["host"]), socket.SOCK_STREAM)
    with sock:
        try:
            if not up:
                fewer_packets(sock)
            outcome, refused_by = yield from connecting(sock, target["host"], int(target["tcp"]), until)
            found["connect_ms"] = ms_since(began)
            if outcome != "connected":
                found["outcome"], found["refused_by"] = outcome, refused_by
                return found
            found["local"], found["local_port"] = sock.getsockname()[:2]
            found["stage"] = "send"
            yield from _send(sock, _greeting(target, up, down), None, until)
            yield from _talk(sock, up, down, found, until)
        except socket.timeout:
            found["outcome"] = "stalled"
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
        finally:
            found["duration_ms"] = ms_since(began)
            found["kernel"] = kernel_of(sock)
        if found["outcome"] == "answered" and not down:
            abort_on_close(sock)
    return found


def _talk(sock: socket.socket, up: int, down: int, found: Dict, until: float) -> Talk:
    began = time.monotonic()
    for offset in range(0, up, len(BLOCK)):
        yield from _send(sock, BLOCK[: up - offset], found, until)
    found["stage"] = "reply"
    line, rest = yield from _line(sock, until)
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
        data = yield from _patiently(sock, select.POLLIN, sock.recv, 262144, until)
        if not data:
            found["outcome"] = "closed"
            return
        found["received"], crc = found["received"] + len(data), zlib.crc32(data, crc)
    found["down_s"] = round(time.monotonic() - began, 4)
    whole = seen.get("bytes") == up and seen.get("crc") == crc_of(up) and seen.get("down_crc") == crc
    found["outcome"], found["stage"] = ("answered", "done") if whole else ("damaged", "receive")


def _patiently(sock: socket.socket, event: int, act: Callable[[Json], Json], given: Json, until: float) -> Talk:
    """Send or receive; raise `socket.timeout` when the time is over, or when the connection has been quiet for too long."""
    while True:
        try:
            return act(given)
        except BlockingIOError:
            came = yield sock, event, min(until, time.monotonic() + _LOOK_S)
        if not came and (time.monotonic() >= until or kernel_of(sock).get("quiet_ms", 0) >= _QUIET_S * 1000):
            raise socket.timeout


def _send(sock: socket.socket, data: bytes, found: Dict | None, until: float) -> Talk:
    view = memoryview(data)
    while view:
        count = yield from _patiently(sock, select.POLLOUT, sock.send, view, until)
        view = view[count:]
        if found is not None:
            found["sent"] += count


def _line(sock: socket.socket, until: float) -> Talk:
    data = b""
    while b"\n" not in data and len(data) < _LONGEST_LINE:
        more = yield from _patiently(sock, select.POLLIN, sock.recv, 65536, until)
        if not more:
            return b"", b""
        data += more
    line, _newline, rest = data.partition(b"\n")
    return line, rest


def _greeting(target: Dict, up: int, down: int) -> bytes:
    return b"%b%b %d %d\n" % (GREETING, str(target["token"]).encode(), up, down)
