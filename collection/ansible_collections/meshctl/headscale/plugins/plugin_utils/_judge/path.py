# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge which path the traffic between two nodes takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, endpoint, items, mapping, text
from .context import CheckContext, Node
from .observations import DISCO, STATUS
from .quoting import quoted
from .reason import late, settled

if TYPE_CHECKING:
    from .check import Check
    from .topology import Kind


@dataclass(frozen=True, kw_only=True)
class Underlay:
    """What is known of a node's physical network."""

    owned: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    local: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExpectedPath:
    """The expected path to one peer."""

    peer: Node
    kind: Kind
    reason: str = ""
    underlay: Underlay = field(default_factory=Underlay)
    network: str = ""
    """The physical network that both nodes are in, empty if they are not or it is not known."""

    def accepts(self, path: str) -> bool:
        """Whether a path that was observed is as expected."""
        return path in (("direct", "relay", "peer-relay") if self.kind == "any" else (self.kind,))

    def unlike(self, path: str) -> str:
        """Say that a path that was observed is not as expected."""
        return f"the path is {path}, but {self.kind} was expected ({self.reason})"

    def why_relayed(self, path: str, sides: dict[str, tuple[Json, Json]]) -> str:
        """Return why traffic takes another kind of relay than expected, or a relay at all; `sides` as in `causes.relayed`."""
        if self.kind == "relay":
            return self.unlike(path)
        why = causes.relayed(sides, network=self.network)
        return why if path == "relay" else f"{self.unlike(path)}: {why}"

    @property
    def address(self) -> str:
        """Return the mesh address to ping."""
        return self.peer.first_address

    @property
    def hosts(self) -> list[str]:
        """Return the physical addresses at which the peer may answer; if none is known, none is checked."""
        if self.underlay.owned:
            return list(self.underlay.owned)
        return list(dict.fromkeys(host for entry in self.underlay.endpoints if (host := endpoint(entry)[0])))


@dataclass(frozen=True, kw_only=True)
class Paths:
    """The expected paths of a node to its peers."""

    expected_paths: tuple[ExpectedPath, ...]
    own: Underlay = field(default_factory=Underlay)


def judge_path(answer: Json, context: CheckContext, expect: Paths) -> list[Check]:
    """Return a check of the path to each peer."""
    seen = Answer(answer)
    return [_expected_path(seen, context, way, expect.own) for way in expect.expected_paths]


def observed_path(pinged: Json) -> dict[str, Any]:
    """Return the path that a disco ping reports: `direct`, `relay`, `peer-relay` or `none`."""
    last = mapping(mapping(pinged).get("last"))
    if host := endpoint(last.get("endpoint"))[0]:
        return {"path": "direct", "endpoint": text(last.get("endpoint")), "host": host}
    if text(last.get("peer_relay")):
        return {"path": "peer-relay", "via": text(last.get("peer_relay"))}
    if text(last.get("derp")):
        return {"path": "relay", "derp": text(last.get("derp"))}
    return {"path": "none"}


def _expected_path(seen: Answer, context: CheckContext, way: ExpectedPath, own: Underlay) -> Check:
    pinged = mapping(mapping(seen.data(DISCO)).get(way.address))
    expected: dict[str, Any] = {"path": way.kind}
    if way.kind != "relay" and way.hosts:
        expected["endpoint"] = way.hosts
    command = f"tailscale ping --c 5 {quoted(way.address or way.peer.name)}"
    if not pinged:
        why = _unseen(seen) if way.address else settled(f"the server has no address of {way.peer.name}")
        return context.check(
            None, target=way.peer.name, expected=expected, observed=None, hint=why, command=command,
            evidence={"error": seen.error(DISCO)},
        )  # fmt: skip
    found = observed_path(pinged)
    direct = found["path"] == "direct"
    ours = not direct or not way.hosts or found["host"] in way.hosts
    return context.check(
        way.accepts(found["path"]) and ours,
        target=way.peer.name,
        expected=expected,
        observed=found,
        evidence={
            "reason": way.reason,
            "address": way.address,
            "pings": len(items(pinged.get("answers"))),
            "lost": pinged.get("lost"),
            "latency_ms": mapping(pinged.get("last")).get("latency_ms"),
            "endpoint_checked": bool(way.hosts),
        },
        hint=_hint(seen, way, own, found),
        command=command,
    )


def _unseen(seen: Answer) -> str:
    return seen.why(DISCO) if seen.data(DISCO) is None else late("the probe did not finish in time")


def _hint(seen: Answer, way: ExpectedPath, own: Underlay, found: dict[str, Any]) -> str:
    kind = found["path"]
    if kind == "none":
        return (
            causes.client(seen)
            or causes.peer(seen, way.peer)
            or f"{way.peer.name} answers neither directly nor through a relay: check that its client and the relay are up"
        )
    if kind == "direct" and way.kind == "relay":
        return (
            f"a relay was expected ({way.reason}), but the two sides reach each other directly: the NAT differs from the "
            "topology"
        )
    if kind == "direct":
        return (
            f"{found['host']} is not an address of {way.peer.name} or its router: mesh_topology is wrong, or its traffic takes "
            "another route"
        )
    own_endpoints = mapping(mapping(seen.data(STATUS)).get("Self")).get("Addrs") or list(own.endpoints)
    sides = {"this node": (own_endpoints, list(own.local))}
    sides[way.peer.name] = (list(way.underlay.endpoints), list(way.underlay.local))
    return way.why_relayed(kind, sides)
