# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what the server and tailscaled say: the nodes, the policy, the network map and the packet filter."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

from ..._judge.answer import Json, items, mapping, moment, number, text
from ..._judge.quoting import quoted
from ..._policy import unmatched_tags
from ..._policy.ports import ICMP, NUMBERS, WITH_PORTS
from ..case import Case, Finding, Side, failed, passed, unknown
from ..lines import line_of

_LOGGED_OUT = "NeedsLogin"


def _join(case: Case) -> str:
    return (
        "join it again with a key of `headscale preauthkeys create`: `tailscale up "
        f"--login-server={quoted(case.server.known.url or 'URL')} --force-reauth --auth-key=file:KEYFILE`, and its other options, which "
        "tailscale names if they are missing"
    )


def registered(case: Case) -> Finding:
    """Check that the server knows both nodes, and that neither has expired."""
    if not case.server.listed:
        return unknown(f"the server was not asked: {case.server.why('nodes')}")
    for side in (case.source, case.target):
        if trouble := _unregistered(case, side):
            return trouble
    nodes = {side.name: side.end.node for side in (case.source, case.target)}
    said = ", ".join(f"{name} is node {text(node.get('id'))} ({_owner(node)})" for name, node in nodes.items())
    return passed(said, evidence={name: _record(node) for name, node in nodes.items()})


def _unregistered(case: Case, side: Side) -> Finding | None:
    node, state = side.end.node, text(side.status.get("BackendState"))
    shown = {"state": state, "server": text(side.prefs.get("ControlURL")), "node": _record(node)}
    more: dict[str, Any] = {"evidence": shown, "command": "headscale nodes list", "host": case.server.source}
    if side.prefs.get("LoggedOut") is True:
        return failed(f"{side.name} is logged out of the mesh ({state}): {_join(case)}", **more)
    if not node and state == _LOGGED_OUT:
        return failed(f"{side.name} has not joined the mesh ({state}): {_join(case)}", **more)
    if not node and side.end.key:
        return failed(
            f"the server does not know the key of {side.name}, because it was deleted there or belongs to another server: {_join(case)}",
            **more,
        )
    if not node:
        return unknown(f"{side.name} told no key, and the server has no node of that name: {_why_hidden(side)}", **more)
    expiry = moment(node.get("expiry"))
    if expiry is not None and case.server.now is not None and expiry <= case.server.now:
        return failed(
            f"the key of {side.name} expired on {_date(expiry)}: log it in again with `tailscale up --force-reauth`",
            **more,
        )
    return None


def _why_hidden(side: Side) -> str:
    return side.hidden or side.why("status")


def _record(node: dict[str, Any]) -> dict[str, Any]:
    return (
        {key: node.get(key) for key in ("id", "givenName", "ipAddresses", "expiry", "online", "tags")} if node else {}
    )


def _owner(node: dict[str, Any]) -> str:
    tags = [text(tag) for tag in items(node.get("tags"))]
    return ", ".join(tags) or f"{text(mapping(node.get('user')).get('name'))}@"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def client(case: Case) -> Finding:
    """Check that tailscaled runs at both ends."""
    for side in (case.source, case.target):
        if side.hidden or side.error("status").get("type") == "not_permitted":
            continue
        if trouble := _client(side, source=side is case.source):
            return trouble
    hidden = {side.name: _hidden(case, side) for side in (case.source, case.target) if not side.status}
    running = [side.name for side in (case.source, case.target) if side.status]
    said = "; ".join([*([f"tailscaled is connected on {' and '.join(running)}"] if running else []), *hidden.values()])
    return unknown(said) if hidden else passed(said)


def _client(side: Side, *, source: bool) -> Finding | None:
    if not side.status and side.error("status").get("type") in ("timeout", "withheld"):
        return failed(
            f"tailscaled does not answer on {side.name}, and something listens for it: restart it with `systemctl restart tailscaled`",
            evidence={"error": side.why("status")}, command="systemctl status tailscaled", host=side.end.host,
        )  # fmt: skip
    if not side.status:
        return failed(
            f"tailscaled does not run on {side.name}: {side.why('status')}: start it with `systemctl start tailscaled`",
            command="systemctl status tailscaled", host=side.end.host,
        )  # fmt: skip
    state, health = text(side.status.get("BackendState")), [text(entry) for entry in items(side.status.get("Health"))]
    more: dict[str, Any] = {
        "evidence": {"state": state, "health": health},
        "command": "tailscale status",
        "host": side.end.host,
    }
    if state == "Stopped":
        return failed(f"tailscale is down on {side.name} (Stopped): `tailscale up`", **more)
    if state != "Running":
        return failed(
            f"tailscaled on {side.name} is not connected ({state}){': ' + health[0] if health else ''}", **more
        )
    if source and side.status.get("TUN") is False:
        return failed(
            f"tailscaled on {side.name} has no network interface (--tun=userspace-networking): programs there reach the mesh "
            "only through its proxy",
            **more,
        )
    return None


def _hidden(case: Case, side: Side) -> str:
    why, node = side.hidden or side.why("status"), side.end.node
    if not case.server.listed or not node:
        return why
    if node.get("online") is True:
        return f"{why}; the server lists it as online"
    return f"{why}; the server lists it as offline since {text(node.get('lastSeen'))[:16].replace('T', ' ') or 'ever'}"


def policy(case: Case, family: int) -> Finding:
    """Check that the policy lets the service pass."""
    document, why = case.server.policy[0], case.server.policy[2]
    if document is None or not case.server.listed:
        return unknown(f"the policy was not read: {why or case.server.why('nodes')}")
    ends, evaluation = case.ends(), case.members.evaluation
    if ends is None or evaluation is None:
        return unknown("the server's records of both nodes are needed")
    service, named = case.question.service, f"ipv{family}"
    rules = [entry.label for entry in evaluation.deciding(*ends, service.protocol, service.port, named)]
    said = evaluation.explain(*ends, service.protocol, service.port, named)
    where = f" (to {case.to(family)} behind it)" if case.routed else ""
    more: dict[str, Any] = {"command": "headscale policy get", "host": case.server.source}
    if not rules:
        tagged = unmatched_tags(case.server.policy[1], ends)
        return failed(
            f"{said}{where}{f' ({tagged})' if tagged else ''}", evidence={"rules": _about(case, family)}, **more
        )
    label = rules[0]
    line = line_of(label, text(mapping(case.server.data("policy")).get("policy")))
    return passed(
        f"{label}{f', line {line} of the policy,' if line else ''} lets {case.what} pass{where}",
        evidence={"rule": label, "line": line}, **more,
    )  # fmt: skip


def _about(case: Case, family: int) -> list[str]:
    """Return the rules between the nodes that do not cover the service."""
    ends, evaluation = case.ends(), case.members.evaluation
    if ends is None or evaluation is None:
        return []
    said = text(mapping(case.server.data("policy")).get("policy"))
    labels = dict.fromkeys(entry.label for entry in evaluation.joining(*ends, f"ipv{family}"))
    return [f"{label}{f' (line {line})' if (line := line_of(label, said)) else ''}" for label in labels]


def subnet(case: Case) -> Finding:
    """Check that the server has given the route to the router, and that this forwards packets."""
    router, route, node = case.target, case.question.target.route, case.question.target.node
    served = [text(entry) for entry in items(node.get("subnetRoutes"))]
    advertised = [text(entry) for entry in items(node.get("availableRoutes"))]
    if route not in advertised:
        return failed(
            f"{router.name} does not advertise {route}, which the server has approved: "
            f"`tailscale set --advertise-routes={quoted(route)}`",
            evidence={"advertised": advertised}, command="headscale nodes list-routes", host=case.server.source,
        )  # fmt: skip
    via = case.members.tags(case.question.source.node, route)
    evidence = {"served": served, **({"via": via} if via else {})}
    if not case.members.leads(case.question.source.node, node, route):
        missing = case.members.missing(case.question.source.node, node, route)
        return failed(
            f"{router.name} advertises {route}, but the server routes {case.source.name} there through another subnet router or none: for "
            f"this subnet, the policy's via requires routers with {' or '.join(missing)}" if missing else
            f"{router.name} advertises {route}, but the server gives the route to no node or to another one",
            evidence=evidence, command="headscale nodes list-routes", host=case.server.source,
        )  # fmt: skip
    if case.source.prefs and case.source.prefs.get("RouteAll") is not True:
        return failed(
            f"{case.source.name} does not accept the routes of subnet routers, which is the default on Linux: "
            "`tailscale set --accept-routes`",
            command="tailscale debug prefs", host=case.source.end.host,
        )  # fmt: skip
    chosen = f" to {case.source.name}, because the policy's via selects routers with {' or '.join(via)}"
    return passed(f"{router.name} serves {route}{'' if route in served else chosen}", evidence=evidence)


def netmap(case: Case) -> Finding:
    """Check that the nodes see each other."""
    looked = [(case.source, case.target), (case.target, case.source)]
    for side, other in looked:
        if side.status and not side.peer(other):
            return failed(
                f"the network map of {side.name} has no node {other.name}, which the policy connects with it: it is out of date, "
                "or the server did not send it",
                evidence={"peers": side.status.get("peers"), "health": items(side.status.get("Health"))},
                command="tailscale status", host=side.end.host,
            )  # fmt: skip
    for side, other in looked:
        if side.peer(other).get("Expired") is True:
            return failed(
                f"the network map of {side.name} has {other.name} as expired",
                command="tailscale status",
                host=side.end.host,
            )
    seen = [side.name for side, _other in looked if side.status]
    if len(seen) == len(looked):
        return passed("each node is in the network map of the other")
    why = "; ".join(_why_hidden(side) for side, _other in looked if not side.status)
    return unknown(f"{f'{seen[0]} has the other node in its network map; ' if seen else ''}{why}")


def packet_filter(case: Case, family: int) -> Finding:
    """Check that tailscaled at the target has what the policy says."""
    side = case.target
    if side.prefs.get("ShieldsUp") is True:
        return failed(
            f"shields are up on {side.name}, so that its tailscaled drops every incoming connection: "
            "`tailscale set --shields-up=false`",
            evidence={"ShieldsUp": True}, command="tailscale debug prefs", host=side.end.host,
        )  # fmt: skip
    rules = side.data("packet_filter")
    if rules is None:
        return unknown(f"the packet filter was not read: {side.hidden or side.why('packet_filter')}")
    if any(accepts(rule, case, family) for rule in items(rules)):
        return passed(f"tailscaled on {side.name} lets {case.what} pass, as the policy says")
    return failed(
        f"the packet filter of {side.name} does not let {case.what} pass, although the policy does: its network map is out of date; "
        "restart its tailscaled, and look at its connection to the server",
        evidence={"rules": len(items(rules)), "health": items(side.status.get("Health"))},
        command="tailscale debug netmap", host=side.end.host,
    )  # fmt: skip


def accepts(rule: Json, case: Case, family: int) -> bool:
    """Whether a rule of Tailscale's packet filter accepts the first packet (wgengine/filter)."""
    known = mapping(rule)
    source, target, service = case.origin(family), case.to(family), case.question.service
    if not any(_within(source, network) for network in items(known.get("Srcs"))):
        return False
    ports = [
        mapping(one.get("Ports")) for one in map(mapping, items(known.get("Dsts"))) if _within(target, one.get("Net"))
    ]
    if service.protocol == "icmp":
        return bool(ports)
    protocol = NUMBERS[service.protocol]
    if protocol not in items(known.get("IPProto")) or protocol not in WITH_PORTS | set(ICMP.values()):
        return False
    return any((number(one.get("First")) or 0) <= service.port <= (number(one.get("Last")) or 0) for one in ports)


def _within(known: str, network: Json) -> bool:
    try:
        return ip_address(known) in ip_network(text(network), strict=False)
    except ValueError:
        return False
