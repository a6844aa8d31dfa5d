# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that addresses come from the prefixes, and that clients support these."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ..._judge.answer import addresses, mapping, text
from ..prefixes import SUPPORTED, Network, inside
from ..records import Check, CheckContext, Iterator, Server, given_name, setting


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the prefixes that are unsupported, and the nodes outside of them."""
    given = [text(value) for value in mapping(setting(server.settings, "prefixes")).values()]
    prefixes = {name: found for name in given if (found := _network(name))}
    if not prefixes:
        return
    unsupported = [name for name, net in prefixes.items() if not any(inside(net, known) for known in SUPPORTED)]
    outside = {
        given_name(node): lost
        for node in server.nodes
        if (lost := _outside(addresses(node.get("ipAddresses")), prefixes))
    }
    hints = [
        f"prefixes has {', '.join(unsupported)}, and clients support only parts of 100.64.0.0/10 and fd7a:115c:a1e0::/48"
        if unsupported else "",
        f"{', '.join(f'{name} ({lost})' for name, lost in outside.items())} is outside of {', '.join(prefixes)}: restore the former "
        "prefix, or delete these nodes and join them again" if outside else "",
    ]  # fmt: skip
    yield context.check(
        not any(hints),
        expected={"outside": {}, "unsupported": []},
        observed={"outside": outside, "unsupported": unsupported},
        hint="; ".join(filter(None, hints)),
        command="headscale nodes list",
    )


def _network(value: str) -> Network | None:
    try:
        return ip_network(value, strict=False)
    except ValueError:
        return None


def _outside(known: list[str], prefixes: dict[str, Network]) -> str:
    """Return a node's first address of a family that has a prefix, if it is not in that."""
    for entry in map(ip_address, known):
        nets = [net for net in prefixes.values() if net.version == entry.version]
        if nets and not any(entry in net for net in nets):
            return str(entry)
    return ""
