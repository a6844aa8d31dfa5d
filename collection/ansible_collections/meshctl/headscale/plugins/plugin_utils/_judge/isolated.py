# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether physical addresses cannot be reached outside the mesh.

Proofs of isolation, strongest first:

- an ICMP refusal from a router or from this host;
- a TCP reset, if an ICMP refusal for the same address passed as many routers (by its TTL): a router resets connections in
  the host's name, and a reset from behind the router would have passed more routers;
- the peer's word, over the mesh, that it captures such packets and that none has arrived;
- silence, but only while the peer answers over the mesh: otherwise silence may mean that nothing gets out.

An echo reply, a connection, a reply to a datagram, a packet that the peer has captured, an ICMP refusal from the host
itself, or a reset from an address that no router refused shows that the host was reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from . import causes
from .answer import Answer, Json, address, items, mapping, number, text
from .interfaces import device_to
from .observations import ICMP, KNOCK, WIRE
from .quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .check import Check
    from .context import CheckContext

_REFUSALS = {
    "net-unreachable", "host-unreachable", "net-unknown", "host-unknown", "net-prohibited", "host-prohibited",
    "prohibited", "net-rejected",
}  # fmt: skip
# A closed port and an unknown protocol are refused like this; from a router it is a refusal like the others.
_CLOSED = {"port-unreachable", "protocol-unreachable"}
_RESETS = ("refused", "reset")
# A host that has answered one datagram does not get the others: it would refuse only a few a second.
_UNTRIED = "untried"
# The host has captured a packet, whether it answered or not.
_ARRIVED = "arrived"
_SILENT = ("timeout", _UNTRIED)
_WITH_PORTS = ("sctp",)
# Ports of servers whose replies packet filters often let in.
SOURCES: Final = {"tcp": 443, "udp": 53}
# How the name of a protocol begins that this run has chosen at random.
OTHER: Final = "protocol-"
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
    tcp: tuple[int, ...] = (22,)
    udp: tuple[int, ...] = ()
    drops: bool = False
    """Whether this is the public address of a router, which drops what no host behind it has asked for."""


@dataclass(frozen=True, kw_only=True)
class Isolated:
    """The hosts that must not be reached."""

    walls: tuple[Wall, ...]
    protocols: tuple[str, ...] = ()
    """Protocols over IP other than ICMP, TCP and UDP."""
    chosen: tuple[int, ...] = ()
    """Ports that this run has chosen at random; the others are the same in every run."""
    untried: str = ""
    """Why UDP and other protocols are not tried."""
    patient: bool = False
    """Whether to wait before judging silence: routers limit how many refusals they send per second."""
    hasty: bool = False
    """Whether to try UDP again before silence counts next to an ICMP refusal: hosts limit their refusals as well."""
    reached: Mapping[tuple[str, str, int, int], dict[str, Any]] = field(default_factory=dict)
    """What has reached hosts in earlier looks: silence does not refute it, only a refusal does."""

    def source(self, wall: Wall, protocol: str) -> int:
        """Return the source port from which a wall is tried as well: rules without states let replies from there in."""
        return SOURCES[protocol] if self.chosen and self.chosen[0] in getattr(wall, protocol) and not wall.drops else 0

    def over(self, wall: Wall) -> tuple[str, ...]:
        """Return the protocols to try on a wall.

        Without ports, a firewall takes what two hosts send to each other for one flow, and lets it in. Only a router that
        refuses or masquerades it prevents that.
        """
        if wall.drops:
            return ()
        masqueraded = ":" not in wall.address
        return tuple(name for name in self.protocols if masqueraded or name in _WITH_PORTS)


def judge_isolated(answer: Json, context: CheckContext, expect: Isolated) -> list[Check]:
    """Return a check of each address and protocol."""
    seen = Answer(answer)
    checks = [check for wall in expect.walls for check in _judge_wall(seen, context, wall, expect)]
    untried = ("udp", "protocols") if expect.untried else ()
    return [*checks, *(context.skipped(expect.untried, aspect=aspect) for aspect in untried)]


def _judge_wall(seen: Answer, context: CheckContext, wall: Wall, expect: Isolated) -> list[Check]:
    checks = [] if wall.drops else [_icmp(seen, context, wall, expect)]
    checks += [_ports(seen, context, wall, expect, protocol) for protocol in ("tcp", "udp") if getattr(wall, protocol)]
    return [*checks, _protocols(seen, context, wall, expect)] if expect.over(wall) else checks


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
    return True if (wall.drops or not expect.patient) and _alive(seen, wall) else None


def _icmp(seen: Answer, context: CheckContext, wall: Wall, expect: Isolated) -> Check:
    sent, received, refusal = _echo(seen, wall.address)
    seen_it, row = "no answer", _tried(seen, wall, expect, "icmp", 0)
    arrived = text(row.get("outcome")) == _ARRIVED
    if refusal:
        seen_it = f"{text(refusal.get('error'))} from {text(refusal.get('from'))}"
    elif received > 0:
        seen_it = "echo reply"
    elif arrived:
        seen_it = _ARRIVED
    ok: bool | None = None
    if sent > 0 and received >= 0 and address(wall.address):
        asked = True if row.get("asked") is True else _silence(seen, wall, expect)
        ok = False if received > 0 or arrived else True if refusal else asked
    return context.check(
        ok,
        aspect=_aspect("icmp", wall),
        target=wall.name,
        expected={"address": wall.address, "refused": True},
        observed=seen_it if sent else None,
        evidence={
            "refusal": refusal,
            "proof": "refusal" if refusal else "nothing arrived" if row.get("asked") is True else "silence",
            "mesh_answers": _alive(seen, wall),
        },
        hint=_hint(seen, wall, ok, seen.why(ICMP) if seen.data(ICMP) is None else ""),
        command=f"ping -c 1 {quoted(wall.address)}",
    )


def _ports(seen: Answer, context: CheckContext, wall: Wall, expect: Isolated, protocol: str) -> Check:
    """Judge the ports of TCP or UDP."""
    ports: tuple[int, ...] = getattr(wall, protocol)
    rows = {str(port): _tried(seen, wall, expect, protocol, port) for port in ports}
    if source := expect.source(wall, protocol):
        sourced = expect.chosen[0]
        rows[f"{sourced} from port {source}"] = _tried(seen, wall, expect, protocol, sourced, source)
    found = {port: _attempt(seen, wall, expect, row) for port, row in rows.items()}
    ok, reached = _verdict(found)
    resets = any(text(row.get("outcome")) in _RESETS for row in rows.values())
    why = seen.why(KNOCK) if not all(rows.values()) else _UNTOLD if resets and protocol == "tcp" else ""
    stated = [port for port in ports if port not in expect.chosen]
    chosen = [port for port in ports if port in expect.chosen]
    over = f"{protocol.upper()} port {', '.join(reached)}"
    option, first = {"tcp": "-vz", "udp": "-vzu"}[protocol], next(iter([*reached, *rows]), "")
    port, _from, source_port = first.partition(" from port ")
    option += f" -p {source_port}" if source_port else ""
    return context.check(
        ok,
        aspect=_aspect(protocol, wall),
        target=wall.name,
        expected={"address": wall.address, "ports": stated, "refused": True},
        observed=_observed(rows, reached),
        evidence={**_evidence(seen, wall, found), **({"random_ports": chosen} if chosen else {})},
        hint=_over(seen, wall, over) if reached else _hint(seen, wall, ok, why),
        command=" ".join(["nc", option, "-w 3", quoted(wall.address), quoted(port)]),
    )


def _protocols(seen: Answer, context: CheckContext, wall: Wall, expect: Isolated) -> Check:
    """Judge protocols that have no ports, or that few programs use."""
    rows = {name: _tried(seen, wall, expect, name, 0) for name in expect.over(wall)}
    stated, other = (
        [name for name in rows if not name.startswith(OTHER)],
        [name for name in rows if name.startswith(OTHER)],
    )
    aspect, expected = _aspect("protocols", wall), {"address": wall.address, "protocols": stated, "refused": True}
    if any(text(row.get("outcome")) == "not-permitted" for row in rows.values()):
        why = f"this user may not send {', '.join(map(str.upper, rows))}: use become: true"
        return context.skipped(why, aspect=aspect, target=wall.name, expected=expected)
    found = {name: _attempt(seen, wall, expect, row) for name, row in rows.items()}
    ok, reached = _verdict(found)
    why = seen.why(KNOCK) if not all(rows.values()) else ""
    return context.check(
        ok,
        aspect=aspect,
        target=wall.name,
        expected=expected,
        observed=_observed(rows, reached),
        evidence={**_evidence(seen, wall, found), **({"random_protocol": other[0]} if other else {})},
        hint=_over(seen, wall, ", ".join(map(str.upper, reached))) if reached else _hint(seen, wall, ok, why),
        command=f"ip route get {quoted(wall.address)}",
    )


def _tried(  # noqa: PLR0913, PLR0917
    seen: Answer, wall: Wall, expect: Isolated, protocol: str, port: int, source: int = 0
) -> dict[str, Any]:
    wanted = (wall.address, protocol, port, source)
    row = next((row for entry in items(seen.data(KNOCK)) if _key(row := mapping(entry)) == wanted), {})
    return expect.reached.get(wanted, row) if text(row.get("outcome")) in _SILENT else row


def _key(row: Mapping[str, Any]) -> tuple[str, str, int, int]:
    """Return host, protocol, port and source port of an attempt."""
    port, source = (int(number(row.get(name)) or 0) for name in ("port", "source"))
    return text(row.get("host")), text(row.get("protocol")), port, source


def answered(answer: Json) -> dict[tuple[str, str, int, int], dict[str, Any]]:
    """Return the attempts without a connection that the host itself has answered."""
    rows = [mapping(entry) for entry in items(Answer(answer).data(KNOCK))]
    return {
        _key(row): row
        for row in rows
        if row.get("protocol") != "tcp" and text(row.get("from")) and row.get("from") == row.get("host")
    }


def _attempt(seen: Answer, wall: Wall, expect: Isolated, row: dict[str, Any]) -> tuple[bool | None, str]:
    """Return whether an attempt shows that the host cannot be reached, and what proves it."""
    outcome, by, protocol = text(row.get("outcome")), text(row.get("from")), row.get("protocol")
    routed = _echo(seen, wall.address)[2]
    if protocol == "tcp" and outcome in _RESETS and routed:
        ok = _by_router(seen, wall, int(number(row.get("port")) or 0), text(routed.get("from")))
        return ok, "reset, with an ICMP refusal" if ok else ""
    if outcome in ("connected", "answered", _ARRIVED, *_RESETS) or (by and by == wall.address):
        return False, ""
    if outcome in _REFUSALS or (outcome in _CLOSED and by != "local"):
        return True, "refusal"
    return _quiet(seen, wall, expect, row) if outcome == "timeout" else (None, "")


def _quiet(seen: Answer, wall: Wall, expect: Isolated, row: dict[str, Any]) -> tuple[bool | None, str]:
    """Return whether silence shows that the host cannot be reached, and why."""
    if row.get("asked") is True:
        return True, "nothing arrived"
    if _echo(seen, wall.address)[2]:
        return (None if expect.hasty and row.get("protocol") == "udp" else True), "silence, with an ICMP refusal"
    return _silence(seen, wall, expect), "silence"


def _verdict(found: dict[str, tuple[bool | None, str]]) -> tuple[bool | None, list[str]]:
    """Return the verdict of several attempts, and those that reached the host."""
    reached = [name for name, (ok, _proof) in found.items() if ok is False]
    unknown = not found or any(ok is None for ok, _proof in found.values())
    return (False if reached else None if unknown else True), reached


def _observed(rows: dict[str, dict[str, Any]], reached: Sequence[str]) -> str | None:
    """Return what was observed, of the attempts that reached the host if there are any."""
    said: dict[str, list[str]] = {}
    for name, row in rows.items():
        if outcome := text(row.get("outcome")):
            by = text(row.get("from"))
            said.setdefault(f"{outcome} from {by}" if by and outcome != _ARRIVED else outcome, []).append(name)
    if not reached and len(said) == 1:
        return next(iter(said))
    parts = {
        what: [name for name in names if not reached or name in reached or what == _UNTRIED]
        for what, names in said.items()
    }
    return "; ".join(f"{', '.join(names)}: {what}" for what, names in parts.items() if names) or None


def _evidence(seen: Answer, wall: Wall, found: dict[str, tuple[bool | None, str]]) -> dict[str, Any]:
    proofs = sorted({proof for _ok, proof in found.values() if proof})
    return {
        "proof": "; ".join(proofs),
        "icmp_refusal": _echo(seen, wall.address)[2],
        "mesh_answers": _alive(seen, wall),
    }


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


def _over(seen: Answer, wall: Wall, over: str) -> str:
    """Return why a host was reached over some ports or protocols."""
    if wall.drops:
        return (
            f"{over} of {wall.address} leads to a host behind that router: it has a port-forward (`nft list ruleset` there); "
            "remove it, or declare it in mesh_publish"
        )
    refuser = text(_echo(seen, wall.address)[2].get("from"))
    if not refuser or refuser == "local" or _through_mesh(seen, wall):
        return _hint(seen, wall, False, "")
    return (
        f"{wall.address} is reached without the mesh over {over}, although {refuser} refuses echo requests to it: "
        "a router between the two networks forwards that (`nft list ruleset` on the routers)"
    )


def _through_mesh(seen: Answer, wall: Wall) -> bool:
    return device_to(seen, wall.address).startswith("tailscale")


def _hint(seen: Answer, wall: Wall, ok: bool | None, why: str) -> str:
    if _through_mesh(seen, wall):
        return causes.through_mesh(wall.address)
    if ok is False:
        return (
            f"{wall.address} is reached without the mesh: the two networks have a route to each other (`ip route get "
            f"{quoted(wall.address)}`), so nothing here proves that traffic needs the mesh"
        )
    if why:
        return why
    if not wall.mesh:
        return f"nothing refused, and silence proves nothing: the mesh address of {wall.name} is not known"
    return (
        f"nothing refused, but {wall.name} does not answer over the mesh either: silence proves nothing while "
        "no traffic gets out"
    )
