# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the way of the packets: the routes, the path, and the mesh interfaces of both ends."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import items, mapping, text
from ..._judge.path import observed_path
from ..._judge.quoting import quoted
from ..case import IN, OUT, Case, Finding, Side, failed, passed, unknown

_TABLE = "52"
_HOOKS = {"input": ("ingress", "prerouting", "input"), "output": ("output", "postrouting", "egress")}
_OPENING = {"tcp": ("syn",), "udp": ("datagram",), "icmp": ("request",)}


def route(case: Case, family: int) -> Finding:
    """Check that both kernels send the packets into the mesh."""
    known, missing = [], []
    for side, to in ((case.source, case.to(family)), (case.target, case.origin(family))):
        if side.status.get("TUN") is False:
            missing.append(f"tailscaled on {side.name} needs no route (--tun=userspace-networking)")
        elif trouble := _astray(side, to):
            return trouble
        elif side.route(to):
            known.append(f"{side.name} uses {side.interface}")
        else:
            missing.append(why_not(side, "routes"))
    said = "; ".join([*([", ".join(known)] if known else []), *missing])
    return unknown(said) if missing else passed(said)


def _astray(side: Side, to: str) -> Finding | None:
    found = side.route(to)
    if not found:
        return None
    more: dict[str, Any] = {
        "evidence": {"route": found},
        "command": f"ip route get {quoted(to)}",
        "host": side.end.host,
    }
    if not side.interface:
        return failed(f"no interface of {side.name} has its mesh address: restart its tailscaled", **more)
    if own := side.lacks(ipv6=":" in to):
        off = (
            ", and look for what takes IPv6 away (an MTU below 1280, `sysctl net.ipv6.conf.all.disable_ipv6`)"
            if ":" in own
            else ""
        )
        return failed(
            f"{side.interface} of {side.name} lacks its mesh address {own}: restart its tailscaled{off}", **more
        )
    if taken := side.holder(to):
        return failed(
            f"{taken} of {side.name} has {to} as well, so packets for it stay on that host: remove that address from {taken}",
            **more,
        )
    device, error = text(found.get("dev")), text(found.get("error"))
    if device == side.interface:
        return None
    rules = mapping(mapping(side.data("routes")).get("rules")).get("ipv6" if ":" in to else "ipv4")
    lost = not any(text(rule.get("table")) == _TABLE for rule in map(mapping, items(rules)))
    where = (
        f"has no route to {to} ({error})" if error else f"sends packets for {to} to {device}, not to {side.interface}"
    )
    why = (
        f": no policy rule leads to tailscaled's table {_TABLE}; restart its tailscaled" if lost
        else f": another route or policy rule takes precedence over tailscaled's table {_TABLE} (`ip rule`)"
    )  # fmt: skip
    return failed(f"{side.name} {where}{why}", **more)


def path(case: Case) -> Finding:
    """Check that tailscaled of both nodes reach each other."""
    router = case.target
    targets = case.question.pinged
    pinged, tunnel = (
        mapping(mapping(case.tried.data(kind)).get(targets[0])) if targets else {} for kind in ("disco", "tsmp")
    )
    if not pinged:
        return unknown(f"tailscaled was not asked to ping: {why_not(case.source, 'status')}")
    found = observed_path(pinged)
    more: dict[str, Any] = {
        "evidence": {"path": found, "tunnel": tunnel.get("answered") is True},
        "command": f"tailscale ping --c 5 {quoted(targets[0])}", "host": case.source.end.host,
    }  # fmt: skip
    if found["path"] == "none" and not tunnel.get("answered"):
        return failed(
            f"tailscaled of {router.name} answers neither directly nor through a relay{_offline(case)}: see doctor.relay and "
            "doctor.path of both nodes (`meshctl doctor --mesh`)",
            **more,
        )
    if tunnel and not tunnel.get("answered"):
        return failed(f"{router.name} answers {_by(found)}, but no packet comes through the WireGuard tunnel", **more)
    return passed(f"{router.name} answers {_by(found)}", **more)


def _by(found: dict[str, Any]) -> str:
    if found["path"] == "direct":
        return f"directly at {found.get('endpoint')}"
    relay = text(found.get("relay") or found.get("derp"))
    return f"through a relay ({relay})" if relay else "through a relay"


def _offline(case: Case) -> str:
    node = case.target.end.node
    return "; the server lists it as offline" if node and node.get("online") is False else ""


def sent(case: Case, family: int) -> Finding:
    """Check that the source's packets get to its mesh interface."""
    side, outcome = case.source, case.outcome(family)
    if not outcome:
        return unknown(f"no connection was tried: {why_not(side, 'status')}")
    if not side.watched:
        return unknown(f"the packets of {side.name} were not watched: {side.unwatched}")
    number_of = opening(case, side, OUT, family)
    if number_of:
        return passed(f"{packets(number_of)} left {side.name} on {side.interface}")
    if others := side.sources(OUT, case.to(family), *_OPENING[case.question.service.protocol]):
        return failed(
            f"{side.name} sent its packets on {side.interface} from {', '.join(others)} instead of its mesh address "
            f"{case.origin(family)}: a NAT rule of its firewall rewrites the source of what leaves by {side.interface}"
            f"{rewriting(side)}; exclude {side.interface} from that rule",
            evidence={"sources": others, "firewall": side.data("firewall")}, command="nft list ruleset", host=side.end.host,
        )  # fmt: skip
    return failed(
        f"{side.name} tried to connect ({outcome}), but no packet got to its {side.interface}: its own firewall drops what it sends"
        f"{rules(side, 'output')}",
        evidence={"outcome": outcome, "firewall": side.data("firewall")}, command="nft list ruleset", host=side.end.host,
    )  # fmt: skip


def arrived(case: Case, family: int) -> Finding:
    """Check that the packets come out of the target's mesh interface."""
    side = case.target
    if not side.watched:
        return unknown(f"the packets at {side.name} were not watched: {side.unwatched}")
    if not case.outcome(family):
        return unknown("no connection was tried")
    if number_of := opening(case, side, IN, family):
        return passed(f"{packets(number_of)} arrived at {side.name} on {side.interface}")
    gone = opening(case, case.source, OUT, family) if case.source.watched else 0
    dropped = int(side.dropped())
    said = f"{packets(gone) if gone else 'packets'} left {case.source.name}, and none came out of {side.interface} on {side.name}"
    if dropped:
        said += f": the packet filter of its tailscaled dropped {packets(dropped)} meanwhile"
    return failed(said, evidence={"dropped_by_acl": dropped}, command="tailscale metrics print", host=side.end.host)


def opening(case: Case, side: Side, direction: str, family: int) -> int:
    """Return how many packets that open the connection were seen."""
    return side.packets(direction, case.origin(family), case.to(family), *_OPENING[case.question.service.protocol])


def packets(count: int) -> str:
    """Return a number of packets in words."""
    return f"{count} packet{'' if count == 1 else 's'}"


def why_not(side: Side, name: str) -> str:
    """Return why an observation of a host is missing."""
    return side.hidden or side.why(name)


def rules(side: Side, hook: str) -> str:
    """Return where the firewall has rules that drop or reject what comes in or goes out, or an empty text."""
    named = _chains(side, "chains", _HOOKS[hook])
    return f" (chains that drop or reject: {', '.join(named[:3])})" if named else ""


def rewriting(side: Side) -> str:
    """Return where the firewall has rules that rewrite addresses of what goes out, or an empty text."""
    named = _chains(side, "rewriting", _HOOKS["output"])
    return f" (chains that rewrite addresses: {', '.join(named[:3])})" if named else ""


def _chains(side: Side, what: str, hooks: tuple[str, ...]) -> list[str]:
    rows = map(mapping, items(mapping(side.data("firewall")).get(what)))
    return [
        f"{text(row.get('family'))} {text(row.get('table'))} {text(row.get('name'))}"
        for row in rows if text(row.get("hook")) in (*hooks, "")
    ]  # fmt: skip
