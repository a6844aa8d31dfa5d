# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that several assertions share, and how they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...module_utils._errors import BadInput
from .._expectations.requirements import REQUIREMENTS
from .._judge.answer import Json, address, addresses, mapping, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._judge.context import Node

COMMON: Final[dict[str, dict[str, Any]]] = {
    "story": {"type": "str"},
    "deadline": {"type": "float"},
    "interval": {"type": "float", "default": 0.25},
    "skip": {"type": "str", "default": ""},
    "requires": {"type": "list", "elements": "str", "choices": list(REQUIREMENTS), "default": []},
    "socket": {"type": "path"},
}
ASPECT: Final[dict[str, dict[str, Any]]] = {"aspect": {"type": "str", "default": ""}}
MEMBERS: Final[dict[str, dict[str, Any]]] = {
    "nodes": {"type": "raw"},
    "peers": {"type": "list", "elements": "str"},
}
SERVER: Final[dict[str, dict[str, Any]]] = {
    "url": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "api_key_file": {"type": "path"},
    "ca_path": {"type": "path", "aliases": ["ca_file"]},
}
PATH: Final[dict[str, dict[str, Any]]] = {"path": {"type": "str", "choices": ["auto", "direct", "relay", "any"]}}
FAMILIES: Final = {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"]}


def lifted(answer: Json, capture: str, names: Sequence[str]) -> dict[str, Any]:
    """Return an answer that also lists the observations that were made during a capture, if there was one."""
    observations = mapping(mapping(answer).get("observations"))
    if capture not in observations:
        return mapping(answer)
    watched = mapping(observations.get(capture))
    # If the capture failed, the observations during it were not made either.
    during = mapping(mapping(watched.get("data")).get("during")) or dict.fromkeys(names, watched)
    return {**mapping(answer), "observations": {**observations, **during}}


def unpacked(answer: Json, sequence: str, names: Sequence[str]) -> dict[str, Any]:
    """Return an answer that also lists the steps of a sequence of observations."""
    observations = mapping(mapping(answer).get("observations"))
    made = mapping(observations.get(sequence))
    # If the sequence failed or did not come so far, these were not made, for the same reason.
    steps = {**dict.fromkeys(names, made), **mapping(made.get("data"))}
    return {**mapping(answer), "observations": {**observations, **steps}}


def wanted(peers: Iterable[Node], pending: frozenset[str | None] | None) -> list[Node]:
    """Return the peers that are still to be examined."""
    return [peer for peer in peers if pending is None or peer.name in pending]


def families(names: Sequence[str]) -> tuple[int, ...]:
    """Return the address families of `ipv4` and `ipv6`; raise `BadInput` if there is none."""
    if not names:
        raise BadInput("families is empty: name ipv4, ipv6 or both")
    return tuple({"ipv4": 4, "ipv6": 6}[name] for name in dict.fromkeys(names))


def used(wanted_families: Sequence[int], nodes: Iterable[Node]) -> tuple[int, ...]:
    """Return the families in which any node has a mesh address, all if none has one: a server may give addresses of one only."""
    known = {6 if ":" in address else 4 for node in nodes for address in node.addresses}
    return tuple(family for family in wanted_families if family in known) or tuple(wanted_families)


def positive(name: str, value: Json) -> int:
    """Return a whole number above zero; raise `BadInput`."""
    found = number(value)
    if found is None or found < 1 or found != int(found):
        raise BadInput(f"{name} is {value!r}: write a whole number above zero")
    return int(found)


def ip_addresses(name: str, given: Json) -> tuple[str, ...]:
    """Return one or several IP addresses; raise `BadInput`."""
    entries = given if isinstance(given, list) else [given]
    if not entries or not all(address(entry) for entry in entries):
        raise BadInput(f"the addresses of {name} are {given!r}: write IP addresses")
    return tuple(addresses(entries))
