# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolve names like every program on the host."""

from __future__ import annotations

import socket
import time

from .base import MAX_BODY, Unseen, each, ms_since
from .wire import family_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json


# HOST_NOT_FOUND and NO_DATA of netdb.h.
_UNKNOWN_HOST = ((1,), (4,))


def look_up(ask: Dict, until: float) -> Json:
    """Resolve names like every program on the host, and addresses to names."""
    names = list(ask.get("names") or [])
    family = {4: socket.AF_INET, 6: socket.AF_INET6}.get(int(ask.get("family") or 0), socket.AF_UNSPEC)
    asked: Dict = {}

    def one(name: str) -> Dict:
        asked[name] = time.monotonic()
        return _look_up_one(name, family)

    found = each(lambda name: one(str(name)), names, until, workers=16)
    return [result or _unanswered(str(name), asked) for name, result in zip(names, found)]


def _unanswered(name: str, asked: Dict) -> Dict:
    """Return the outcome of a name that has not been answered, and how long it has been waited for."""
    if name not in asked:
        return {"name": name, "outcome": "not-asked", "addresses": []}
    return {"name": name, "outcome": "timeout", "addresses": [], "waited_ms": ms_since(asked[name])}


def _look_up_one(name: str, family: int) -> Dict:
    began = time.monotonic()
    found: Dict = {"name": name, "outcome": "found", "addresses": [], "canonical": ""}
    try:
        if _is_address(name):
            # `getnameinfo` would stop all threads of this Python while it waits.
            found["canonical"] = socket.gethostbyaddr(name)[0]
            found["duration_ms"] = ms_since(began)
            return found
        rows = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)
        found["addresses"] = list(dict.fromkeys(row[4][0] for row in rows))
        found["canonical"] = rows[0][3] if rows else ""
    except socket.gaierror as exc:
        absent = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5))
        found.update(outcome="not-found" if exc.errno in absent else "failed", error=str(exc))
    except socket.herror as exc:
        found.update(outcome="not-found" if exc.args[:1] in _UNKNOWN_HOST else "failed", error=str(exc))
    except (OSError, UnicodeError) as exc:
        found.update(outcome="failed", error=str(exc))
    found["duration_ms"] = ms_since(began)
    return found


def _is_address(name: str) -> bool:
    try:
        socket.inet_pton(family_of(name), name)
    except (OSError, ValueError):
        return False
    return True


def read_resolv_conf() -> Dict:
    found: Dict = {"nameservers": [], "search": [], "text": ""}
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            found["text"] = file.read(MAX_BODY)
    except OSError as exc:
        raise Unseen("unreadable", f"/etc/resolv.conf: {exc.strerror}") from exc
    for line in found["text"].splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found["nameservers"].append(words[1])
        elif len(words) > 1 and words[0] in ("search", "domain"):
            found["search"] = words[1:]
    return found


def resolv_conf(_ask: Dict, _until: float) -> Json:
    return read_resolv_conf()
