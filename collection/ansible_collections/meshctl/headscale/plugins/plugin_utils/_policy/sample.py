# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make up nodes for a policy whose mesh is not at hand: one for each user and one for each tag that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, islice
from typing import Any, Final

from .addresses import AddressSet
from .aliases import is_prefix
from .nodes import Node, User

PREFIXES: Final[dict[str, str]] = {"ipv4": "100.64.0.0/10", "ipv6": "fd7a:115c:a1e0::/48"}
_MOST = 2000


def sample(
    document: Any,  # noqa: ANN401 - HuJSON
    prefixes: Mapping[str, str] | None = None,
    users: Collection[str] | None = None,
) -> list[Node]:
    """Return the nodes, with addresses of the mesh's prefixes; other users than these have none, if they are given.

    A policy that names no user or no tag gets one, so that its autogroups have a member.
    """
    words = dict.fromkeys(_words(document))
    named = [word for word in words if "@" in word and not word.startswith(("group:", "tag:"))]
    owners = [word for word in named if users is None or word.removesuffix("@") in users] or ["user@"]
    tags = [word for word in words if word.startswith("tag:")]
    # An administrator may give a node any tag, also one that the policy does not name.
    if not tags and any(word.startswith("autogroup:tagged") for word in words):
        tags = ["tag:sample"]
    nodes = []
    names = [*owners, *tags][:_MOST]
    literal = [AddressSet.of(part) for word in words for part in (word, word.rpartition(":")[0]) if is_prefix(part)]
    drawn = [_addresses(family, prefix, literal, len(names)) for family, prefix in (prefixes or PREFIXES).items()]
    for number, (name, *addresses) in enumerate(zip(names, *drawn, strict=True)):
        if name in tags:
            nodes.append(Node(name=f"sample-{number}", tags=(name,), addresses=tuple(addresses)))
        else:
            nodes.append(Node(name=f"sample-{number}", user=_user(name, number + 1), addresses=tuple(addresses)))
    return nodes


def _addresses(family: str, prefix: str, literal: Sequence[AddressSet], count: int) -> list[str]:
    """Return addresses from the end of a prefix, if there are enough, without those that the policy names."""
    usual = AddressSet.of(PREFIXES[family])
    given = AddressSet.of(prefix) if is_prefix(prefix) else usual
    mesh = given if given.versions == usual.versions else usual
    taken = AddressSet.union(one for one in literal if not one.covers(mesh))
    # Too few are left of a small prefix, or of one that the policy names piece by piece.
    free = chain(islice(_from_end(mesh, taken), count), islice(_from_end(usual, AddressSet()), 2 * count))
    read = IPv4Address if family == "ipv4" else IPv6Address
    return [str(read(number)) for number in islice(dict.fromkeys(free), count)]


def _from_end(mesh: AddressSet, taken: AddressSet) -> Iterator[int]:
    """Return the addresses between the first and the last of a prefix that are not taken, the highest first."""
    ((version, first, last),) = mesh.ranges
    for _version, low, high in reversed([one for one in taken.ranges if one[0] == version]):
        yield from range(last - 1, max(high, first), -1)
        last = min(last, low)
    yield from range(last - 1, first, -1)


def _user(name: str, number: int) -> User:
    bare = name.removesuffix("@")
    return User(bare, bare if "@" in bare else "", "", str(number))


def _words(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Return every name of a policy, without the ports of targets and the white space that Headscale ignores."""
    if isinstance(value, str):
        yield _without_ports(value.strip())
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _words(key)
            yield from _words(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _words(entry)


def _without_ports(word: str) -> str:
    prefix = "tag:" if word.startswith("tag:") else ""
    return prefix + word.removeprefix(prefix).partition(":")[0] if prefix or "@" in word else word
