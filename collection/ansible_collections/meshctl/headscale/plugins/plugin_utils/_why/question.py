# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out which two ends, and which service, a question is about."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from ...module_utils._errors import BadInput, CouldNotRun
from .._judge.answer import address, addresses, items, mapping, text

Protocol = Literal["tcp", "udp", "icmp"]
Record = dict[str, Any]

_SERVICE = re.compile(r"(?:(tcp|udp)[/:])?([a-z0-9][a-z0-9-]*)", re.IGNORECASE)
_EXIT = ("0.0.0.0/0", "::/0")
_HIGHEST_PORT = 65535
_NEAR = 3
_LONGEST = 60


@dataclass(frozen=True)
class Service:
    """A protocol, and its port if it has ports."""

    protocol: Protocol = "icmp"
    port: int = 0

    @classmethod
    def read(cls, said: str) -> Service:
        """Return the service of `tcp/443`, `udp/53`, `443`, `https` or `icmp`; nothing means ICMP. Raise `BadInput`."""
        words = said.strip()
        if words.lower() in ("", "icmp", "ping", "any"):
            return cls()
        found = _SERVICE.fullmatch(words)
        if not found:
            raise BadInput(f"the service is {_quoted(said)}: write tcp/443, udp/53, icmp, or a name such as https")
        protocol: Protocol = "udp" if (found[1] or "").lower() == "udp" else "tcp"
        return cls(protocol, _port(found[2].lower(), protocol, said))

    def __str__(self) -> str:
        """Return the service as it is written in a question."""
        return f"{self.protocol}/{self.port}" if self.port else self.protocol


def _port(word: str, protocol: str, said: str) -> int:
    if word.isdecimal():
        if not 1 <= int(word) <= _HIGHEST_PORT:
            raise BadInput(f"the service is {_quoted(said)}: a port is a number from 1 to {_HIGHEST_PORT}")
        return int(word)
    try:
        return socket.getservbyname(word, protocol)
    except OSError:
        raise BadInput(
            f"the service is {_quoted(said)}: this machine knows no {protocol} service of that name; write the port, as in "
            f"{protocol}/443"
        ) from None


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of the path: a node, or an address behind a subnet router, which is the node then."""

    name: str
    host: str = ""
    """The inventory host, empty if the node is none."""
    key: str = ""
    node: Record = field(default_factory=dict)
    """The server's record, empty if there is none."""
    addresses: tuple[str, ...] = ()
    """The addresses that are asked about."""
    route: str = ""
    """The route through the node, if it is a subnet router."""

    @property
    def router(self) -> str:
        """Return the name of the node."""
        return self.host or text(self.node.get("givenName")) or self.name

    @property
    def mesh_addresses(self) -> list[str]:
        """Return the addresses of the node in the mesh."""
        return addresses(self.node.get("ipAddresses")) or (list(self.addresses) if not self.route else [])


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked."""

    source: End
    target: End
    service: Service

    @property
    def pinged(self) -> list[str]:
        """Return the address at which tailscaled of the source pings that of the target, if both have one of a family."""
        known = self.target.mesh_addresses if self.target.route else list(self.target.addresses)
        own = {":" in entry for entry in self.source.mesh_addresses}
        return ([entry for entry in known if (":" in entry) in own] or known)[:1]

    @property
    def hosts(self) -> list[str]:
        """Return the inventory hosts to observe."""
        return [host for host in (self.source.host, self.target.host) if host]

    def as_fact(self) -> Record:
        """Return the question as plain data."""
        return {**asdict(self), "hosts": self.hosts}

    @classmethod
    def of(cls, fact: Record) -> Question:
        """Return the question of `as_fact`."""
        ends = {name: {**mapping(fact.get(name))} for name in ("source", "target")}
        for end in ends.values():
            end["addresses"] = tuple(end.get("addresses") or ())
        return cls(source=End(**ends["source"]), target=End(**ends["target"]), service=Service(**fact["service"]))


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the mesh before anything is observed."""

    clients: Mapping[str, Record]
    """The inventory's nodes, with the key and addresses that each host told."""
    others: Mapping[str, str] = field(default_factory=dict)
    """The address of each other host of the inventory."""
    nodes: Sequence[Record] = ()
    domain: str = ""
    unlisted: str = ""
    """Why the server did not list its nodes."""
    leads: Callable[[Record, Record, str], bool] | None = None
    """Whether the server gives a node a route through a router; None if only its primary routers are known."""
    withheld: Mapping[str, str] = field(default_factory=dict)
    """The IPv4 addresses that the policy takes away, with the names of their nodes."""

    def ask(self, source: str, target: str, service: str) -> Question:
        """Return the question; raise `BadInput` or `CouldNotRun`."""
        wanted = Service.read(service)
        here = self._end(source, "source")
        if here.route:
            raise BadInput(f"the source {source} is behind the subnet router {here.router}: name a node as the source")
        there = self._end(target, "target", here.node)
        if not there.route and _same(here, there):
            raise BadInput(f"source and target are the same node, {here.name}: name two")
        return Question(source=here, target=there, service=wanted)

    def _end(self, said: str, what: str, source: Record | None = None) -> End:
        name = said.strip()
        if not name:
            raise BadInput(f"no {what} is named: name a host of the inventory, a node of the mesh or an address")
        known = self.others.get(name) or address(name)
        found = self._host(name) or self._node(name) or self._address(name, known, source or {})
        if found:
            return found
        if name in self.others:
            raise BadInput(
                f"{name} is not a node of the mesh, and no approved route leads to its address {self.others[name] or '(unknown)'}"
            )
        if self.unlisted:
            raise CouldNotRun(
                f"{_quoted(said)} is not a node of the inventory, and the server was not asked: {self.unlisted}"
            )
        what_else = "no node has it and no approved route leads to it" if address(name) else "no host and no node"
        raise BadInput(f"the {what} is {_quoted(said)}, {what_else}: {self._nearest(name)}")

    def _host(self, name: str) -> End | None:
        if name not in self.clients:
            return None
        told = mapping(self.clients[name])
        key = text(told.get("key"))
        node = next((node for node in self.nodes if key and text(node.get("nodeKey")) == key), {})
        named = [node for node in self.nodes if name in _names(node)] if not key else []
        record = node or (named[0] if len(named) == 1 else {})
        return End(
            name=name, host=name, key=key or text(record.get("nodeKey")), node=self._record(record),
            addresses=tuple(self._used(record) or addresses(told.get("addresses"))),
        )  # fmt: skip

    def _node(self, name: str) -> End | None:
        bare = name.lower().rstrip(".").removesuffix(f".{self.domain}" if self.domain else "")
        node = next((node for node in self.nodes if text(node.get("givenName")).lower() == bare), None)
        return self._of(node, name, self._used(node)) if node else None

    def _used(self, node: Record) -> list[str]:
        return [known for known in addresses(node.get("ipAddresses")) if known not in self.withheld]

    def _record(self, node: Record) -> Record:
        return {**node, "ipAddresses": self._used(node)} if self.withheld and node else node

    def _address(self, name: str, known: str, source: Record) -> End | None:
        """Return the node that has an address, or the subnet router through which the server routes the source to it."""
        if not known:
            return None
        if known in self.withheld:
            raise BadInput(
                f"{known} is not in use: {self.withheld[known]} has no IPv4 address in the mesh, because the policy's nodeAttrs grant it "
                "disable-ipv4; name the node, or its IPv6 address"
            )
        for node in self.nodes:
            if known in addresses(node.get("ipAddresses")):
                return self._of(node, name, [known])
        routes = [
            (node, text(route))
            for node in self.nodes
            for route in items(node.get("approvedRoutes"))
            if _covers(text(route), known)
        ]
        # An approval stays when the router stops advertising the route.
        alive = [(node, route) for node, route in routes if route in items(node.get("availableRoutes"))]
        # Of equal routes, max returns the first.
        best = max(
            alive or routes,
            key=lambda found: (self._is_led(source, *found), ip_network(found[1], strict=False).prefixlen),
            default=None,
        )
        return self._of(best[0], name, [known], route=best[1]) if best else None

    def _is_led(self, source: Record, router: Record, route: str) -> bool:
        if self.leads is None:
            return route in items(router.get("subnetRoutes"))
        return self.leads(source, router, route)

    def _of(self, node: Record, name: str, known: list[str], route: str = "") -> End:
        key = text(node.get("nodeKey"))
        host = next((host for host, told in self.clients.items() if key and text(mapping(told).get("key")) == key), "")
        return End(name=name, host=host, key=key, node=self._record(node), addresses=tuple(known), route=route)

    def _nearest(self, name: str) -> str:
        known = dict.fromkeys([*self.clients, *self.others, *(text(node.get("givenName")) for node in self.nodes)])
        near = difflib.get_close_matches(name.lower(), [one for one in known if one], n=_NEAR, cutoff=0.4)
        return f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(list(known)[:10])}"


def _same(here: End, there: End) -> bool:
    return bool(here.host and here.host == there.host) or bool(here.key and here.key == there.key)


def _names(node: Record) -> tuple[str, str]:
    return text(node.get("name")), text(node.get("givenName"))


def _covers(route: str, known: str) -> bool:
    try:
        return route not in _EXIT and ip_address(known) in ip_network(route, strict=False)
    except ValueError:
        return False


def _quoted(said: str) -> str:
    return repr(said if len(said) <= _LONGEST else said[:_LONGEST] + "…")
