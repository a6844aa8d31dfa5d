# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make up nodes for a policy whose mesh is not at hand: one for each user and one for each tag that it names."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from .nodes import Node, User

if TYPE_CHECKING:
    from collections.abc import Sequence

# The end of each range: people name the first addresses.
_FIRST = {"ipv4": ip_address("100.127.240.1"), "ipv6": ip_address("fd7a:115c:a1e0:f000::1")}
_MOST = 2000


def sample(document: Any, families: Sequence[str] = ("ipv4", "ipv6")) -> list[Node]:  # noqa: ANN401 - HuJSON
    """Return the nodes; a policy that names no user or no tag gets one, so that its autogroups have a member."""
    words = dict.fromkeys(_words(document))
    users = [word for word in words if "@" in word and not word.startswith(("group:", "tag:"))] or ["user@"]
    tags = [word for word in words if word.startswith("tag:")]
    # An administrator may give a node any tag, also one that the policy does not name.
    if not tags and any(word.startswith("autogroup:tagged") for word in words):
        tags = ["tag:sample"]
    nodes = []
    for number, name in enumerate([*users, *tags][:_MOST]):
        addresses = tuple(str(_FIRST[family] + number) for family in families)
        if name in tags:
            nodes.append(Node(name=f"sample-{number}", tags=(name,), addresses=addresses))
        else:
            nodes.append(Node(name=f"sample-{number}", user=_user(name, number + 1), addresses=addresses))
    return nodes


def _user(name: str, number: int) -> User:
    bare = name.removesuffix("@")
    return User(bare, bare if "@" in bare else "", "", str(number))


def _words(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Return every name of a policy, without the ports of targets."""
    if isinstance(value, str):
        yield _without_ports(value)
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
