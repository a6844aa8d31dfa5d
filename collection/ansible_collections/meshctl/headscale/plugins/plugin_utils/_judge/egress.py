# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge how a node leaves the mesh through an exit node, and that nothing leaves around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, items, mapping, number, text
from .behind import Behind, Listener, answers, judge_behind
from .context import joined
from .encrypted import UNMARKED, incomplete
from .interfaces import device_to, mesh_interfaces
from .observations import ADDRESSES, ALIVE, CAPTURE, GETADDRINFO, HTTP, ICMP, PREFS, ROUTES, STATUS
from .quoting import quoted
from .reason import late
from .routed import SYSCTLS, page, source_of, switch

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node

DNS_PORT = 53
_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Egress:
    """What a node may reach outside, and how."""

    exit: str
    node: Node | None
    web: str = ""
    """A web server outside, empty where none says where requests come from: on existing hosts."""
    web_address: str = ""
    sources: tuple[str, ...] = ()
    """The addresses that the web server may see."""
    outside: tuple[str, ...] = ()
    """Addresses outside whose route must lead into the mesh."""
    reached: bool = True
    """Whether the exit node lives; if not, nothing may be reached."""
    names: tuple[str, ...] = ()
    neighbour: str = ""
    neighbour_address: str = ""
    neighbour_reached: bool = False
    own_address: str = ""
    probed: tuple[str, ...] = ()
    """Addresses outside that only packets of this probe go to."""
    aspect: str = ""
    router: Mapping[str, Any] | None = None
    """What the exit node said of itself."""
    web_address6: str = ""
    """The web server's IPv6 address, if the exit node reaches it."""
    sources6: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = ()
    """Where the web server's host listens besides, by address."""
    neighbour_address6: str = ""
    """The neighbour's IPv6 address, if this host has one in the same network."""
    own_address6: str = ""
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What became of connections in earlier looks, by address."""

    @property
    def pages(self) -> dict[int, tuple[str, tuple[str, ...]]]:
        """Return for each family the URL at which the web server says where a request came from, and the addresses it may see."""
        found = {4: (f"http://{self.web_address}/", self.sources)}
        return found | ({6: (f"http://[{self.web_address6}]/", self.sources6)} if self.web_address6 else {})

    @property
    def webs(self) -> tuple[str, ...]:
        """Return the web server's addresses."""
        return tuple(filter(None, (self.web_address, self.web_address6)))

    def web_of(self, family: int) -> str:
        """Return the web server's address of a family (4 or 6)."""
        return self.web_address6 if family == 6 else self.web_address  # noqa: PLR2004 - the family

    @property
    def neighbours(self) -> dict[int, tuple[str, str, str]]:
        """Return for each family the neighbour's address, its URL, and the address that it may see."""
        found = {4: (self.neighbour_address, f"http://{self.neighbour_address}/", self.own_address)}
        known = self.neighbour_address6
        return found | ({6: (known, f"http://[{known}]/", self.own_address6)} if known else {})

    @property
    def near(self) -> tuple[str, ...]:
        """Return the neighbour's addresses."""
        return tuple(known for known, _url, _own in self.neighbours.values())


def judge_egress(answer: Json, context: CheckContext, expect: Egress) -> list[Check]:
    """Return the checks of one node."""
    seen = Answer(answer)
    checks = [_route(seen, context, expect, known) for known in expect.outside]
    if expect.reached and expect.node and expect.node.addresses:
        checks.append(_answers(seen, context, expect, expect.node.addresses[0]))
    if expect.web:
        for family in expect.pages:
            checks.append(_web(seen, context, expect, family))
            if expect.reached:
                checks += _more(seen, context, expect, family)
        checks.append(_leak(seen, context, expect))
    if expect.names and expect.reached:
        checks.append(_names(seen, context, expect))
    if expect.neighbour and expect.reached:
        checks += [_neighbour(seen, context, expect, family) for family in expect.neighbours]
    return checks


def _route(seen: Answer, context: CheckContext, expect: Egress, known: str) -> Check:
    unseen = next((name for name in (ROUTES, ADDRESSES) if seen.data(name) is None), "")
    device = device_to(seen, known)
    if unseen:
        hint: str = seen.why(unseen)
    elif seen.data(STATUS) is not None and not chosen(seen):
        hint = f"this node uses no exit node: `tailscale set --exit-node={quoted(expect.exit)}`"
    else:
        hint = (
            f"the kernel sends packets for {known} to {device or 'no interface'} and not to the exit node {expect.exit}: a route or rule "
            f"takes precedence over tailscaled's (`ip rule`, `ip route get {quoted(known)}`)"
        )
    return context.check(
        None if unseen else device in mesh_interfaces(seen.data(ADDRESSES)), aspect=joined("route", expect.aspect), family=6 if ":" in known else 4,
        target=expect.exit, expected={"address": known, "into": "the mesh"}, observed={"interface": device}, hint=hint,
        command=f"ip route get {quoted(known)}",
    )  # fmt: skip


def _answers(seen: Answer, context: CheckContext, expect: Egress, known: str) -> Check:
    received = number(mapping(mapping(seen.data(ALIVE)).get(known)).get("received"))
    return context.check(
        None if received is None else received > 0, aspect=joined("answers", expect.aspect), target=expect.exit,
        expected={"replies": {"min": 1}}, observed={"received": received},
        hint=seen.why(ALIVE) if received is None else _no_answer(seen, expect, known), command=f"ping -c 3 {quoted(known)}",
    )  # fmt: skip


def _no_answer(seen: Answer, expect: Egress, known: str) -> str:
    if seen.data(STATUS) is not None:
        if said := causes.client(seen):
            return said
        peer = causes.find_peer(seen.data(STATUS), expect.node) if expect.node else {}
        if not peer:
            return f"the server does not show the exit node {expect.exit} to this node, so nothing that leaves arrives"
        if peer.get("ExitNodeOption") is not True or peer.get("Online") is False:
            return _no_exit(seen, expect, 4)
    return f"the exit node {expect.exit} does not answer at {known}: nothing leaves this node until it does, or until another is chosen"


def _web(seen: Answer, context: CheckContext, expect: Egress, family: int) -> Check:
    url, sources = expect.pages[family]
    row = page(seen, url)
    outcome, source = text(row.get("outcome")), source_of(row)
    command = f"curl -sS -m 5 {quoted(url)}"
    if not expect.reached:
        answering = outcome == "answered" or answers(seen, expect.web_of(family))
        return context.check(
            not answering if outcome else None, aspect=joined("blocked", expect.aspect), family=family, target=expect.web,
            expected={"outcome": "no answer while the exit node is down"}, observed={"outcome": outcome, "source": source},
            hint=f"{expect.web} answers, to {source}, while the exit node {expect.exit} is down: traffic bypasses it"
            if outcome else seen.why(HTTP), command=command,
        )  # fmt: skip
    return context.check(
        source in sources if outcome else None, aspect=joined("address", expect.aspect), family=family, target=expect.web,
        expected={"source": {"one_of": list(sources)}}, observed={"outcome": outcome, "source": source},
        evidence={"error": text(row.get("error"))}, hint=_why(seen, expect, outcome, source, family), command=command,
    )  # fmt: skip


def _more(seen: Answer, context: CheckContext, expect: Egress, family: int) -> list[Check]:
    """Return the checks of what is not HTTP: an exit node may forward one protocol and drop others."""
    url, sources = expect.pages[family]
    known = expect.web_of(family)
    echo = number(mapping(mapping(seen.data(ICMP)).get(known)).get("received"))
    other = text(page(seen, url).get("outcome")) == "answered"
    silent = _silent(seen, expect, family)
    checks = [
        context.check(
            None if echo is None else echo > 0, aspect=joined("icmp", expect.aspect), family=family, target=expect.web,
            expected={"replies": {"min": 1}},
            observed={"received": echo}, hint=seen.why(ICMP) if echo is None else _only("echo requests", expect) if other else silent,
            command=f"ping -c 3 {quoted(known)}",
        )
    ]  # fmt: skip
    listener = next((entry for entry in expect.listeners if entry.host == known), None)
    if listener:
        what = Behind(
            listener=listener, name=expect.web, family=family, sources=sources, carrier=f"the exit node {expect.exit}", silent=silent,
            wrong_source=lambda source: _why(seen, expect, "answered", source, family), whole=not expect.neighbour_reached,
            before=expect.before.get(known, {}),
        )  # fmt: skip
        checks += judge_behind(seen, context, lambda aspect: joined(aspect, expect.aspect), what)
    return checks


def _only(what: str, expect: Egress) -> str:
    return (
        f"{expect.web} answers over TCP and not {what}: the firewall of the exit node {expect.exit} drops them (`nft list ruleset` there), or "
        "the policy does not allow this protocol"
    )


def _silent(seen: Answer, expect: Egress, family: int) -> str:
    """Return why nothing answers through the exit node."""
    return _why(seen, expect, "timeout", "", family)


def _why(seen: Answer, expect: Egress, outcome: str, source: str, family: int) -> str:
    if not outcome:
        return seen.why(HTTP)
    if seen.data(STATUS) is not None:
        if said := causes.client(seen):
            return said
        if not chosen(seen):
            return f"this node uses no exit node: `tailscale set --exit-node={quoted(expect.exit)}`"
    if outcome == "answered":
        known = expect.web_of(family)
        return (
            f"{expect.web} sees {source or 'no address'} instead of {' or '.join(expect.pages[family][1])}: traffic bypasses the "
            f"exit node {expect.exit} through another route or rule (`ip rule`, `ip route get {quoted(known)}`)"
        )
    return _no_exit(seen, expect, family)


def _no_exit(seen: Answer, expect: Egress, family: int) -> str:
    """Return why the exit node does not forward traffic."""
    peer = causes.find_peer(seen.data(STATUS), expect.node) if expect.node and seen.data(STATUS) is not None else {}
    if peer and peer.get("ExitNodeOption") is not True:
        return (
            f"the server does not offer {expect.exit} as an exit node to this node: it must advertise 0.0.0.0/0 and ::/0, both must be "
            "approved, and the policy must allow autogroup:internet"
        )
    if peer and peer.get("Online") is False:
        return f"the exit node {expect.exit} is offline"
    if mapping(expect.router).get(f"forwarding{family}") is False:
        return (
            f"the exit node {expect.exit} does not forward packets: set {switch(mapping(expect.router), family)} there"
        )
    return (
        f"{expect.web} does not answer through the exit node {expect.exit}: it does not forward (`sysctl {SYSCTLS[family]}`, "
        "`nft list ruleset` there), or the policy does not allow autogroup:internet"
    )


def chosen(seen: Answer) -> bool:
    """Whether the client uses an exit node."""
    return bool(
        mapping(mapping(seen.data(STATUS)).get("ExitNodeStatus")).get("ID")
        or mapping(seen.data(PREFS)).get("ExitNodeID")
    )


def _leak(seen: Answer, context: CheckContext, expect: Egress) -> Check:
    capture, links = mapping(seen.data(CAPTURE)), seen.data(ADDRESSES)
    flows = capture.get("flows")
    target = expect.exit
    expected = {"in_clear": 0}
    command = "tcpdump -ni eth0 not udp"
    if flows is None or links is None:
        why = seen.why(CAPTURE) if flows is None else seen.why(ADDRESSES)
        return context.check(
            None, aspect=joined("leak", expect.aspect), target=target, expected=expected, observed=None, hint=why
        )
    found = [flow for flow in map(mapping, items(flows)) if _in_clear(flow, links, expect)]
    if not found and (unproven := _unproven(capture, links, expect)):
        return context.check(
            None, aspect=joined("leak", expect.aspect), target=target, expected=expected, observed=None, hint=unproven,
            evidence={"packets": number(capture.get("packets")), "dropped": number(capture.get("dropped"))}, command=command,
        )  # fmt: skip
    shown = [
        f"{text(flow.get('proto'))} to {text(flow.get('dst'))}{f' port {port}' if (port := number(flow.get('dport'))) else ''} on {text(flow.get('interface'))}"
        for flow in found
    ]
    return context.check(
        not found, aspect=joined("leak", expect.aspect), target=target, expected=expected,
        observed={"in_clear": len(found), **({"flows": shown[:_SHOWN]} if found else {})},
        hint=_why_leak(found[0], expect) if found else "", command=command,
    )  # fmt: skip


def _unproven(capture: dict[str, Any], links: Json, expect: Egress) -> str:
    """Return why a capture without a leak proves nothing, empty if it does."""
    inside = mesh_interfaces(links)
    if why := incomplete(capture):
        return late(why)
    if not expect.reached:
        return ""
    if not inside:
        return "no interface of this host has a mesh address"
    # The marked name does not count: its lookup takes the mesh interface whatever the exit node.
    sent = (*expect.webs, *expect.probed)
    through = (flow for flow in map(mapping, items(capture.get("flows"))) if text(flow.get("interface")) in inside)
    marked = any(number(flow.get("marked")) and text(flow.get("dst")) in sent for flow in through)
    return "" if marked else late(UNMARKED)


def _in_clear(flow: dict[str, Any], links: Json, expect: Egress) -> bool:
    """Whether a flow leaves this host outside of the mesh, and belongs to what this probe sent."""
    if flow.get("direction") != "out" or text(flow.get("interface")) in (*mesh_interfaces(links), "lo"):
        return False
    target = text(flow.get("dst"))
    if target in expect.near and expect.neighbour_reached:
        return False
    return bool(flow.get("marked")) or target in (*expect.webs, *filter(None, expect.near), *expect.probed)


def _why_leak(flow: dict[str, Any], expect: Egress) -> str:
    target, on = text(flow.get("dst")), text(flow.get("interface"))
    if number(flow.get("dport")) == DNS_PORT:
        return (
            f"DNS queries leave unencrypted to {target} on {on}: the system queries a resolver other than tailscaled (/etc/resolv.conf), or "
            "a rule makes them bypass the exit node"
        )
    if target in expect.near:
        return (
            f"packets for the local network ({expect.neighbour}, {target}) leave on {on}, bypassing the exit node: "
            "--exit-node-allow-lan-access is on, or a route or rule takes precedence over tailscaled's"
        )
    if ":" in target:
        return f"IPv6 leaves unencrypted to {target} on {on}: a rule makes it bypass the exit node (`ip -6 rule`, `ip -6 route get`)"
    return f"packets leave unencrypted to {target} on {on}: a route or rule takes precedence over tailscaled's (`ip rule`, `ip route get {quoted(target)}`)"


def _names(seen: Answer, context: CheckContext, expect: Egress) -> Check:
    rows = [mapping(entry) for entry in items(seen.data(GETADDRINFO))]
    answered = {text(row.get("name")): items(row.get("addresses")) for row in rows}
    lacking = [name for name in expect.names if not answered.get(name)]
    return context.check(
        None if seen.data(GETADDRINFO) is None else not lacking, aspect=joined("dns", expect.aspect), target=expect.exit,
        expected={"resolved": list(expect.names)}, observed={"resolved": [name for name in expect.names if name not in lacking]},
        hint=f"{', '.join(lacking)} does not resolve through the exit node: check that it resolves on {expect.exit} itself"
        if lacking else seen.why(GETADDRINFO), command=f"getent hosts {quoted(expect.names[0])}",
    )  # fmt: skip


def _neighbour(seen: Answer, context: CheckContext, expect: Egress, family: int) -> Check:
    _known, url, own = expect.neighbours[family]
    row = page(seen, url)
    outcome, source = text(row.get("outcome")), source_of(row)
    right = (outcome == "answered" and source == own) if expect.neighbour_reached else outcome != "answered"
    hint = (
        f"the local network is not reached directly ({outcome}): `tailscale set --exit-node-allow-lan-access` lets it bypass the exit node"
        if expect.neighbour_reached
        else f"{expect.neighbour} answers, to {source}, although traffic for the local network must not bypass the exit node"
    )
    return context.check(
        right if outcome else None, aspect=joined("lan", expect.aspect), family=family, target=expect.neighbour,
        expected={"outcome": "answered" if expect.neighbour_reached else "no answer"}, observed={"outcome": outcome, "source": source},
        hint=hint if outcome else seen.why(HTTP), command=f"curl -sS -m 5 {quoted(url)}",
    )  # fmt: skip
