# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work out what a policy means for a host and its peers, on the ports where the peers listen."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from ...module_utils import _hujson
from ...module_utils._errors import BadInput
from .._judge.answer import Json, addresses, items, mapping, text
from .._judge.filtered import Incoming
from .._judge.policy import Opening, Pair, PolicyExpect
from .._policy import Evaluation, Node, Policy, User
from .._policy.ports import opened
from .peers import expectation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .._judge.context import Node as Member
    from .assertion import Assertion

_PROTOCOLS = ("tcp", "udp")
_FAMILIES = (4, 6)


class PolicyView:
    """A policy and the server's nodes and users, from the view of one host."""

    def __init__(self, task: Assertion, policy: Json, records: Sequence[Json], users: Sequence[Json] = ()) -> None:
        """Read policy, nodes and users; raise `BadInput`."""
        self._task = task
        members = task.nodes()
        by_id = {text(mapping(record).get("id")): mapping(record) for record in records}
        self._nodes = {
            name: Node.read(name, by_id[member.id]) for name, member in members.items() if member.id in by_id
        }
        if task.host not in self._nodes:
            raise BadInput(f"the server has no node for {task.host}: run meshctl.headscale.assert_registered first")
        others = (Node.read(f"id {number}", record) for number, record in by_id.items())
        known = {node.addresses for node in self._nodes.values()}
        # Other nodes matter as well: they may own subnets, and users who share a name.
        everyone = [*self._nodes.values(), *(node for node in others if node.addresses not in known)]
        self._evaluation = Evaluation(Policy.read(_document(policy)), everyone, map(User.read, map(mapping, users)))

    def expect(self, peers: Sequence[Member], *, phase: str, budget_s: float | None, compare: bool) -> PolicyExpect:
        """Return what the policy means for this host and its peers."""
        chosen = [peer for peer in peers if peer.name in self._nodes]
        return PolicyExpect(
            own=self._task.nodes()[self._task.host],
            pairs=tuple(self._pair(peer) for peer in chosen),
            incoming=tuple(one for peer in chosen for one in self._incoming(peer)),
            phase=phase,
            budget_s=budget_s,
            stated=tuple(self._differences(chosen)) if compare else None,
        )

    @property
    def _own(self) -> Node:
        return self._nodes[self._task.host]

    def _pair(self, peer: Member) -> Pair:
        own, other = self._own, self._nodes[peer.name]
        return Pair(
            peer=peer,
            seen=self._evaluation.sees(own, other),
            openings={
                (protocol, family): self._opening(peer, protocol, family)
                for protocol in _PROTOCOLS
                for family in _FAMILIES
                if peer.address(family) and self._shared(own, other, f"ipv{family}")
            },
        )

    def _shared(self, own: Node, other: Node, family: str) -> bool:
        return all(self._evaluation.address(node, family) for node in (own, other))

    def _opening(self, peer: Member, protocol: str, family: int) -> Opening:
        other = self._nodes[peer.name]
        serving = mapping(self._task.of_host(peer.name, "mesh_serving"))
        if problem := text(serving.get("error")) or ("" if serving else "it did not start to listen"):
            return Opening(problem=f"{peer.name} cannot be queried: {problem}")
        known = mapping(mapping(mapping(serving.get("ports")).get(peer.address(family))).get(protocol))
        ports = _ports(known)
        if not ports or known.get("error"):
            said = text(known.get("error")) or "it does not listen on this address"
            return Opening(problem=f"{peer.name} cannot be queried: a port is {said}")
        return self._judged(other, protocol, family, ports)

    def _judged(self, other: Node, protocol: str, family: int, ports: Sequence[int]) -> Opening:
        name, evaluation = f"ipv{family}", self._evaluation
        opening = {port: evaluation.deciding(self._own, other, protocol, port, name) for port in ports}
        closed = tuple(port for port in ports if not opening[port])
        return Opening(
            open=tuple(port for port in ports if opening[port]),
            closed=closed,
            rules=tuple(dict.fromkeys(entry.label for entries in opening.values() for entry in entries)),
            denied=evaluation.explain(self._own, other, protocol, closed[0], name) if closed else "",
        )

    def _incoming(self, peer: Member) -> Iterator[Incoming]:
        """Yield what the host's own filter has to decide about packets from a peer."""
        own, other = self._own, self._nodes[peer.name]
        serving = mapping(mapping(self._task.of_host(self._task.host, "mesh_serving")).get("ports"))
        for family in _FAMILIES:
            source, target = (self._evaluation.address(node, f"ipv{family}") for node in (other, own))
            if source is None or target is None:
                continue
            for protocol in _PROTOCOLS:
                for port in _ports(mapping(mapping(serving.get(str(target))).get(protocol))):
                    allowed = self._evaluation.decide(other, own, protocol, port, f"ipv{family}")
                    yield Incoming(peer.name, ip_address(str(source)), ip_address(str(target)), protocol, port, allowed)

    def _differences(self, peers: Sequence[Member]) -> Iterator[str]:
        """Yield where `mesh_expect` says something else than the policy."""
        expect, ports = expectation(self._task), self._evaluation.restricted()
        own = self._task.host
        for peer in peers:
            reaches, stated = (
                self._evaluation.reaches(self._own, self._nodes[peer.name]),
                expect.reaches(own, peer.name),
            )
            if reaches is not stated:
                yield f"by the policy {own} {'reaches' if reaches else 'does not reach'} {peer.name}"
            elif (only := expect.ports(own, peer.name)) is not None:
                allowed = ports.get((own, peer.name), ("*",))
                if opened(only) != opened(allowed):
                    yield f"by the policy {own} reaches {peer.name} on {', '.join(allowed)}"


def _ports(known: Json) -> list[int]:
    return [port for port in items(mapping(known).get("ports")) if isinstance(port, int)] or [
        port for port in [mapping(known).get("port")] if isinstance(port, int)
    ]


def node_record(node: dict[str, Json]) -> dict[str, Json]:
    """Return what a policy can name a node by, from the server's answer."""
    return {
        "id": text(node.get("id")),
        "user": user_record(mapping(node.get("user"))),
        "tags": _texts(node.get("tags")),
        "ip_addresses": addresses(node.get("ipAddresses")),
        "approved_routes": _texts(node.get("approvedRoutes")),
        "available_routes": _texts(node.get("availableRoutes")),
    }


def user_record(user: dict[str, Json]) -> dict[str, Json]:
    """Return what a policy can name a user by, from the server's answer."""
    names = {"id": "id", "name": "name", "email": "email", "provider_id": "providerId"}
    return {name: text(user.get(key)) for name, key in names.items()}


def usable(found: dict[str, Any], policy: str, users: Json, nodes: Json) -> dict[str, Any]:
    """Return the records of `mesh_nodes` without the IPv4 addresses that the policy takes away, from the server's answers."""
    known = [node_record(mapping(node)) for node in items(nodes)]
    members = [Node.read(text(record["id"]), record) for record in known]
    owners = [User.read(user_record(mapping(user))) for user in items(users)]
    try:
        read = Policy.read(_document(policy))
        withheld = set(map(str, Evaluation(read, members, owners).withheld)) if read.without_ipv4 else set()
    except ValueError:  # the policy cannot be read: assert_policy says so
        return found
    return {name: _without(mapping(record), withheld) for name, record in found.items()}


def _without(record: dict[str, Any], withheld: set[str]) -> dict[str, Any]:
    known = addresses(record.get("addresses"))
    kept = [entry for entry in known if entry not in withheld]
    return record if kept == known else {**record, "addresses": kept, "without": [4]}


def _texts(value: Json) -> list[str]:
    return [entry for entry in items(value) if isinstance(entry, str)]


def _document(policy: Json) -> Json:
    if not isinstance(policy, str):
        return policy
    try:
        return _hujson.parse(policy) if policy.strip() else None
    except ValueError as error:
        raise BadInput(f"the policy is not HuJSON: {error}") from None
