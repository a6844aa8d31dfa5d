# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a host behind a subnet router is reached, or is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, address, items, mapping, number, text
from .behind import Behind, Listener, answers, judge_behind
from .context import joined
from .interfaces import device_to, mesh_interfaces
from .observations import ADDRESSES, HTTP, ICMP, PREFS, ROUTES, STATUS, TCP
from .quoting import quoted
from .served import family_of, not_served

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node

BULK_BYTES = 49152
SYSCTLS = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_SOURCE = "source "
_END = "end"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One network behind routers, and how its target is reached."""

    prefix: str
    target: str
    address: str
    routers: tuple[str, ...]
    echoes: bool = False
    """Whether the target answers over HTTP with the address that a request came from."""
    port: int | None = None
    sources: tuple[str, ...] = ()
    """The addresses that the target may see."""
    listener: Listener | None = None
    """Where the target listens besides, in a lab."""

    @property
    def family(self) -> int:
        """Return the address family of the network, 4 or 6."""
        return family_of(self.prefix)

    @property
    def url(self) -> str:
        """Return the URL at which the target says where a request came from."""
        return f"http://{f'[{self.address}]' if ':' in self.address else self.address}/"


@dataclass(frozen=True, kw_only=True)
class Routed:
    """The expected ways, and what else is known of their routers."""

    ways: tuple[Way, ...]
    via: str = ""
    """The router that must carry the packets, if there is only one."""
    specific: str = ""
    """The prefix for which it does, if that is not the one of the way."""
    absent: bool = False
    aspect: str = ""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the server said of the routers."""
    routers: Mapping[str, Any] = field(default_factory=dict)
    """What the routers said of themselves."""
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What became of connections in earlier looks, by address."""


def judge_routed(answer: Json, context: CheckContext, expect: Routed) -> list[Check]:
    """Return the checks of each way."""
    seen = Answer(answer)
    judged = _absent if expect.absent else _present
    return [check for way in expect.ways for check in judged(seen, context, expect, way)]


def switch(own: Mapping[str, Any], family: int) -> str:
    """Return the switch that a router must set to forward packets of a family."""
    return text(mapping(own.get("switched_off")).get(str(family))) or SYSCTLS[family]


def source_of(row: Mapping[str, Any]) -> str:
    """Return the address that a target of the lab saw, empty if it said none."""
    first = text(row.get("body")).partition("\n")[0]
    return address(first.removeprefix(_SOURCE)) if first.startswith(_SOURCE) else ""


def page(seen: Answer, url: str, name: str = HTTP) -> dict[str, Any]:
    """Return what a URL answered."""
    return next((entry for entry in map(mapping, items(seen.data(name))) if entry.get("url") == url), {})


def _in_mesh(seen: Answer, way: Way) -> bool | None:
    """Whether the kernel sends packets for a target into the mesh; None if it could not be asked."""
    if seen.data(ROUTES) is None or seen.data(ADDRESSES) is None:
        return None
    return device_to(seen, way.address) in mesh_interfaces(seen.data(ADDRESSES))


def _present(seen: Answer, context: CheckContext, expect: Routed, way: Way) -> list[Check]:
    why = _why(seen, expect, way)
    routed = _in_mesh(seen, way)
    echo = mapping(mapping(seen.data(ICMP)).get(way.address))
    received = number(echo.get("received"))
    checks = [
        context.check(
            routed, aspect=joined("route", expect.aspect), target=way.target, family=way.family, expected={"prefix": way.prefix, "into": "the mesh"},
            observed={"interface": device_to(seen, way.address)}, evidence=_evidence(seen, way),
            hint=why or seen.why(ROUTES), command=f"ip route get {quoted(way.address)}",
        ),
        context.check(
            None if received is None else received > 0, aspect=joined("icmp", expect.aspect), target=way.target, family=way.family,
            expected={"replies": {"min": 1}}, observed={"received": received, "rtt_ms": items(echo.get("rtt_ms"))[:3]},
            evidence={"errors": items(echo.get("errors"))[:3]},
            hint=why or (seen.why(ICMP) if received is None else _silent(expect, way)),
            command=f"ping -c 3 {quoted(way.address)}",
        ),
    ]  # fmt: skip
    if way.echoes:
        checks += _transfers(seen, context, expect, way, why)
        if way.listener:
            checks += judge_behind(
                seen, context, lambda aspect: joined(aspect, expect.aspect), _behind(expect, way, way.listener, why)
            )
    elif way.port:
        row = next((entry for entry in map(mapping, items(seen.data(TCP))) if entry.get("host") == way.address), {})
        outcome = text(row.get("outcome"))
        checks.append(
            context.check(
                outcome == "connected" if outcome else None, aspect=joined("tcp", expect.aspect), target=way.target, family=way.family,
                expected={"port": way.port, "outcome": "connected"}, observed={"outcome": outcome},
                hint=why or (_silent(expect, way) if outcome else seen.why(TCP)),
                command=f"nc -zv {quoted(way.address)} {way.port}",
            )
        )  # fmt: skip
    return checks


def _behind(expect: Routed, way: Way, listener: Listener, why: str) -> Behind:
    return Behind(
        listener=listener, name=way.target, family=way.family, sources=way.sources, carrier=f"the router {_router(expect, way)}",
        silent=why or _silent(expect, way), wrong_source=lambda source: why or _wrong_source(expect, way, source), whole=not expect.via,
        before=expect.before.get(way.address, {}),
    )  # fmt: skip


def _router(expect: Routed, way: Way) -> str:
    """Return the router that carries the packets, or those that may."""
    serving = [name for name in way.routers if way.prefix in items(mapping(expect.state.get(name)).get("serving"))]
    return expect.via or " or ".join(serving or way.routers)


def _transfers(seen: Answer, context: CheckContext, expect: Routed, way: Way, why: str) -> list[Check]:
    small, bulk = page(seen, way.url), page(seen, f"{way.url}bulk")
    outcome = text(small.get("outcome"))
    source = source_of(small)
    body = text(bulk.get("body"))
    whole = len(body) >= BULK_BYTES and body.rstrip().endswith(_END)
    curl = f"curl -sS -m 5 {quoted(way.url)}"
    return [
        context.check(
            outcome == "answered" if outcome else None, aspect=joined("tcp", expect.aspect), target=way.target, family=way.family,
            expected={"url": way.url, "outcome": "answered"}, observed={"outcome": outcome},
            evidence={"error": text(small.get("error")), "timings": small.get("timings")},
            hint=why or (_silent(expect, way) if outcome else seen.why(HTTP)), command=curl,
        ),
        context.check(
            source in way.sources if outcome == "answered" else None, aspect=joined("source", expect.aspect), target=way.target, family=way.family,
            expected={"source": {"one_of": list(way.sources)}}, observed={"source": source},
            hint=why or (_wrong_source(expect, way, source) if outcome == "answered" else _silent(expect, way)), command=curl,
        ),
        context.check(
            whole if bulk.get("outcome") else None, aspect=joined("bulk", expect.aspect), target=way.target, family=way.family,
            expected={"bytes": {"min": BULK_BYTES}}, observed={"bytes": len(body), "outcome": text(bulk.get("outcome"))},
            hint=why or (_no_bulk(way) if outcome == "answered" else _silent(expect, way)), command=f"{curl}bulk",
        ),
    ]  # fmt: skip


def _absent(seen: Answer, context: CheckContext, expect: Routed, way: Way) -> list[Check]:
    routed = _in_mesh(seen, way)
    received = number(mapping(mapping(seen.data(ICMP)).get(way.address)).get("received"))
    outcome = text(page(seen, way.url).get("outcome"))
    answering = bool(received) or outcome == "answered" or answers(seen, way.address)
    tried = received is not None and (outcome or not way.echoes)
    taken = carrier(seen, way.address)
    return [
        context.check(
            None if routed is None else not routed, aspect=joined("route", expect.aspect), target=way.target, family=way.family,
            expected={"prefix": way.prefix, "into": "no mesh"}, observed={"interface": device_to(seen, way.address)},
            evidence=_evidence(seen, way),
            hint=seen.why(ROUTES) if routed is None else (
                f"this node has a route to {way.prefix} through the mesh{f' ({taken})' if taken else ''} that it must not have: "
                "check whether it was approved, the policy allows it, and this node accepts routes"
            ),
            command="ip route show table 52",
        ),
        context.check(
            not answering if tried else None, aspect=joined("silent", expect.aspect), target=way.target, family=way.family,
            expected={"replies": 0, "outcome": "no answer"}, observed={"received": received, "outcome": outcome},
            hint=f"{way.target} answers although no route may lead to it: another route leads to {way.address} (`ip route get`)"
            if tried else seen.why(ICMP), command=f"ping -c 3 {quoted(way.address)}",
        ),
    ]  # fmt: skip


def _evidence(seen: Answer, way: Way) -> dict[str, Any]:
    return {"carrier": carrier(seen, way.address)} if seen.data(STATUS) is not None else {}


def carrier(seen: Answer, target: str) -> str:
    """Return the peer that carries packets for an address and its prefix, empty if none does."""
    found = _carrier(seen, target)
    return f"{found[0]} with {found[1]}" if found else ""


def _carrier(seen: Answer, target: str) -> tuple[str, str, dict[str, Any]] | None:
    """Return the name of the peer with the most specific prefix for an address, the prefix and the peer."""
    best: tuple[int, str, str, dict[str, Any]] | None = None
    for peer in map(mapping, mapping(mapping(seen.data(STATUS)).get("Peer")).values()):
        for entry in items(peer.get("AllowedIPs")):
            try:
                network = ip_network(text(entry))
            except ValueError:
                continue
            if network.prefixlen and ip_address(target) in network and (best is None or network.prefixlen > best[0]):
                best = (network.prefixlen, text(peer.get("HostName")), str(network), peer)
    return best[1:] if best else None


def _why(seen: Answer, expect: Routed, way: Way) -> str:
    """Return why a target is not reached, as far as this node's client tells; empty if it has a way, or was not asked."""
    if seen.data(STATUS) is None:
        return ""
    if said := causes.client(seen):
        return said
    found = _carrier(seen, way.address)
    if found is None:
        unserved = not_served(way.prefix, way.routers, expect.state) if expect.state and _unserved(expect, way) else ""
        return unserved or _no_peer(expect, way)
    return _by_peer(seen, expect, way, *found)


def _by_peer(seen: Answer, expect: Routed, way: Way, name: str, prefix: str, peer: dict[str, Any]) -> str:  # noqa: PLR0913, PLR0917
    """Return what is wrong with the peer that has the route, or with how this node uses it."""
    if expect.specific and prefix != expect.specific:
        return (
            f"{name} takes it with the prefix {prefix}, and not {expect.via} with {expect.specific}, which takes precedence: check that the server "
            f"serves {expect.specific} (`headscale nodes list-routes`) and that the policy lets this node reach it"
        )
    if prefix != (expect.specific or way.prefix):
        return (
            f"{name} takes it with the prefix {prefix}, which takes precedence over {way.prefix}: withdraw that route, or name its router in "
            "mesh_routes"
        )
    expected = {expect.nodes[router].key for router in way.routers if router in expect.nodes}
    if expected and text(peer.get("PublicKey")) not in expected:
        return f"{name} serves {way.prefix}, and mesh_routes names {', '.join(way.routers)} as its routers"
    if mapping(seen.data(PREFS)).get("RouteAll") is False:
        return f"this node does not accept routes: run `tailscale set --accept-routes` on it to use {way.prefix}"
    if _in_mesh(seen, way) is False:
        return (
            f"the client has the route {prefix} of {name}, but the kernel does not use it: another route or rule takes precedence "
            f"(`ip rule`, `ip route get {quoted(way.address)}`)"
        )
    return f"the server reports the router {name} as offline" if peer.get("Online") is False else ""


def _unserved(expect: Routed, way: Way) -> bool:
    return not any(way.prefix in items(mapping(expect.state.get(router)).get("serving")) for router in way.routers)


def _no_peer(expect: Routed, way: Way) -> str:
    serving = [name for name in way.routers if way.prefix in items(mapping(expect.state.get(name)).get("serving"))]
    if serving:
        return (
            f"the server serves {way.prefix} through {serving[0]} but gives this node no route to it: its policy does not let this "
            f"node reach {way.prefix}"
        )
    return f"no peer of this node has the route {way.prefix}: check that it is approved and that the policy lets this node reach it"


def _silent(expect: Routed, way: Way) -> str:
    """Return why a target does not answer although packets for it enter the mesh."""
    for name in way.routers:
        own = mapping(expect.routers.get(name))
        if own.get(f"forwarding{way.family}") is False:
            return f"the router {name} does not forward packets: set {switch(own, way.family)} there"
        if way.prefix in items(own.get("unreached")):
            return (
                f"the router {name} does not reach {way.target} ({way.address}) itself: see its check forwards.target"
            )
        if own.get("masquerades") is False:
            return (
                f"the router {name} does not masquerade (--snat-subnet-routes=false), so {way.target} needs a route back to the mesh: "
                "give it one through the router, or turn masquerading on"
            )
        if own.get("netfilter") is False:
            return (
                f"the router {name} sets no rules (--netfilter-mode=off), so it masquerades nothing: run `tailscale set "
                f"--netfilter-mode=on` there, or masquerade packets from the mesh by other rules"
            )
    return (
        f"packets enter the mesh but {way.target} does not answer: the router's firewall drops what it should forward or masquerade "
        "(`nft list ruleset` there), or the policy does not allow this protocol"
    )


def _wrong_source(expect: Routed, way: Way, source: str) -> str:
    wanted = " or ".join(way.sources)
    kept = any(source in node.addresses for node in expect.nodes.values())
    if kept:
        return f"{way.target} sees the node's own address {source} instead of {wanted}: the router does not masquerade"
    return f"{way.target} sees {source or 'no address'} instead of {wanted}: the router masquerades, or another host carries the packets"


def _no_bulk(way: Way) -> str:
    return (
        f"small requests are answered but {BULK_BYTES} bytes do not arrive: large packets are lost behind the router of {way.prefix} "
        "(path MTU: its firewall must let ICMP 'fragmentation needed' pass, or clamp the MSS)"
    )
