# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold everything that was observed for a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Literal

from .._doctor.records import Server
from .._judge.answer import Answer, Json, address, addresses, items, mapping, number, text
from .._judge.interfaces import held
from .._policy import Node
from . import asking
from .members import Members
from .question import End, Question

State = Literal["passed", "failed", "unknown"]
OUT, IN = "out", "in"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a step came to, in a sentence, with the observations that it rests on."""

    state: State
    said: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    """The command that shows it again, on `host`."""
    host: str = ""


def passed(said: str, **more: Any) -> Finding:  # noqa: ANN401 - the fields of a finding
    """Return the finding of a step that works."""
    return Finding(state="passed", said=said, **more)


def failed(said: str, **more: Any) -> Finding:  # noqa: ANN401
    """Return the finding of a step that fails."""
    return Finding(state="failed", said=said, **more)


def unknown(said: str, **more: Any) -> Finding:  # noqa: ANN401
    """Return the finding of a step that could not be observed."""
    return Finding(state="unknown", said=said, **more)


class Side(Answer):
    """One end of the path, as its host described it."""

    def __init__(self, end: End, answer: Json) -> None:
        super().__init__(answer)
        self.end = end
        self.name = end.router

    @property
    def hidden(self) -> str:
        """Return why nothing was observed on the host, empty if it was."""
        if not self.end.host:
            return f"{self.name} is not among the clients of the inventory"
        if self._observations:
            return ""
        # Ansible marks a host that it cannot log in to, and the host leaves no answer.
        return f"{self.name} cannot be logged in to" if not self._answer else self.why("status")

    @cached_property
    def status(self) -> dict[str, Any]:
        """Return tailscaled's status."""
        return mapping(self.data("status"))

    @cached_property
    def prefs(self) -> dict[str, Any]:
        """Return tailscaled's preferences."""
        return mapping(self.data("prefs"))

    @cached_property
    def interface(self) -> str:
        """Return the mesh interface, empty if there is none."""
        return asking.interface(self)

    def lacks(self, *, ipv6: bool) -> str:
        """Return the node's own mesh address of a family if no interface has it, empty if one does or that is unknown."""
        links = self.data("addresses")
        present = dict(held(links))
        own = [
            known for known in addresses(mapping(self.status.get("Self")).get("TailscaleIPs")) if (":" in known) is ipv6
        ]
        return next((known for known in own if links is not None and known not in present), "")

    def holder(self, known: str) -> str:
        """Return the interface that has an address, empty if none has."""
        return next((name for address, name in held(self.data("addresses")) if address == known), "")

    def peer(self, other: Side) -> dict[str, Any]:
        """Return what tailscaled knows of the other node, empty if it does not know it."""
        return mapping(mapping(self.status.get("Peer")).get(other.end.key))

    def route(self, to: str) -> dict[str, Any]:
        """Return the kernel's route to an address."""
        return mapping(mapping(mapping(self.data("routes")).get("get")).get(to))

    def file(self, path: str) -> str:
        """Return the content of a file, empty if it was not read."""
        return text(mapping(mapping(self.data("files")).get(path)).get("text")).strip()

    @property
    def watched(self) -> bool:
        """Whether the packets on the mesh interface were watched."""
        return isinstance(self.data("watched"), list)

    @property
    def unwatched(self) -> str:
        """Return why the packets were not watched."""
        if self.hidden or not self.interface:
            return self.hidden or f"{self.name} has no mesh interface"
        return self.why("watched") if "watched" in self._observations else self.why("watch")

    def packets(self, direction: str, src: str, dst: str, *kinds: str) -> int:
        """Return how many packets of these kinds were seen; `src` may be empty for an error from any router."""
        return sum(
            int(number(row.get("packets")) or 0)
            for row in map(mapping, items(self.data("watched")))
            if row.get("direction") == direction
            and address(row.get("dst")) == dst
            and (not src or address(row.get("src")) == src)
            and text(row.get("kind")) in kinds
        )

    def sources(self, direction: str, dst: str, *kinds: str) -> list[str]:
        """Return the addresses from which packets of these kinds were seen to go to an address."""
        rows = [row for row in map(mapping, items(self.data("watched"))) if address(row.get("dst")) == dst]
        seen = [
            address(row.get("src"))
            for row in rows
            if row.get("direction") == direction and text(row.get("kind")) in kinds
        ]
        return list(dict.fromkeys(filter(None, seen)))

    def refusals(self, direction: str, dst: str) -> list[str]:
        """Return the codes of the unreachable messages to an address."""
        rows = map(mapping, items(self.data("watched")))
        return [
            text(row.get("kind"))
            for row in rows
            if row.get("direction") == direction
            and address(row.get("dst")) == dst
            and text(row.get("kind")).startswith("unreachable")
        ]

    def dropped(self) -> float:
        """Return how many packets tailscaled's packet filter has dropped during the attempt."""
        return max(0.0, self._acl_drops("metrics_after") - self._acl_drops("metrics"))

    def _acl_drops(self, name: str) -> float:
        rows = items(mapping(self.data(name)).get("tailscaled_inbound_dropped_packets_total"))
        return sum(
            number(row.get("value")) or 0.0
            for row in map(mapping, rows)
            if mapping(row.get("labels")).get("reason") == "acl"
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question with everything that was observed for it."""

    question: Question
    server: Server
    source: Side
    target: Side
    tried: Answer

    @property
    def routed(self) -> bool:
        """Whether the target is behind a subnet router."""
        return bool(self.question.target.route)

    @property
    def what(self) -> str:
        """Return the service as people read it."""
        return str(self.question.service)

    @cached_property
    def shared(self) -> tuple[int, ...]:
        """Return the address families that both ends have."""
        there = {_family(known) for known in self.question.target.addresses}
        here = {_family(known) for known in self.question.source.mesh_addresses}
        return tuple(sorted(here & there))

    @cached_property
    def not_offered(self) -> tuple[int, ...]:
        """Return the families that no program listens on, if one listens on another family."""
        if not self.question.service.port or self.routed or not any(map(self.listeners, self.shared)):
            return ()
        return tuple(family for family in self.shared if not self.listeners(family) and not self.connected(family))

    @cached_property
    def families(self) -> tuple[int, ...]:
        """Return the address families to examine."""
        return tuple(family for family in self.shared if family not in self.not_offered)

    def to(self, family: int) -> str:
        """Return the address that the source connects to."""
        return next(known for known in self.question.target.addresses if _family(known) == family)

    def origin(self, family: int) -> str:
        """Return the source's address."""
        return next(known for known in self.question.source.mesh_addresses if _family(known) == family)

    def outcome(self, family: int) -> str:
        """Return how the attempt to connect ended: `connected`, `timeout`, `refused` and so on; empty if it was not made."""
        data = self.tried.data("try")
        if self.question.service.protocol == "icmp":
            seen = mapping(mapping(data).get(self.to(family)))
            errors = [text(mapping(error).get("error")) for error in items(seen.get("errors"))]
            return "" if not seen else "connected" if seen.get("received") else (errors or ["timeout"])[0]
        row = self.attempt(family)
        outcome = text(row.get("outcome"))
        return "connected" if outcome == "answered" else outcome

    def attempt(self, family: int) -> dict[str, Any]:
        """Return the attempt to connect by TCP or UDP."""
        rows = map(mapping, items(self.tried.data("try")))
        return next((row for row in rows if address(row.get("host")) == self.to(family)), {})

    def connected(self, family: int) -> bool:
        """Whether the target answered the source."""
        return self.outcome(family) == "connected"

    @cached_property
    def any_connected(self) -> bool:
        """Whether the target answered by any family."""
        return any(map(self.connected, self.shared))

    def bound(self) -> list[dict[str, Any]]:
        """Return the target's sockets that have the port, on whatever address."""
        service = self.question.service
        rows = map(mapping, items(self.target.data("listening")))
        return [row for row in rows if row.get("proto") == service.protocol and number(row.get("port")) == service.port]

    def listeners(self, family: int) -> list[dict[str, Any]]:
        """Return the target's sockets that accept connections to the address."""
        return [row for row in self.bound() if _accepts(address(row.get("address")), self.to(family), family)]

    @cached_property
    def members(self) -> Members:
        """Return the nodes, and what the policy means for them."""
        return Members(self.server)

    def ends(self) -> tuple[Node, Node] | None:
        """Return both ends as a policy names them; the target has the address that is asked about."""
        here, there = (
            self.members.nodes.get(text(end.node.get("id"))) for end in (self.question.source, self.question.target)
        )
        if here is None or there is None:
            return None
        return here, replace(there, addresses=self.question.target.addresses)


def _accepts(bound: str, target: str, family: int) -> bool:
    if not bound:
        return False
    found = ip_address(bound)
    # A socket on all IPv6 addresses takes IPv4 as well, unless its program forbids it.
    return bound == target or (found.is_unspecified and found.version in (family, 6))


def _family(known: str) -> int:
    return 6 if ":" in known else 4
