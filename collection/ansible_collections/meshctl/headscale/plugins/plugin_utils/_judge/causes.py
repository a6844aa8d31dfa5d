# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find likely causes in the evidence that was fetched after a check failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, addresses, endpoint, items, mapping, moment, text
from .interfaces import device_to, is_local, mesh_interfaces
from .observations import ADDRESSES, DISCO, ICMP, STATUS, TSMP
from .reason import Reason, late, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import Node

_STATES = {
    "NeedsLogin": (
        "it is logged out, or its registration was refused; read its log, create a preauthkey and join it again"
    ),
    "NeedsMachineAuth": "the server has not approved it; approve it there",
    "Stopped": "`tailscale down` was run on it; run `tailscale up`",
    "Starting": "it has no network map yet; check that the control server is reachable and its certificate trusted",
    "NoState": "tailscaled has only just started, or cannot read its state",
}
# States that load may explain.
_WAITING = ("Starting", "NoState", "")
# States in which a client stays as long as something is wrong.
_STUCK = ("NoState", "Starting", "NeedsLogin", "")
_LOGIN = "last login error"
# What headscale says of a preauthkey that has expired or is used up, and of one that it does not know.
_REFUSED_KEY = ("authkey", "auth key")
_LONGEST = 400


def find_peer(status: Json, node: Node) -> dict[str, Any]:
    """Return a node's entry in a client's status, found by node key or mesh address; empty if there is none."""
    peers = [mapping(peer) for peer in mapping(mapping(status).get("Peer")).values()]
    # In a large mesh, to read all addresses for each peer takes long.
    if by_key := next((peer for peer in peers if node.key and text(peer.get("PublicKey")) == node.key), None):
        return by_key
    return next((peer for peer in peers if set(addresses(peer.get("TailscaleIPs"))) & set(node.addresses)), {})


def client(seen: Answer) -> str:
    """Return the fault of the host's own client, empty if none is visible."""
    status = mapping(seen.data(STATUS))
    if not status:
        return seen.why(STATUS)
    state = text(status.get("BackendState"))
    own = mapping(status.get("Self"))
    health = [line for entry in items(status.get("Health")) if (line := text(entry))]
    said = "; ".join(health)[:_LONGEST]
    if state != "Running":
        reason = _STATES.get(state, "look at its log")
        # The client reports itself why it cannot log in, such as a server that it does not find.
        refused = login_error(seen)
        said = f"the client is {state or 'in no known state'}: {f'it reports: {refused}' if refused else reason}"
        return Reason(said, late=state in _WAITING)
    if own.get("Expired") is True or _past(own.get("KeyExpiry"), seen.now):
        return settled("the node's key has expired: join it again, or set a later expiry on the server")
    if own.get("Online") is False:
        return late(f"the client has no connection to the control server{': ' + said if said else ''}")
    return ""


def login_error(seen: Answer) -> str:
    """Return why the client cannot log in, as it reports itself; empty if it does not say."""
    status = mapping(seen.data(STATUS))
    lines = [text(entry) for entry in items(status.get("Health"))]
    stuck = text(status.get("BackendState")) in _STUCK
    return next((line for line in lines if _LOGIN in line), "")[:_LONGEST] if stuck else ""


def refused_key(seen: Answer) -> bool:
    """Whether the server refused the preauthkey with which the client logged in, as the client reports."""
    return any(words in login_error(seen).lower() for words in _REFUSED_KEY)


def peer(seen: Answer, node: Node) -> str:
    """Return the fault of a peer that the host's client knows of, empty if none."""
    known = find_peer(seen.data(STATUS), node)
    if not known:
        return settled(
            f"the server does not show {node.name} to this node: it was deleted, or the policy lets neither "
            "reach the other"
        )
    if known.get("Expired") is True or _past(known.get("KeyExpiry"), seen.now):
        return settled(f"the key of {node.name} has expired: join it again, or set a later expiry on the server")
    if known.get("Online") is False:
        return late(
            f"the server reports {node.name} as offline: check that tailscaled runs there and reaches the server"
        )
    return ""


def through_mesh(target: str) -> str:
    """Return why traffic to a physical address goes through the mesh."""
    return (
        f"traffic to {target} goes through the mesh: this host uses an exit node (turn it off with `tailscale set --exit-node=`), or "
        "it accepts the routes of a subnet router (`headscale nodes list-routes`; turn it off with `tailscale set "
        "--accept-routes=false` here)"
    )


def unreachable(seen: Answer, node: Node, address: str) -> str:
    """Return why a kernel ping over the mesh got no answer."""
    refused = [mapping(error) for error in items(mapping(mapping(seen.data(ICMP)).get(address)).get("errors"))]
    causes: list[Callable[[], str]] = [
        lambda: client(seen),
        lambda: peer(seen, node),
        lambda: _astray(seen, address),
        lambda: _own_refusal(refused),
        lambda: _mesh_ping(seen, node, address),
    ]
    found = (said for cause in causes if (said := cause()))
    return next(found, "no cause was found: read tailscaled's log on both sides")


def _astray(seen: Answer, target: str) -> str:
    """Return which interface traffic to a mesh address takes, empty if it is the mesh's or not known."""
    taken = device_to(seen, target)
    links = seen.data(ADDRESSES)
    if not taken or links is None or taken in mesh_interfaces(links):
        return ""
    return settled(
        f"this host sends it through {taken} and not into the mesh: tailscaled's routes or rules are gone (`ip rule`, `ip route "
        "show table 52`; restart tailscaled), tailscale0 is down, or tailscaled runs without a TUN device"
    )


def _own_refusal(errors: list[dict[str, Any]]) -> str:
    kinds = {text(error.get("error")) for error in errors if error.get("from") == "local"}
    if "prohibited" in kinds:
        return settled("this host's own firewall refuses to send: look at its output rules (`nft list ruleset`)")
    if "no-such-source" in kinds:
        return settled(
            "this host has no address of that family in the mesh: IPv6 is switched off here (`sysctl net.ipv6.conf.all.disable_ipv6`), "
            "or the address was removed from tailscale0; restart tailscaled"
        )
    if "net-down" in kinds:
        return settled("the mesh's interface is down on this host: `ip link set tailscale0 up`, or restart tailscaled")
    if kinds & {"net-unreachable", "host-unreachable"}:
        return settled(
            "this host has no route to the mesh: tailscaled runs without a TUN device, or its routes were removed"
        )
    far = {text(error.get("from")) for error in errors} - {"local", ""}
    return settled(f"refused by {', '.join(sorted(far))}: its firewall answers in place of the peer") if far else ""


def _mesh_ping(seen: Answer, node: Node, address: str) -> str:
    disco = mapping(mapping(seen.data(DISCO)).get(address))
    tsmp = mapping(mapping(seen.data(TSMP)).get(address))
    if not disco:
        return ""
    if disco.get("answered") is not True:
        return (
            f"{node.name} answers neither directly nor through a relay: check that its client is up and reaches the relay "
            "(`tailscale status`, `tailscale netcheck` there)"
        )
    last = mapping(disco.get("last"))
    way = text(last.get("endpoint")) or f"relay {text(last.get('derp')) or '?'}"
    if tsmp.get("answered") is True:
        return (
            f"{node.name} answers WireGuard pings via {way} but not ICMP: the policy or a firewall on "
            f"{node.name} drops it, or {node.name} has no route back "
            "(`nft list ruleset`, `ip rule` and `ip route` there; the policy on the server)"
        )
    return f"{node.name} answers disco pings via {way} but nothing inside WireGuard: restart tailscaled on both sides"


def relayed(sides: dict[str, tuple[Json, Json]], *, network: str = "") -> str:
    """Return why a path stays on a relay; `sides` holds each node's endpoints and the addresses of its interfaces.

    If both nodes are in one `network`, no router is between them. What keeps their UDP apart was not tried.
    """
    if network:
        return (
            f"both are in {network}: check whether a firewall of either drops UDP (`nft list ruleset` on both), and if one of them is on "
            "Wi-Fi, whether its access point isolates clients"
        )
    for who, (endpoints, local) in sides.items():
        inside, outside = _ports(endpoints, local)
        if inside and not outside and not _has_public(endpoints, local):
            return (
                f"{who} has not learned a public endpoint: UDP to STUN (port 3478) is blocked on its side, no relay has STUN, or the "
                "relay is in its own network (`tailscale netcheck` there)"
            )
        if inside and outside and not inside & outside:
            # Not even several mapped ports prove a hard NAT: tailscaled lists each endpoint for five minutes.
            return (
                f"the router of {who} maps its UDP port ({_some(inside)} became {_some(outside)}): it may be a hard NAT, which uses another "
                "port for each destination, or a stale conntrack entry may hold the port (drop new packets on the router's WAN side and "
                "flush its conntrack); if neither is so, UDP is blocked between the two sides"
            )
    return "UDP is blocked between the two sides, or both are behind a hard NAT (`tailscale netcheck` on each)"


def _ports(endpoints: Json, local: Json) -> tuple[set[int], set[int]]:
    """Return the ports of a node's local IPv4 endpoints, and of the endpoints that were learned from outside."""
    own = set(addresses(local))
    inside: set[int] = set()
    outside: set[int] = set()
    for host, port in (endpoint(entry) for entry in items(endpoints)):
        if own and host and ":" not in host:
            (inside if host in own else outside).add(port)
    return inside, outside


def _has_public(endpoints: Json, local: Json) -> bool:
    """Whether a node has a public IPv4 address on an interface, and so needs no STUN."""
    own = {host for entry in items(endpoints) if (host := endpoint(entry)[0]) and ":" not in host}
    return any(not is_local(host) for host in own.intersection(addresses(local)))


def _some(ports: set[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports)[:3])


def _past(expiry: Json, now: float | None) -> bool:
    found = moment(expiry)
    return found is not None and now is not None and found <= now
