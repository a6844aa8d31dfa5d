# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protocols and port ranges as policies write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...module_utils._errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

Ports = tuple[tuple[int, int], ...]

ALL_PORTS: Ports = ((0, 65535),)
ICMP = {"ipv4": 1, "ipv6": 58}
WITH_PORTS = frozenset({6, 17, 132})
NUMBERS = {
    "icmp": 1, "igmp": 2, "ipv4": 4, "ip-in-ip": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "gre": 47, "esp": 50, "ah": 51,
    "ipv6-icmp": 58, "sctp": 132, "fc": 133,
}  # fmt: skip
# What a rule without a protocol covers: TCP, UDP and both ICMPs.
DEFAULT_PROTOCOLS = frozenset({6, 17, 1, 58})
_HIGHEST_PORT = 65535
_HIGHEST_PROTOCOL = 255
# As Go's Atoi reads it; no number that counts here is longer.
_NUMBER = re.compile(r"\+?0*([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Service:
    """The protocols and ports of a rule."""

    protocols: frozenset[int] = DEFAULT_PROTOCOLS
    ports: Ports = ALL_PORTS


def read_protocol(text: str) -> int:
    """Return a protocol's number from its name or number. Raise `BadInput`."""
    if text in NUMBERS:
        return NUMBERS[text]
    number = _number(text)
    if number is None or text.startswith("0") or number > _HIGHEST_PROTOCOL:
        raise BadInput(f"the policy names the protocol {text!r}: write a name like tcp, or a number from 1 to 255")
    return number


def _number(text: str) -> int | None:
    found = _NUMBER.fullmatch(text)
    return int(found[1]) if found else None


def read_acl_protocols(protocol: str) -> frozenset[int]:
    """Return the protocols of an ACL's or a test's `proto`, the default ones if it is empty. Raise `BadInput`."""
    name = protocol.lower()
    if not name:
        return DEFAULT_PROTOCOLS
    # Headscale reads the number of a protocol that has a name before it refuses leading zeros.
    known = next((number for number in NUMBERS.values() if number == _number(name)), None)
    return frozenset({known or read_protocol(name)})


def read_acl_service(protocol: str, ports: str) -> Service:
    """Return the service of an ACL from its `proto` and the ports of a target. Raise `BadInput`."""
    service = Service(read_acl_protocols(protocol), read_ports(ports))
    if not service.protocols & WITH_PORTS and service.ports != ALL_PORTS:
        raise BadInput(f"the policy names ports {ports!r} for the protocol {protocol!r}: it has none, so write *")
    return service


def read_grant_service(text: str) -> Service:
    """Return the service of an `ip` entry of a grant: `*`, `443`, `tcp:80-90`, `icmp:*`. Raise `BadInput`."""
    protocol, colon, ports = text.rpartition(":")
    if not colon:
        return Service(ports=read_ports(ports))
    # An empty protocol is the default, as without the colon.
    return Service(frozenset({read_protocol(protocol)}) if protocol else DEFAULT_PROTOCOLS, read_ports(ports))


def read_ports(text: str) -> Ports:
    """Return the ranges of `*`, `22`, `80-90` or a list of them with commas. Raise `BadInput`."""
    if text == "*":
        return ALL_PORTS
    return tuple(_range(part) for part in text.split(","))


def _range(text: str) -> tuple[int, int]:
    if "-" not in text:
        port = _port(text)
        if port < 1:
            raise BadInput(f"the policy names the port {text!r}: ports start at 1, and * means all")
        return port, port
    ends = [_port(end) for end in text.split("-") if end]
    if len(ends) != 2 or ends[0] > ends[1]:  # noqa: PLR2004 - the two ends of a range
        raise BadInput(f"the policy names the ports {text!r}: write the lower one first, as in 80-90")
    return ends[0], ends[1]


def _port(text: str) -> int:
    number = _number(text)
    if number is None or number > _HIGHEST_PORT:
        raise BadInput(f"the policy names the port {text!r}: write a number up to 65535, a range or *")
    return number


def merged(ports: Ports) -> Ports:
    """Return sorted ranges that neither overlap nor touch."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ports):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def opened(services: Iterable[str]) -> dict[int, Ports]:
    """Return the TCP and UDP ports that these services open, as grants write them. Raise `BadInput`."""
    read = [read_grant_service(text) for text in services]
    return {
        protocol: merged(tuple(ports for service in read if protocol in service.protocols for ports in service.ports))
        for protocol in (NUMBERS["tcp"], NUMBERS["udp"])
    }


def shown(ports: Ports) -> str:
    """Return ranges as a policy writes them."""
    if ports == ALL_PORTS:
        return "*"
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
