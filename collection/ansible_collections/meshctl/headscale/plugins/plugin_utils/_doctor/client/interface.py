# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the kernel have the addresses that the node has in the mesh?"""

from __future__ import annotations

import re
from typing import Any

from ..._judge.answer import addresses, mapping, text
from ..._judge.interfaces import held
from ..._judge.quoting import quoted
from ..observed import NO_FILE, Check, CheckContext, Client, Iterator, because

AFTER = ("tun",)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,14}")
_LEAST_MTU = 1280
# A kernel without IPv6 does not have the first file; the second may say why.
_ALL, _KERNEL = "/proc/sys/net/ipv6/conf/all/disable_ipv6", "/proc/cmdline"
_DISABLED = "ipv6.disable=1"
_RESTART = "restart tailscaled, which sets it up again"


def requests(client: Client) -> list[dict[str, Any]]:
    """Read what takes IPv6 addresses away from an interface."""
    paths = list(_paths(client).values())
    return [{"id": "interface", "kind": "files", "paths": paths}] if client.running and paths else []


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return which of the node's addresses its interface lacks, and whether it is down."""
    own, link = addresses(client.me.get("TailscaleIPs")), client.row("addresses", name=client.interface)
    if not client.running or client.status.get("TUN") is not True or client.data("addresses") is None or not own:
        return
    present = dict(held(client.data("addresses")))
    missing = [address for address in own if address not in present]
    down = bool(link) and link.get("up") is False
    partly = bool(missing) and not down and all(":" in address for address in missing) and len(missing) < len(own)
    check = context.check(
        not missing and not down,
        aspect="ipv6" if partly else "up",
        expected={"addresses": own, "up": True},
        observed={"addresses": [address for address in own if address in present], "up": not down},
        hint=_hint(client, missing, down=down),
        command="ip address",
    )
    yield because(check, client.cause("tun"))
    yield from _taken(client, context)


def _taken(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return a finding if another interface has the address of a peer, which then is this host itself to its kernel."""
    theirs = {
        address: text(peer.get("HostName")) for peer in client.peers for address in addresses(peer.get("TailscaleIPs"))
    }
    taken = {
        address: name
        for address, name in held(client.data("addresses"))
        if address in theirs and name != client.interface
    }
    if taken:
        said = ", ".join(
            f"{name} has {address}, which is {theirs[address]} in the mesh" for address, name in taken.items()
        )
        yield context.check(
            False,
            aspect="taken",
            expected={"taken": {}},
            observed={"taken": taken},
            hint=f"{said}: packets for it stay on this host; remove that address, or give that network other addresses than the mesh has",
            command="ip address",
        )


def _paths(client: Client) -> dict[str, str]:
    if not _NAME.fullmatch(client.interface):
        return {}
    return {
        "off": f"/proc/sys/net/ipv6/conf/{client.interface}/disable_ipv6",
        "mtu": f"/sys/class/net/{client.interface}/mtu",
        "all": _ALL,
        "kernel": _KERNEL,
    }


def _hint(client: Client, missing: list[str], *, down: bool) -> str:
    name, lost = client.interface, ", ".join(missing)
    if down:
        return f"{name} is down, so nothing passes through the mesh: {_RESTART}"
    if not name:
        return f"no interface has the addresses of the node ({lost}), so nothing passes through the mesh: {_RESTART}"
    files = mapping(client.data("interface"))
    said = {key: text(mapping(files.get(path)).get("text")).strip() for key, path in _paths(client).items()}
    if all(":" in address for address in missing):
        if mapping(files.get(_ALL)).get("error") == NO_FILE:
            remedy = (
                f"remove {_DISABLED} from the kernel's command line ({_KERNEL}), and reboot"
                if _DISABLED in said["kernel"].split()
                else "load the kernel's module ipv6, or use a kernel that has IPv6, and restart tailscaled"
            )
            return f"the kernel of this host runs without IPv6 ({_ALL} does not exist), so the node does not have its address {lost}: {remedy}"
        if said.get("off") == "1":
            return (
                f"IPv6 is switched off on {name} (net.ipv6.conf.{name}.disable_ipv6), so the node does not have its address {lost}: "
                "`sysctl -w net.ipv6.conf.all.disable_ipv6=0`, also where that is set at boot, and restart tailscaled"
            )
        if said.get("mtu", "").isdecimal() and int(said["mtu"]) < _LEAST_MTU:
            return (
                f"{name} has an MTU of {said['mtu']}, and IPv6 needs {_LEAST_MTU}, so the node does not have its address {lost}: "
                f"`ip link set {quoted(name)} mtu {_LEAST_MTU}`, and restart tailscaled"
            )
    return f"{name} lacks the node's address {lost}, so nothing reaches it there: {_RESTART}"
