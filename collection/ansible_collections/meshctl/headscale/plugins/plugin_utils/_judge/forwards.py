# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a subnet router is ready: it forwards, advertises its networks, and reaches a host in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, items, mapping, number, text
from .interfaces import device_to, mesh_interfaces
from .observations import ADDRESSES, FILES, ICMP, PREFS
from .quoting import quoted
from .routed import SYSCTLS
from .served import EXIT_ROUTES

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext
    from .routed import Way

# Networks for documentation: the route to them is the default route.
OUTSIDE_ADDRESSES = {4: "198.51.100.7", 6: "2001:db8::7"}
INTERNET = "internet"
SWITCHES = {family: f"/proc/sys/{name.replace('.', '/')}" for family, name in SYSCTLS.items()}
# The kernel also has a switch for each interface, which counts for IPv4.
MESH_SWITCH = "/proc/sys/net/ipv4/conf/tailscale0/forwarding"


def forwarding(seen: Answer, family: int) -> bool | None:
    """Whether the kernel forwards packets of a family; None if that could not be read."""
    return not switched_off(seen, family) if _said(seen, SWITCHES[family]) else None


def switched_off(seen: Answer, family: int) -> str:
    """Return the name of the switch that keeps the kernel from forwarding packets of a family, empty if none does."""
    paths = [SWITCHES[family], *([MESH_SWITCH] if family == 4 else [])]  # noqa: PLR2004 - the family
    off = next((path for path in paths if _said(seen, path) == "0"), "")
    return off.removeprefix("/proc/sys/").replace("/", ".")


def _said(seen: Answer, path: str) -> str:
    return text(mapping(mapping(seen.data(FILES)).get(path)).get("text")).strip()


def ready(answer: Json, ways: tuple[Way, ...]) -> dict[str, Any]:
    """Return what a router says of itself, for the hints of other nodes."""
    seen = Answer(answer)
    prefs = mapping(seen.data(PREFS))
    echoes = {way.prefix: mapping(mapping(seen.data(ICMP)).get(way.address)) for way in ways}
    return {
        **{f"forwarding{family}": forwarding(seen, family) for family in SWITCHES},
        "switched_off": {str(family): off for family in SWITCHES if (off := switched_off(seen, family))},
        "masquerades": prefs.get("NoSNAT") is not True,
        "netfilter": prefs.get("NetfilterMode") != 0,
        "unreached": [prefix for prefix, echo in echoes.items() if number(echo.get("received")) == 0],
    }


def judge_forwards(answer: Json, context: CheckContext, ways: tuple[Way, ...]) -> list[Check]:
    """Return the checks of a router."""
    seen = Answer(answer)
    return [check for way in ways for check in _of(seen, context, way)]


def judge_exit(answer: Json, context: CheckContext) -> list[Check]:
    """Return the checks of an exit node: it advertises itself, and forwards each family in which it leads outside."""
    seen = Answer(answer)
    advertised = [text(entry) for entry in items(mapping(seen.data(PREFS)).get("AdvertiseRoutes"))]
    checks = []
    for family, prefix in zip(OUTSIDE_ADDRESSES, EXIT_ROUTES, strict=True):
        device, evidence = device_to(seen, OUTSIDE_ADDRESSES[family]), {"prefix": prefix}
        on, switch = forwarding(seen, family), switched_off(seen, family) or SYSCTLS[family]
        leads = bool(device) and device not in mesh_interfaces(seen.data(ADDRESSES))
        # A host that has no IPv6 outside leads nowhere over it, and advertises both prefixes all the same.
        if leads or family == 4:  # noqa: PLR2004 - the family
            checks.append(
                context.check(
                    on, aspect="forwarding", family=family, target=INTERNET, evidence=evidence, expected={"forwarding": True},
                    observed={"forwarding": on, "interface": device},
                    hint=f"the kernel of this exit node does not forward packets: `sysctl -w {quoted(switch)}=1`, and keep it in /etc/sysctl.d"
                    if on is False else seen.why(FILES), command=f"sysctl {quoted(switch)}",
                )
            )  # fmt: skip
        checks.append(
            context.check(
                None if seen.data(PREFS) is None else prefix in advertised, aspect="advertised", family=family, target=INTERNET,
                evidence=evidence, expected={"advertised": prefix}, observed={"advertised": advertised},
                hint=seen.why(PREFS) if seen.data(PREFS) is None
                else "this node does not advertise itself as an exit node: `tailscale set --advertise-exit-node`",
                command="tailscale debug prefs",
            )
        )  # fmt: skip
    return checks


def _of(seen: Answer, context: CheckContext, way: Way) -> list[Check]:
    on = forwarding(seen, way.family)
    switch = switched_off(seen, way.family) or SYSCTLS[way.family]
    advertised = [text(entry) for entry in items(mapping(seen.data(PREFS)).get("AdvertiseRoutes"))]
    echo = mapping(mapping(seen.data(ICMP)).get(way.address))
    received = number(echo.get("received"))
    device = device_to(seen, way.address)
    inside = device in mesh_interfaces(seen.data(ADDRESSES))
    evidence = {"prefix": way.prefix}
    return [
        context.check(
            on, aspect="forwarding", family=way.family, target=way.target, evidence=evidence, expected={"forwarding": True}, observed={"forwarding": on},
            hint=f"the kernel does not forward packets: `sysctl -w {quoted(switch)}=1`, and keep it in /etc/sysctl.d"
            if on is False else seen.why(FILES), command=f"sysctl {quoted(switch)}",
        ),
        context.check(
            None if seen.data(PREFS) is None else way.prefix in advertised, aspect="advertised", family=way.family, target=way.target, evidence=evidence,
            expected={"advertised": way.prefix}, observed={"advertised": advertised},
            hint=seen.why(PREFS) if seen.data(PREFS) is None
            else f"this router does not advertise {way.prefix}: `tailscale set --advertise-routes` replaces the whole list",
            command="tailscale debug prefs",
        ),
        context.check(
            None if received is None else received > 0 and not inside, aspect="target", family=way.family, target=way.target, evidence=evidence,
            expected={"replies": {"min": 1}, "outside": "the mesh"}, observed={"received": received, "interface": device},
            hint=seen.why(ICMP) if received is None else _unreached(way, inside=inside),
            command=f"ping -c 3 {quoted(way.address)}",
        ),
    ]  # fmt: skip


def _unreached(way: Way, *, inside: bool) -> str:
    if inside:
        return (
            f"this router sends packets for {way.target} back into the mesh: a router must not accept routes that cover its own "
            "network (`tailscale set --accept-routes=false`)"
        )
    return (
        f"this router does not reach {way.target} ({way.address}): check that the host is up and answers echo requests"
    )
