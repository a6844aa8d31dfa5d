# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replace names and addresses, so that the same one is always replaced by the same word."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_V4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w.-]*[A-Za-z]|\.?\d)")
_V6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,45}(?![\w:])")
_MAC = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])")
_KEY = re.compile(r"\b(nodekey|mkey|discokey|nlpub|chalpub):[0-9A-Fa-f]{16,}")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# Where a name may begin: a word, or another character.
_BEGINNING = re.compile(r"(?<![A-Za-z0-9])(?:[A-Za-z0-9]+|[^A-Za-z0-9])")
# Documented addresses that say what is meant, and nothing of a site.
_PLAIN_V4 = {"0.0.0.0", "127.0.0.1", "127.0.0.53", "255.255.255.255", "100.100.100.100", "100.64.0.0"}  # noqa: S104
_PLAIN_V6 = {"::", "::1", "fd7a:115c:a1e0::", "fd7a:115c:a1e0::53"}
# Words that every archive has: they identify nothing.
_COMMON = frozenset((
    "all", "clients", "default", "headscale", "headscale-server", "localhost", "mesh", "node", "none", "relay", "relays",
    "root", "router", "server", "tailscale", "tailscaled", "test", "user", "www",
))  # fmt: skip
_SHORTEST = 3


class Pseudonyms:
    """Knows which word replaces which."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Take the names and the kind of each: `host`, `user` or `domain`."""
        self._counts: dict[str, int] = {}
        self._known: dict[tuple[str, str], str] = {}
        wanted = {name: kind for name, kind in names.items() if len(name) >= _SHORTEST and name.lower() not in _COMMON}
        self._names = {name.lower(): self._next(kind, name.lower()) for name, kind in sorted(wanted.items())}
        # Not one pattern of all names: hosts may name a hundred thousand.
        lengths: dict[str, set[int]] = {}
        for name in self._names:
            if found := _BEGINNING.match(name):
                lengths.setdefault(found[0], set()).add(len(name))
        # The longest first: one name may be part of another.
        self._lengths = {word: sorted(known, reverse=True) for word, known in lengths.items()}

    def text(self, value: str) -> str:
        """Return a text with its names and addresses replaced."""
        value = _MAIL.sub(lambda match: self._next("mail", match[0].lower()) + "@example.com", value)
        value = self._without_names(value)
        value = _KEY.sub(lambda match: f"{match[1]}:{self._next('key', match[0])}", value)
        value = _MAC.sub(lambda match: self._next("mac", match[0].lower()), value)
        value = _V6.sub(lambda match: self._v6(match[0]), value)
        return _V4.sub(lambda match: self._v4(match[0]), value)

    def _without_names(self, value: str) -> str:
        parts, done = [], 0
        for match in _BEGINNING.finditer(value):
            start = match.start()
            if start >= done and (name := self._name_at(value, start, match[0].lower())):
                parts += [value[done:start], self._names[name]]
                done = start + len(name)
        return "".join([*parts, value[done:]])

    def _name_at(self, value: str, start: int, word: str) -> str:
        for length in self._lengths.get(word, ()):
            name, after = value[start : start + length].lower(), value[start + length : start + length + 1]
            if name in self._names and not (after.isascii() and after.isalnum()):
                return name
        return ""

    def _next(self, kind: str, original: str) -> str:
        key = (kind, original)
        if key not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[key] = f"{kind}-{self._counts[kind]}"
        return self._known[key]

    def _number(self, kind: str, original: str) -> int:
        return int(self._next(kind, original).rpartition("-")[2])

    def _v4(self, text: str) -> str:
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            return text
        if text in _PLAIN_V4 or text.startswith("255."):
            return text
        # Addresses of one /24 stay together; the mesh stays recognizable.
        network, host = text.rpartition(".")[0], text.rpartition(".")[2]
        number = self._number("net4", network)
        first = "100.127" if address in ipaddress.IPv4Network("100.64.0.0/10") else "10"
        middle = str(number % 256) if first != "10" else f"{number // 256 % 256}.{number % 256}"
        return f"{first}.{middle}.{host}"

    def _v6(self, text: str) -> str:
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError:
            return text
        if str(address) in _PLAIN_V6 or address.is_multicast:
            return text
        network = ipaddress.IPv6Network((int(address) >> 64 << 64, 64))
        number, host = self._number("net6", str(network)), self._number("host6", str(address))
        return f"2001:db8:0:{number:x}::{host:x}"


def names(report: Mapping[str, Any], documents: Iterable[Any], extra: Mapping[str, str]) -> dict[str, str]:
    """Return the names that an archive contains, as far as its report and JSON documents say them."""
    found = dict(extra)
    # The report may be of any origin, and of any shape.
    for host, about in _mapping(_mapping(report.get("topology")).get("hosts")).items():
        known, listed = _mapping(about), _mapping(about).get("names")
        found[str(host)] = "host"
        found |= {str(name): "domain" for name in (listed if isinstance(listed, list) else ())}
        found |= {str(known[key]): "host" for key in ("router", "subnet", "mesh_name") if known.get(key)}
    for document in documents:
        for key, value in _members(document):
            kind = _KEYS.get(key.lower())
            if kind and isinstance(value, str) and 0 < len(value) <= 253:  # noqa: PLR2004
                found |= {part: kind for part in (value.rstrip("."), value.rstrip(".").partition(".")[0]) if part}
    return found


# Keys of tailscaled's and headscale's answers whose values are names.
_KEYS = {
    "hostname": "host", "computedname": "host", "dnsname": "host", "givenname": "host", "name": "host", "domain": "domain",
    "magicdnssuffix": "domain", "loginname": "user", "displayname": "user", "email": "user", "username": "user",
    "regioncode": "relay", "regionname": "relay", "certname": "domain",
}  # fmt: skip


def _members(document: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """Yield the members of all objects, however deep a document is."""
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield from ((str(key), item) for key, item in value.items())
            left += value.values()
        elif isinstance(value, list):
            left += value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
