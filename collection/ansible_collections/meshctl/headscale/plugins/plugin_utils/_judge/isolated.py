# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether physical addresses cannot be reached outside the mesh.

Proofs of isolation, strongest first:

- an ICMP refusal from a router or from this host;
- a TCP reset, if an ICMP refusal for the same address passed as many routers (by its TTL): a router resets connections in
  the host's name, and a reset from behind the router would have passed more routers;
- silence, but only while the peer answers over the mesh: otherwise silence may mean that nothing gets out.

An echo reply, a connection, or a reset from an address that no router refused shows that the host was reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, address, items, mapping, number, text
from .interfaces import device_to
from .observations import ICMP, TCP, WIRE
from .quoting import quoted

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext

_REFUSALS = {
    "net-unreachable", "host-unreachable", "net-unknown", "host-unknown", "net-prohibited", "host-prohibited",
    "prohibited", "net-rejected",
}  # fmt: skip
_RESETS = ("refused", "reset")
# Initial TTLs of operating systems.
_TTLS = (64, 128, 255)
_UNTOLD = "a router refuses ICMP, and something resets TCP: only a capture, which needs become: true, can show what"


@dataclass(frozen=True, kw_only=True)
class Wall:
    """A host that must not be reached at its physical address."""

    name: str
    address: str
    mesh: str = ""
    other: str = ""
    """Which address of the host this is, if it is not the one in the inventory."""


@dataclass(frozen=True, kw_only=True)
class Isolated:
    """The hosts that must not be reached."""

    walls: tuple[Wall, ...]
    port: int = 22
    patient: bool = False
    """Whether to wait before judging silence: routers limit how many refusals they send per second."""


def judge_isolated(answer: Json, context: CheckContext, expect: Isolated) -> list[Check]:
    """Return a check of each address and protocol."""
    seen = Answer(answer)
    return [
        check
        for wall in expect.walls
        for check in (_icmp(seen, context, wall, expect), _tcp(seen, context, wall, expect))
    ]


def _echo(seen: Answer, target: str) -> tuple[float, float, dict[str, Any]]:
    """Return how many echo requests were sent and answered, and the first refusal."""
    result = mapping(mapping(seen.data(ICMP)).get(target))
    refusals = [mapping(error) for error in items(result.get("errors"))]
    refusal = next((error for error in refusals if _refusal(error, target)), {})
    received = number(result.get("received"))
    return number(result.get("sent")) or 0, -1 if received is None else received, refusal


def _refusal(error: dict[str, Any], target: str) -> bool:
    return text(error.get("error")) in _REFUSALS and text(error.get("from")) not in ("", target)


def _alive(seen: Answer, wall: Wall) -> bool:
    """Whether the peer answers over the mesh at the same time, so that silence proves something."""
    return bool(wall.mesh) and _echo(seen, wall.mesh)[1] > 0


def _aspect(protocol: str, wall: Wall) -> str:
    return f"{protocol}.{wall.other}" if wall.other else protocol


def _silence(seen: Answer, wall: Wall, expect: Isolated) -> bool | None:
    return True if not expect.patient and _alive(seen, wall) else None


def _icmp(seen: Answer, context: CheckContext, wall: Wall, expect: Isolated) -> Check:
    sent, received, refusal = _echo(seen, wall.address)
    seen_it = "no answer"
    if refusal:
        seen_it = f"{text(refusal.get('error'))} from {text(refusal.get('from'))}"
    elif received > 0:
        seen_it = "echo reply"
    ok: bool | None = None
    if sent > 0 and received >= 0 and address(wall.address):
        ok = False if received > 0 else True if refusal else _silence(seen, wall, expect)
    return context.check(
        ok,
        aspect=_aspect("icmp", wall),
        target=wall.name,
        expected={"address": wall.address, "refused": True},
        observed=seen_it if sent else None,
        evidence={"refusal": refusal, "proof": "refusal" if refusal else "silence", "mesh_answers": _alive(seen, wall)},
        hint=_hint(seen, wall, ok, seen.why(ICMP) if seen.data(ICMP) is None else ""),
        command=f"ping -c 1 {quoted(wall.address)}",
    )


def _tcp(seen: Answer, context: CheckContext, wall: Wall, expect: Isolated) -> Check:
    port = expect.port
    tried = [mapping(entry) for entry in items(seen.data(TCP))]
    found = next((entry for entry in tried if entry.get("host") == wall.address and entry.get("port") == port), {})
    outcome, by = text(found.get("outcome")), text(found.get("from"))
    routed = _echo(seen, wall.address)[2]
    ok: bool | None = None
    proof = ""
    if outcome in _REFUSALS and by != wall.address:
        ok, proof = True, "refusal"
    elif outcome == "connected" or (outcome in _RESETS and not routed):
        ok = False
    elif outcome in _RESETS:
        ok = _by_router(seen, wall, port, text(routed.get("from")))
        proof = "reset, with an ICMP refusal" if ok else ""
    elif outcome == "timeout":
        ok = True if routed else _silence(seen, wall, expect)
        proof = "silence, with an ICMP refusal" if routed else "silence"
    return context.check(
        ok,
        aspect=_aspect("tcp", wall),
        target=wall.name,
        expected={"address": wall.address, "port": port, "refused": True},
        observed=f"{outcome} from {by}" if by else outcome or None,
        evidence={"proof": proof, "icmp_refusal": routed, "mesh_answers": _alive(seen, wall)},
        hint=_hint(seen, wall, ok, seen.why(TCP) if not found else _UNTOLD if outcome in _RESETS else ""),
        command=f"nc -vz -w 3 {quoted(wall.address)} {port}",
    )


def doubtful(check: Check) -> bool:
    """Whether only a capture can show what reset a connection: the host, or a router in its name."""
    return check.hint == _UNTOLD


def _by_router(seen: Answer, wall: Wall, port: int, router: str) -> bool | None:
    """Whether the router that refuses echo requests sent a reset in the host's name; None if no capture shows it.

    The number of routers that both passed shows it: if the router lets TCP through, the host's reset comes from farther.
    """
    arrived = [mapping(flow) for flow in items(mapping(seen.data(WIRE)).get("flows"))]
    arrived = [flow for flow in arrived if flow.get("direction") == "in"]
    resets = [flow for flow in arrived if flow.get("src") == wall.address and flow.get("sport") == port]
    if any(flow.get("interface") == "lo" for flow in resets):  # this host's own firewall
        return True
    refusals = [flow for flow in arrived if flow.get("src") == router and flow.get("proto") in ("icmp", "icmp6")]
    far, near = ({_passed(flow) for flow in found} for found in (resets, refusals))
    if None in far | near or not far or not near:
        return None
    return far <= near


def _passed(flow: dict[str, Any]) -> int | None:
    """Return how many routers a packet passed: systems start with a TTL of 64, 128 or 255."""
    ttl = number(flow.get("ttl"))
    return None if ttl is None or not 0 < ttl <= _TTLS[-1] else next(int(top - ttl) for top in _TTLS if ttl <= top)


def _hint(seen: Answer, wall: Wall, ok: bool | None, why: str) -> str:
    if device_to(seen, wall.address).startswith("tailscale"):
        return causes.through_mesh(wall.address)
    if ok is False:
        return (
            f"{wall.address} is reached without the mesh: the two networks have a route to each other (`ip route get "
            f"{wall.address}`), so nothing here proves that traffic needs the mesh"
        )
    return why or (
        f"nothing refused, and {wall.name} does not answer over the mesh either: silence proves nothing while "
        "nothing gets out"
    )
