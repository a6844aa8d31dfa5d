# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the parts of a topology: mappings, networks, addresses, ports, links.

Each error is a `BadInput` that names the variable, the value and the remedy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...module_utils._errors import BadInput
from ...module_utils._ranges import MESH_IPV4, MESH_IPV6
from .variables import LABEL, shown

_THIS: Final = ipaddress.ip_network("0.0.0.0/8")
_LONGEST_PREFIX6: Final = 120
_RATES: Final = (8 * 10**3, 100 * 10**9)
_LONGEST_DELAY_MS: Final = 60_000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)(k|m|g)bit")
_LOSS = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_DURATION_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_RATE_BIT: Final = {"k": 10**3, "m": 10**6, "g": 10**9}


@dataclass(frozen=True, kw_only=True)
class Link:
    """Impairments of a link, in milliseconds, bits per second, bytes, and loss as a fraction."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate_bit: int = 0
    mtu: int = 1500


def mapping(what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{what} must be a mapping, not {shown(value)}")
    return value


def list_of(what: str, value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadInput(f"{what} must be a list, not {shown(value)}")
    return value


def check_keys(where: str, raw: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(raw) - set(known)):
        raise BadInput(f"{where}: unknown setting '{unknown[0]}'; use {', '.join(known)}")


def read_network(what: str, value: object) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(str(value))
    except ValueError as exc:
        raise BadInput(f"{what}: '{value}' is not an IPv4 network ({exc}); write one such as 192.168.1.0/24") from None
    if network.prefixlen > 29:  # noqa: PLR2004 - the gateway and a few hosts must fit
        raise BadInput(f"{what}: {network} is too small for a router and hosts; use a /29 or larger")
    if (
        network.is_loopback
        or network.is_multicast
        or network.is_link_local
        or network.overlaps(_THIS)
        or network.is_reserved
    ):
        raise BadInput(f"{what}: {network} cannot be a network of hosts; use a private one such as 192.168.1.0/24")
    if network.overlaps(MESH_IPV4):
        raise BadInput(f"{what}: {network} overlaps {MESH_IPV4}, which Headscale gives to mesh addresses")
    return network


def read_address(what: str, value: object, network: ipaddress.IPv4Network) -> str:
    try:
        address = ipaddress.IPv4Address(str(value))
    except ValueError:
        raise BadInput(f"{what}: '{value}' is not an IPv4 address") from None
    if address not in network or address in (network.network_address, network.broadcast_address):
        raise BadInput(f"{what}: {address} is not a host address of its subnet {network}")
    return str(address)


def read_network6(what: str, value: object) -> str:
    """Return an IPv6 network of hosts, empty if there is none."""
    if value in (None, ""):
        return ""
    try:
        network = ipaddress.IPv6Network(str(value))
    except ValueError as exc:
        raise BadInput(f"{what}: '{value}' is not an IPv6 network ({exc}); write one such as fd00:a::/64") from None
    if network.prefixlen > _LONGEST_PREFIX6:
        raise BadInput(f"{what}: {network} is too small for a router and hosts; use a /{_LONGEST_PREFIX6} or larger")
    if network.is_loopback or network.is_multicast or network.is_link_local:
        raise BadInput(f"{what}: {network} cannot be a network of hosts; use a private one such as fd00:a::/64")
    if network.overlaps(MESH_IPV6):
        raise BadInput(f"{what}: {network} overlaps {MESH_IPV6}, which Headscale gives to mesh addresses")
    return str(network)


def read_address6(what: str, value: object, network: str, *, where: str) -> str:
    """Return an IPv6 address of a network, empty if there is none; `where` is the setting that names the network."""
    if value in (None, ""):
        return ""
    try:
        address = ipaddress.IPv6Address(str(value))
    except ValueError:
        raise BadInput(f"{what}: '{value}' is not an IPv6 address") from None
    if not network:
        raise BadInput(f"{what}: {address} is in no network: add cidr6 to {where}, or remove the address")
    inside = ipaddress.IPv6Network(network)
    if address.scope_id or address not in inside or address == inside.network_address:
        raise BadInput(f"{what}: {address} is not a host address of its network {network}")
    return str(address)


def read_port(where: str, value: object) -> int:
    try:
        port = int(str(value))
    except ValueError:
        port = 0
    if not 0 < port < 65536:  # noqa: PLR2004 - the range of ports
        raise BadInput(f"{where}: {shown(value)} is not a port; use 1 to 65535")
    return port


def read_dns_name(host: str, value: object) -> str:
    labels = str(value).split(".")
    if len(labels) < 2 or not all(LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - host and domain
        raise BadInput(f"host {host}: mesh_names: '{value}' is not a DNS name such as headscale.lab.test")
    return str(value).lower()


def read_link(where: str, raw: object) -> Link:
    """Return the impairments of a link from the inventory's form, such as `{rate: 50mbit, loss: 1%, delay: 20ms}`."""
    if raw is None:
        return Link()
    data = mapping(where, raw)
    check_keys(where, data, ("delay", "jitter", "loss", "rate", "mtu"))
    link = Link(
        delay_ms=_quantity(where, "delay", data, _DURATION, "20ms", _DURATION_MS),
        jitter_ms=_quantity(where, "jitter", data, _DURATION, "2ms", _DURATION_MS),
        loss=_quantity(where, "loss", data, _LOSS, "1%", {}) / 100,
        rate_bit=int(_quantity(where, "rate", data, _RATE, "50mbit", _RATE_BIT)),
        mtu=_mtu(where, data.get("mtu", 1500)),
    )
    if "rate" in data and not _RATES[0] <= link.rate_bit <= _RATES[1]:
        raise BadInput(f"{where}: rate '{data['rate']}' must be from 8kbit to 100gbit")
    if link.loss > 1:
        raise BadInput(f"{where}: loss '{data['loss']}' is more than 100%")
    if link.delay_ms > _LONGEST_DELAY_MS:
        raise BadInput(f"{where}: delay '{data['delay']}' is more than {_LONGEST_DELAY_MS // 1000}s")
    if link.jitter_ms > link.delay_ms:
        raise BadInput(f"{where}: jitter '{data['jitter']}' needs a delay that is at least as long")
    return link


def _quantity(  # noqa: PLR0913, PLR0917
    where: str, key: str, data: Mapping[str, Any], form: re.Pattern[str], example: str, units: Mapping[str, float]
) -> float:
    if key not in data:
        return 0.0
    match = form.fullmatch(str(data[key]).lower())
    if not match:
        raise BadInput(f"{where}: {key} '{data[key]}' is not valid; write one such as {example}")
    return float(match[1]) * (units[match[2]] if units else 1.0)


def _mtu(where: str, value: object) -> int:
    try:
        mtu = int(str(value))
    except ValueError:
        mtu = 0
    if not 1280 <= mtu <= 9000:  # noqa: PLR2004 - IPv6's minimum and jumbo frames
        raise BadInput(f"{where}: mtu {shown(value)} must be a number from 1280, the minimum for IPv6, to 9000")
    return mtu
