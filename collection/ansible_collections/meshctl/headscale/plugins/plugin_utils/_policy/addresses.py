# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of IP addresses."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network, summarize_address_range
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Address = IPv4Address | IPv6Address
# Version, first and last address.
_Range = tuple[int, int, int]


@dataclass(frozen=True)
class AddressSet:
    """A set of addresses as sorted ranges that neither overlap nor touch."""

    ranges: tuple[_Range, ...] = ()

    @classmethod
    def of(cls, *texts: str) -> AddressSet:
        """Return the addresses of these addresses and prefixes. Raise `ValueError`."""
        return cls(_merged(_bounds(read_prefix(text)) for text in texts))

    @classmethod
    def union(cls, sets: Iterable[AddressSet]) -> AddressSet:
        """Return the addresses of all sets."""
        return cls(_merged(one for each in sets for one in each.ranges))

    def __or__(self, other: AddressSet) -> AddressSet:
        """Return the addresses of both sets."""
        return AddressSet(_merged((*self.ranges, *other.ranges)))

    def __sub__(self, other: AddressSet) -> AddressSet:
        """Return the addresses that the other set does not have."""
        left = list(self.ranges)
        for version, first, last in other.ranges:
            left = [piece for kept in left for piece in _cut(kept, version, first, last)]
        return AddressSet(tuple(left))

    def __contains__(self, address: Address) -> bool:
        """Whether the set has an address."""
        number = int(address)
        at = bisect_right(self.ranges, (address.version, number, _MOST)) - 1
        return at >= 0 and self.ranges[at][0] == address.version and number <= self.ranges[at][2]

    def __bool__(self) -> bool:
        """Whether the set has any address."""
        return bool(self.ranges)

    def parts(self) -> Iterator[AddressSet]:
        """Return each range as a set."""
        return (AddressSet((one,)) for one in self.ranges)

    def prefixes(self) -> Iterator[AddressSet]:
        """Return each prefix that the set consists of as a set."""
        for version, first, last in self.ranges:
            address = IPv4Address if version == 4 else IPv6Address  # noqa: PLR2004 - IPv4
            for net in summarize_address_range(address(first), address(last)):
                yield AddressSet((_bounds(net),))

    @property
    def versions(self) -> frozenset[int]:
        """Return the IP versions of the addresses."""
        return frozenset(version for version, _first, _last in self.ranges)

    def overlaps(self, other: AddressSet) -> bool:
        """Whether the sets share an address."""
        return any(
            version == version_b and first <= last_b and first_b <= last
            for version, first, last in self.ranges
            for version_b, first_b, last_b in other.ranges
        )

    def covers(self, other: AddressSet) -> bool:
        """Whether the set has all addresses of the other one."""
        return not other - self


_MOST = 1 << 128


def read_prefix(text: str) -> IPv4Network | IPv6Network:
    """Return an address or prefix in the forms that Headscale reads. Raise `ValueError`."""
    _address, slash, length = text.partition("/")
    if slash and not length.isdecimal():
        raise ValueError(f"{text!r} is not a prefix")
    return ip_network(text, strict=False)


def _bounds(network: IPv4Network | IPv6Network) -> _Range:
    return network.version, int(network.network_address), int(network.broadcast_address)


def _merged(ranges: Iterable[_Range]) -> tuple[_Range, ...]:
    merged: list[_Range] = []
    for version, first, last in sorted(ranges):
        if merged and merged[-1][0] == version and first <= merged[-1][2] + 1:
            merged[-1] = (version, merged[-1][1], max(last, merged[-1][2]))
        else:
            merged.append((version, first, last))
    return tuple(merged)


def _cut(kept: _Range, version: int, first: int, last: int) -> Iterator[_Range]:
    if kept[0] != version or last < kept[1] or kept[2] < first:
        yield kept
        return
    if kept[1] < first:
        yield version, kept[1], first - 1
    if last < kept[2]:
        yield version, last + 1, kept[2]


EVERYTHING = AddressSet.of("0.0.0.0/0", "::/0")
# The range that ChromeOS uses for its virtual machines is no part of the mesh.
TAILNET = AddressSet.of("100.64.0.0/10", "fd7a:115c:a1e0::/48") - AddressSet.of("100.115.92.0/23")
INTERNET = AddressSet.of("0.0.0.0/0", "2000::/3") - AddressSet.of(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"
)
