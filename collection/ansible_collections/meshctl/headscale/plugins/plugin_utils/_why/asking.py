# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to observe on the server and at both ends, and what to keep of it."""

from __future__ import annotations

from typing import Any

from .._judge.answer import Answer, Json, addresses, items, mapping, text
from .question import End, Question, Service

Request = dict[str, Any]

FORWARDING = {4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding"}
IGNORED = {4: "/proc/sys/net/ipv4/icmp_echo_ignore_all", 6: "/proc/sys/net/ipv6/icmp/echo_ignore_all"}
# The whole examination, and more: what watches the packets ends by itself.
_WATCH_S = 90.0
# WireGuard repeats a lost first handshake after five seconds, and sends the waiting packets then.
_TRY_S = 6.5
_PING_S = 1.5
# What `attempt` takes at most: two pings of WireGuard, and the attempt.
ATTEMPT_S = 2 * _PING_S + _TRY_S + 0.5


def first(service: Service) -> list[Request]:
    """Return what to observe at an end before its packets are watched."""
    ports = [service.port] if service.port else []
    return [
        *(
            {"id": kind, "kind": kind}
            for kind in ("status", "prefs", "addresses", "packet_filter", "metrics", "firewall")
        ),
        {"id": "listening", "kind": "listening", "ports": ports or [1]},
        {"id": "files", "kind": "files", "paths": [*FORWARDING.values(), *IGNORED.values()]},
    ]


def second(question: Question, seen: Answer, *, source: bool) -> list[Request]:
    """Return the routes to ask for, and the packets to watch."""
    far, near = (question.target, question.source) if source else (question.source, question.target)
    asked = far.addresses if source else far.mesh_addresses
    found: list[Request] = [{"id": "routes", "kind": "routes", "rules": True, "get": list(asked)}]
    if device := interface(seen):
        # Packets to an address behind the router have the source's address as well.
        peers = question.source.mesh_addresses if near is question.target else [*far.addresses, *far.mesh_addresses]
        found.append(
            {
                "id": "watch",
                "kind": "watch",
                "interface": device,
                "peers": peers,
                "seconds": _WATCH_S,
                **_service(question),
            }
        )
    return found


def attempt(question: Question, *, through: bool = True) -> list[Request]:
    """Return the attempts to connect, after a ping of tailscaled that sets up the tunnel if they go `through` it."""
    service, targets = question.service, list(question.target.addresses)
    ping = {"targets": question.pinged, "try_timeout_s": _PING_S}
    path = {"id": "disco", "kind": "disco", **ping, "tries": 4, "interval_s": 0.3, "until_direct": True}
    if service.protocol == "icmp":
        asked: Request = {"kind": "icmp", "targets": targets, "count": 2}
    else:
        asked = {"kind": service.protocol, "targets": [{"host": host, "port": service.port} for host in targets]}
    asked = {**asked, "id": "try", "try_timeout_s": _TRY_S}
    if not through:
        return [asked]
    return [
        path,
        {"id": "all", "kind": "sequence", "steps": [{"id": "tsmp", "kind": "tsmp", **ping, "tries": 2}, asked]},
    ]


def tried(answer: Json) -> Answer:
    """Return the attempts, and the pings, by name."""
    observations = mapping(mapping(answer).get("observations"))
    return Answer({"observations": {**observations, **mapping(Answer(answer).data("all"))}})


def last(seen: Answer) -> list[Request]:
    """Return what to observe at an end after the attempt."""
    token = text(mapping(seen.data("watch")).get("token"))
    return [
        # A tailscaled that did not tell its status does not tell these either.
        *([{"id": "metrics", "kind": "metrics"}] if seen.data("status") else []),
        *([{"id": "watched", "kind": "watched", "token": token}] if token else []),
    ]


def interface(seen: Answer) -> str:
    """Return the interface that has the node's own mesh addresses, empty if none has."""
    own = set(addresses(mapping(mapping(seen.data("status")).get("Self")).get("TailscaleIPs")))
    links = (mapping(link) for link in items(seen.data("addresses")))
    return next((text(link.get("name")) for link in links if own & set(addresses(link.get("addresses")))), "")


def kept(answer: Json, other: End) -> dict[str, Any]:
    """Return an answer with only the peer that matters: a node may have thousands."""
    found = mapping(answer)
    observations = dict(mapping(found.get("observations")))
    seen = mapping(observations.get("status"))
    status = mapping(seen.get("data"))
    if status:
        peers = mapping(status.get("Peer"))
        chosen = {key: peer for key, peer in peers.items() if key == other.key}
        observations["status"] = {**seen, "data": {**status, "Peer": chosen, "peers": len(peers)}}
    return {**found, "observations": observations}


def together(*answers: Json) -> dict[str, Any]:
    """Return several answers as one; of two observations with the same name, the first."""
    found: dict[str, Any] = {}
    for answer in reversed(answers):
        observations = {**mapping(found.get("observations")), **mapping(mapping(answer).get("observations"))}
        found = {**found, **mapping(answer), "observations": observations}
    return found


def _service(question: Question) -> Request:
    return {"protocol": question.service.protocol, "port": question.service.port}
