# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check where Headscale listens; `headscale configtest` does not, and Headscale ends when it cannot listen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .. import urls
from .finding import Finding
from .settings import Settings

_TCP = ("listen_addr", "metrics_listen_addr", "grpc_listen_addr")
_HTTP, _CHALLENGE = "tls_letsencrypt_listen", "tls_letsencrypt_challenge_type"
_PORTS = {"http": "80", "https": "443"}
_STUN = "derp.server.stun_listen_addr"
_ADDRESS = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5}|[a-z][a-z0-9-]*)")
_HIGHEST_PORT = 65535
_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - what a configuration may have


def findings(settings: Settings) -> Iterator[Finding]:
    """Return addresses that are none, that two listeners share, or that no client reaches."""
    embedded = settings.flag("derp.server.enabled", otherwise=False) and settings.text(_STUN)
    parsed = {name: _parsed(said) for name in (*_TCP, *((_STUN,) if embedded else ())) if (said := settings.text(name))}
    if settings.text("tls_letsencrypt_hostname") and settings.text(_CHALLENGE, "HTTP-01") == "HTTP-01":
        parsed[_HTTP] = _parsed(settings.text(_HTTP, ":http"))
    for name, place in parsed.items():
        if not place:
            yield settings.finding(
                "listen", "high", name, f"{name} is not an address and a port, and Headscale ends when it starts",
                "write it as 0.0.0.0:8080",
            )  # fmt: skip
    places = [(name, place) for name, place in parsed.items() if place and name != _STUN]
    for number, (name, place) in enumerate(places):
        for other, taken in places[:number]:
            if _collide(place, taken):
                yield settings.finding(
                    "listen", "high", name, f"{other} and {name} have the same port, and Headscale ends when it starts",
                    "give each its own port",
                )  # fmt: skip
    stun = parsed.get(_STUN)
    if stun and urls.is_loopback(stun[0]):
        yield settings.finding(
            "listen", "high", _STUN, "only this host reaches STUN, so nodes do not learn their public addresses",
            "write 0.0.0.0:3478",
        )  # fmt: skip


def _parsed(said: str) -> tuple[str, str] | None:
    """Return host and port of an address as Go's listeners take it, None if it is none."""
    found = _ADDRESS.fullmatch(said)
    if not found or (found["port"].isdecimal() and int(found["port"]) > _HIGHEST_PORT):
        return None
    return found["host"].strip("[]"), _PORTS.get(found["port"], found["port"])


def _collide(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return one[1] == other[1] != "0" and (one[0] == other[0] or one[0] in _ANY or other[0] in _ANY)
