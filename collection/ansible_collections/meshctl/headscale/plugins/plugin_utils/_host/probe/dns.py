# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask name servers over UDP or TCP, bypassing the system's resolver."""

from __future__ import annotations

import os
import socket
import struct
import time

from .base import Unseen, each, left, ms_since
from .names import read_resolv_conf
from .tcp import connect
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

_TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28}
_TYPE_NAMES = {number: name for name, number in _TYPES.items()}
_MOST_RECORDS = 256
_LONGEST_NAME = 255
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")


def ask_servers(ask: Dict, until: float) -> Json:
    """Ask a name server over UDP, or over TCP with `tcp`, bypassing the system's resolver."""
    server = ask.get("server") or next(iter(read_resolv_conf()["nameservers"]), None)
    if not server:
        raise Unseen("no_server", "/etc/resolv.conf names no server")
    queries = list(ask.get("queries") or [])
    return each(lambda query: _ask_server(str(server), ask, query, until), queries, until, workers=16)


def _ask_server(server: str, ask: Dict, query: Dict, until: float) -> Dict:
    name, kind = str(query["name"]), str(query.get("type") or "A").upper()
    found: Dict = {"name": name, "type": kind, "server": server, "outcome": "timeout", "rcode": None, "answers": []}
    began = time.monotonic()
    patience = float(ask.get("try_timeout_s") or 1.0)
    port = int(ask.get("port") or 53)
    for attempt in range(int(ask.get("tries") or 2)):
        found["tries"] = attempt + 1
        limit = min(until, time.monotonic() + patience)
        try:
            if (_over_tcp if ask.get("tcp") else _over_udp)(server, port, found, _question(name, kind), limit):
                break
        except socket.timeout:
            found["outcome"] = "timeout"
        except OSError as exc:
            found["outcome"] = outcome_of(exc.errno)
            break
    found["duration_ms"] = ms_since(began)
    return found


def _over_udp(server: str, port: int, found: Dict, question: bytes, until: float) -> bool:
    with socket.socket(family_of(server), socket.SOCK_DGRAM) as sock:
        sock.connect((server, port))
        return _exchange(sock, found, question, until)


def _over_tcp(server: str, port: int, found: Dict, question: bytes, until: float) -> bool:
    """Ask over a new connection; a message follows its length."""
    with socket.socket(family_of(server), socket.SOCK_STREAM) as sock:
        outcome, by = connect(sock, server, port, until)
        if outcome != "connected":
            found.update(outcome=outcome, refused_by=by)
            return outcome != "timeout"
        found["connected"] = True
        sock.settimeout(left(until))
        sock.sendall(struct.pack("!H", len(question)) + question)
        reply = _message(sock, until)
    if not reply:
        found["outcome"] = "closed"
        return True
    if len(reply) < len(question) or reply[:2] != question[:2] or not _same_question(reply, question):
        raise Unseen("bad_response", "the name server answers another question over TCP")
    found.update(_parse_reply(reply, len(question)))
    found["outcome"] = "answered"
    return True


def _message(sock: socket.socket, until: float) -> bytes:
    """Return the message of a name server, empty if it closes the connection first."""
    data = b""
    while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
        sock.settimeout(left(until))
        more = sock.recv(65537)
        if not more:
            return b""
        data += more
        if time.monotonic() >= until:
            raise socket.timeout("timed out")
    return data[2 : 2 + struct.unpack("!H", data[:2])[0]]


def _exchange(sock: socket.socket, found: Dict, question: bytes, until: float) -> bool:
    sock.send(question)
    # A connected socket only receives that server's datagrams; id and question identify the answer.
    while time.monotonic() < until:
        sock.settimeout(left(until))
        try:
            reply = sock.recv(4096)
        except socket.timeout:
            return False
        if len(reply) >= len(question) and reply[:2] == question[:2] and _same_question(reply, question):
            found.update(_parse_reply(reply, len(question)))
            found["outcome"] = "answered"
            return True
    return False


def _same_question(reply: bytes, question: bytes) -> bool:
    return bool(reply[2] & 0x80) and reply[12 : len(question)].lower() == question[12:].lower()


def _question(name: str, kind: str) -> bytes:
    if kind == "PTR":
        name = _reverse(name)
    if kind not in _TYPES:
        raise Unseen("bad_query", f"{kind!r} is not a record type that the probe knows")
    labels = [label.encode("idna") if not label.isascii() else label.encode() for label in name.rstrip(".").split(".")]
    if any(not 0 < len(label) < 64 for label in labels):
        raise Unseen("bad_query", f"{name!r} is not a host name")
    head = struct.pack("!2sHHHHH", os.urandom(2), 0x0100, 1, 0, 0, 0)
    encoded = b"".join(bytes([len(label)]) + label for label in labels)
    return head + encoded + struct.pack("!BHH", 0, _TYPES[kind], 1)


def _reverse(name: str) -> str:
    if ":" in name:
        return ".".join(reversed(socket.inet_pton(socket.AF_INET6, name).hex())) + ".ip6.arpa"
    parts = name.split(".")
    if len(parts) == 4 and all(part.isdigit() for part in parts):
        return ".".join(reversed(parts)) + ".in-addr.arpa"
    return name


def _parse_reply(reply: bytes, offset: int) -> Dict:
    flags, _questions, count = struct.unpack("!HHH", reply[2:8])
    answers: List = []
    try:
        if count > _MOST_RECORDS:
            raise ValueError(f"{count} records, of which at most {_MOST_RECORDS} are read")
        for _number in range(count):
            name, offset = _name_at(reply, offset)
            kind, _class, ttl, size = struct.unpack("!HHIH", reply[offset : offset + 10])
            offset += 10
            value = _record(reply, kind, offset, size)
            answers.append({"name": name, "type": _TYPE_NAMES.get(kind, str(kind)), "ttl": ttl, "value": value})
            offset += size
    except (struct.error, IndexError, ValueError) as exc:
        raise Unseen("bad_response", f"the name server's answer is broken: {exc}") from exc
    code = flags & 15
    return {"rcode": _RCODES[code] if code < len(_RCODES) else str(code), "answers": answers,
            "authoritative": bool(flags & 0x400), "truncated": bool(flags & 0x200)}  # fmt: skip


def _record(reply: bytes, kind: int, offset: int, size: int) -> str:
    data = reply[offset : offset + size]
    if kind == 1:
        return socket.inet_ntop(socket.AF_INET, data)
    if kind == 28:
        return socket.inet_ntop(socket.AF_INET6, data)
    if kind in (2, 5, 12):
        return str(_name_at(reply, offset)[0])
    return data.hex()


def _name_at(reply: bytes, offset: int) -> Tuple:
    labels, after, jumps, length = [], None, 0, 0
    while True:
        size = reply[offset]
        if size >= 192:
            jumps += 1
            if jumps > 32:
                raise ValueError("a name that points to itself")
            after = offset + 2 if after is None else after
            offset = struct.unpack("!H", reply[offset : offset + 2])[0] & 0x3FFF
            continue
        length += size + 1
        if length > _LONGEST_NAME:
            raise ValueError(f"a name of more than {_LONGEST_NAME} bytes")
        offset += 1
        if not size:
            break
        labels.append(reply[offset : offset + size].decode("latin-1"))
        offset += size
    return ".".join(labels), offset if after is None else after
