# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Know the ranges of addresses that clients support."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
SUPPORTED: tuple[Network, ...] = (ip_network("100.64.0.0/10"), ip_network("fd7a:115c:a1e0::/48"))
# No node gets an address of these.
CHROME_OS: Network = ip_network("100.115.92.0/23")


def inside(net: Network, whole: Network) -> bool:
    """Whether a network is part of another one."""
    return net.version == whole.version and net.network_address in whole and net.prefixlen >= whole.prefixlen


def is_mesh_address(known: str) -> bool:
    """Whether an address is of a range from which nodes get theirs."""
    return any(ip_address(known) in net for net in SUPPORTED)
