# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that a router forwards, and that a node accepts the routes of others."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import items, mapping, text
from ..._judge.forwards import SWITCHES
from ..._judge.interfaces import held
from ..._judge.quoting import quoted
from ..._judge.routed import SYSCTLS
from ..observed import NO_FILE, Check, CheckContext, Client, Iterator
from ..urls import overlap

_EXIT = ("0.0.0.0/0", "::/0")
# Either value makes the kernel forward.
_ON = ("1", "2")
# Not the names of interfaces, or one that takes no part.
_NO_SWITCH = ("", ".", "..", "all", "default", "lo")


def requests(client: Client) -> list[dict[str, Any]]:
    """Read whether the host forwards."""
    return [{"id": "forwarding", "kind": "files", "paths": [*SWITCHES.values(), *_switches(client).values()]}]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return a check of a router's forwarding, and mention routes that this node does not accept."""
    if advertised := [text(route) for route in items(client.prefs.get("AdvertiseRoutes"))]:
        yield _forwards(client, context, advertised)
    served = {
        text(peer.get("HostName")): text(route)
        for peer in client.peers
        for route in items(peer.get("PrimaryRoutes"))
        # A route to the host's own network would cut it off from that.
        if text(route) not in _EXIT and not any(overlap(text(route), net) for net in client.networks)
    }
    if served and client.prefs.get("RouteAll") is not True:
        routers = ", ".join(f"{route} ({name})" for name, route in served.items())
        reason = (
            f"this node does not accept the routes of subnet routers, {routers}, which is the default on Linux: "
            "`tailscale set --accept-routes`"
        )
        yield context.skipped(reason, aspect="accepted", expected=sorted(served.values()))


def _forwards(client: Client, context: CheckContext, advertised: list[str]) -> Check:
    if client.status.get("TUN") is False:
        reason = "tailscaled runs with --tun=userspace-networking and forwards packets itself, not the kernel"
        return context.skipped(reason, aspect="forwarding")
    files = mapping(client.data("forwarding"))
    said = {family: mapping(files.get(path)) for family, path in SWITCHES.items()}
    # A kernel without IPv6 does not have the file.
    no_ipv6 = said[6].get("error") == NO_FILE
    routes = _forwarded(client, advertised, no_ipv6=no_ipv6)
    if not routes:
        reason = f"it advertises {', '.join(advertised)}, which takes no forwarding"
        return context.skipped(reason, aspect="forwarding")
    values = {family: text(said[family].get("text")).strip() for family in sorted(routes)}
    some, others = _by_interface(client, files) if values.get(4) == "0" else ([], [])
    switches = dict(SYSCTLS)
    if some and client.interface in others:
        switches[4] = _name(_switches(client)[client.interface])
    elif some:
        values[4] = "1"
    off = [family for family, value in values.items() if value == "0"]
    unread = [family for family, value in values.items() if value not in (*_ON, "0")]
    lacks_ipv6 = no_ipv6 and unread == [6]
    errors = [f"{SWITCHES[family]}: {error}" for family in unread if (error := text(said[family].get("error")))]
    hint: str = "; ".join(errors) or client.why("forwarding")
    if off:
        hint = _off(routes, {family: switches[family] for family in off})
    elif lacks_ipv6:
        hint = f"it advertises {', '.join(routes[6])}, but its kernel has no IPv6: switch IPv6 on, or do not advertise that"
    elif others and not unread:
        reason = (
            f"forwarding of IPv4 packets is on for {', '.join(some)}, and off for {', '.join(others)}: which of these the advertised routes "
            "need was not seen"
        )
        return context.skipped(reason, aspect="forwarding")
    return context.check(
        False if off or lacks_ipv6 else None if unread else True,
        aspect="forwarding",
        expected={f"ipv{family}": "1" for family in values},
        observed={f"ipv{family}": value for family, value in values.items()},
        evidence={"advertised": advertised},
        hint=hint,
        command="sysctl " + " ".join(quoted(switches[family]) for family in values),
    )


def _switches(client: Client) -> dict[str, str]:
    """Return the file that says whether the kernel forwards IPv4 packets that arrive by an interface, for each of them."""
    names = (text(link.get("name")) for link in client.rows("addresses"))
    return {
        name: f"/proc/sys/net/ipv4/conf/{name}/forwarding"
        for name in names
        if name not in _NO_SWITCH and "/" not in name
    }


def _name(switch: str) -> str:
    """Return the name of a switch for `sysctl`; with slashes, as a name of an interface may contain a dot."""
    return switch.removeprefix("/proc/sys/")


def _by_interface(client: Client, files: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the interfaces from which the kernel forwards IPv4 packets, and those from which it does not.

    net.ipv4.ip_forward writes the switches of all interfaces; afterwards, that of the interface alone counts.
    """
    values = {name: text(mapping(files.get(path)).get("text")).strip() for name, path in _switches(client).items()}
    return [name for name, value in values.items() if value in _ON], [
        name for name, value in values.items() if value == "0"
    ]


def _forwarded(client: Client, advertised: list[str], *, no_ipv6: bool) -> dict[int, list[str]]:
    """Return, by address family, the advertised routes whose packets the kernel must forward."""
    # As tailscaled sees it, the host's own addresses take no forwarding.
    own = {f"{host}/{'128' if ':' in host else '32'}" for host, _interface in held(client.data("addresses"))}
    # An exit node always advertises both families.
    idle = {*own, "::/0"} if no_ipv6 else own
    found: dict[int, list[str]] = {}
    for route in advertised:
        if route not in idle:
            found.setdefault(6 if ":" in route else 4, []).append(route)
    return found


def _off(routes: dict[int, list[str]], off: dict[int, str]) -> str:
    affected = ", ".join(route for family in off for route in routes[family])
    switches = " ".join(f"{quoted(switch)}=1" for switch in off.values())
    return (
        f"it advertises {affected} but does not forward {' and '.join(f'IPv{family}' for family in off)} packets: "
        f"`sysctl -w {switches}`, and keep it in /etc/sysctl.d"
    )
