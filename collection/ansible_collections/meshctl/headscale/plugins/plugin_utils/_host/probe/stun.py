# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask Tailscale's STUN servers."""

from __future__ import annotations

import os
import socket
import struct

from .base import Unseen, each, left
from .tcp import bypass
from .wire import FAMILIES, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json

_STUN_COOKIE = 0x2112A442


def ask_servers(ask: Dict, until: float) -> Json:
    """Ask STUN servers for this host's public address."""
    return each(lambda target: _ask_one(target, ask, until), list(ask.get("targets") or []), until)


def _ask_one(target: Dict, ask: Dict, until: float) -> Dict:
    host, port = str(target["host"]), int(target["port"])
    found: Dict = {"host": host, "port": port, "outcome": "timeout", "mapped": ""}
    patience = float(ask.get("try_timeout_s") or 1.0)
    try:
        family = FAMILIES.get(target.get("family"), socket.AF_UNSPEC)
        kind, _type, _proto, _name, address = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            if ask.get("bypass"):
                bypass(sock)
            sock.connect(address)
            for _attempt in range(int(ask.get("tries") or 2)):
                sock.settimeout(min(patience, left(until)))
                transaction = os.urandom(12)
                sock.send(_stun_request(transaction))
                try:
                    found["mapped"] = _mapped(sock.recv(2048), transaction)
                except socket.timeout:
                    continue
                found["outcome"] = "answered"
                break
    except socket.gaierror as exc:
        found.update(outcome="no-name", error=str(exc))
    except OSError as exc:
        found["outcome"] = outcome_of(exc.errno)
    return found


def _stun_request(transaction: bytes) -> bytes:
    from binascii import crc32

    # Tailscale's servers only answer requests with its software attribute and a fingerprint.
    software = struct.pack("!HH", 0x8022, 8) + b"tailnode"
    head = struct.pack("!HHI", 1, len(software) + 8, _STUN_COOKIE) + transaction
    return head + software + struct.pack("!HHI", 0x8028, 4, crc32(head + software) ^ 0x5354554E)


def _mapped(answer: bytes, transaction: bytes) -> str:
    """Return address and port in a binding response."""
    if len(answer) < 20 or answer[:2] != b"\x01\x01" or answer[8:20] != transaction:
        raise Unseen("bad_response", "the answer is not STUN")
    at = 20
    while at + 4 <= len(answer):
        kind, size = struct.unpack("!HH", answer[at : at + 4])
        value = answer[at + 4 : at + 4 + size]
        if kind == 0x20 and size in (8, 20):
            port = struct.unpack("!H", value[2:4])[0] ^ (_STUN_COOKIE >> 16)
            mask = struct.pack("!I", _STUN_COOKIE) + transaction
            raw = bytes(one ^ other for one, other in zip(value[4:], mask))
            host = socket.inet_ntop(socket.AF_INET if size == 8 else socket.AF_INET6, raw)
            host = host[7:] if host.startswith("::ffff:") and "." in host else host
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        at += 4 + size + -size % 4
    return ""
