# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide from the packet filter in a client's network map which packets it lets in, as Tailscale's `runIn4` does."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

from .keys import listed
from .ports import NUMBERS

if TYPE_CHECKING:
    from .addresses import Address


class Filter:
    """The packet filter that a client has; foreign data of any shape."""

    def __init__(self, matches: Any) -> None:  # noqa: ANN401
        """Read the matches; one that cannot be read lets nothing in."""
        entries = matches if isinstance(matches, list) else []
        self._matches = [entry for entry in entries if isinstance(entry, dict)]

    def accepts(self, source: Address, target: Address, protocol: str, port: int) -> bool:
        """Whether the client lets a packet in that opens a connection to its port."""
        return any(self._accepts(match, source, target, NUMBERS[protocol], port) for match in self._matches)

    @staticmethod
    def _accepts(match: dict[str, Any], source: Address, target: Address, protocol: int, port: int) -> bool:
        if protocol not in listed(match.get("IPProto")):
            return False
        if not any(source in network for text in listed(match.get("Srcs")) if (network := _network(text))):
            return False
        return any(
            (network := _network(entry.get("Net"))) and target in network and _holds(entry.get("Ports"), port)
            for entry in listed(match.get("Dsts"))
            if isinstance(entry, dict)
        )


def _holds(ports: Any, port: int) -> bool:  # noqa: ANN401
    first, last = (ports.get("First"), ports.get("Last")) if isinstance(ports, dict) else (None, None)
    return isinstance(first, int) and isinstance(last, int) and first <= port <= last


def _network(text: Any) -> IPv4Network | IPv6Network | None:  # noqa: ANN401
    return _read(text) if isinstance(text, str) else None


@cache
def _read(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
