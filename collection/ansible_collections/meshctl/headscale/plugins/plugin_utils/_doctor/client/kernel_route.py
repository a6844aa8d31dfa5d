# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the kernel sends packets for other nodes into the mesh."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import addresses, items, mapping, number, text
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("interface",)
_MOST = 4
# Of tailscaled.
_TABLE = "52"
# What a rule may have that is written again without a loss.
_SIMPLE = {"priority", "own", "src", "table", "fwmark", "fwmask", "not"}
_LATER = 30
# How the kernel reports a route of the type blackhole, prohibit or unreachable.
_REFUSALS = ("Invalid argument", "Permission denied", "No route to host")


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask the kernel for its route to some of the other nodes."""
    asked = _asked(client)
    get = [*asked, client.resolver, *_relays(client)]
    return [{"id": "mesh_routes", "kind": "routes", "rules": True, "get": get}] if asked else []


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return the nodes whose packets leave through another interface."""
    found = mapping(mapping(client.data("mesh_routes")).get("get"))
    routes = {entry: mapping(found.get(entry)) for entry in _asked(client)}
    known = {entry: way for entry, route in routes.items() if (way := text(route.get("dev")) or _refused(route))}
    if not known:
        return
    wrong: dict[str, str] = {}
    for version in (False, True):
        family = {entry: device for entry, device in known.items() if (":" in entry) is version}
        # tailscaled has no route to a node that it does not trust: one alone proves nothing.
        if client.interface in family.values():
            family = {entry: way for entry, way in family.items() if way != client.interface and _silent(client, entry)}
        wrong |= family
    ways = ", ".join(f"{entry} {way if ' ' in way else f'through {way}'}" for entry, way in wrong.items())
    check = context.check(
        not wrong,
        expected={"through": client.interface},
        observed=known,
        hint=f"the kernel does not send packets for other nodes into the mesh: {ways}, and not through {client.interface}; "
        + (
            _before(client, wrong)
            or "restart tailscaled, which restores its routes, and check `ip rule` and `ip route show table all` for rules and routes of other "
            "programs that take precedence"
        ),
        command=f"ip route get {quoted(sorted(wrong or known)[0])}",
    )
    yield because(
        check,
        client.cause(
            "interface.up", "interface.taken", *(("interface.ipv6",) if all(":" in entry for entry in wrong) else ())
        ),
    )


def takes_everything(client: Client) -> bool:
    """Whether a rule takes packets for the relays as well as those for other nodes before tailscaled's rules, as a VPN does."""
    routes = mapping(mapping(client.data("mesh_routes")).get("get"))
    tables = {text(_foreign(client, entry).get("table")) for entry in _asked(client)} - {""}
    relays = {text(mapping(routes.get(entry)).get("table")) for entry in _relays(client)}
    return bool(relays) and relays <= tables


def _before(client: Client, wrong: dict[str, str]) -> str:
    """Return which rule takes the packets before tailscaled's, and the remedy; empty if none was seen to."""
    rule = next((found for entry in wrong if (found := _foreign(client, entry))), {})
    if not rule:
        return ""
    own = text(rule.get("own"))
    return (
        f"a rule of another program, as of a VPN, leads to its table {text(rule.get('table'))} (priority "
        f"{text(rule.get('priority'))}) before tailscaled's rule (priority {own}): give it a number above {own}, or remove it"
        f"{_commands(client, wrong)}"
    )


def _commands(client: Client, wrong: dict[str, str]) -> str:
    """Return the commands that give each such rule a later number, empty if one selects packets by more than a mark."""
    rules = {":" in entry: rule for entry in wrong if (rule := _foreign(client, entry))}
    if not all(set(rule) <= _SIMPLE and rule.get("src", "all") == "all" for rule in rules.values()):
        return ""
    moved = " && ".join(_moved(rule, "ip -6" if ipv6 else "ip") for ipv6, rule in sorted(rules.items()))
    return f" (`{moved}`, and have that program do the same when it starts)"


def _moved(rule: dict[str, Any], program: str) -> str:
    mask = f"/{text(rule.get('fwmask'))}" if rule.get("fwmask") else ""
    mark = f"fwmark {quoted(text(rule.get('fwmark')) + mask)} " if rule.get("fwmark") else ""
    selector, table = f"{'not ' if 'not' in rule else ''}{mark}", quoted(text(rule.get("table")))
    return (
        f"{program} rule del priority {number(rule.get('priority')) or 0:.0f} && "
        f"{program} rule add {selector}table {table} priority {(number(rule.get('own')) or 0) + _LATER:.0f}"
    )


def _foreign(client: Client, entry: str) -> dict[str, Any]:
    """Return the rule that leads to the table of a node's route before the rule of tailscaled's own table, `own`."""
    seen = mapping(client.data("mesh_routes"))
    table = text(mapping(mapping(seen.get("get")).get(entry)).get("table"))
    rules = [mapping(rule) for rule in items(mapping(seen.get("rules")).get("ipv6" if ":" in entry else "ipv4"))]
    own = next((rule for rule in rules if text(rule.get("table")) == _TABLE), {})
    first = next((rule for rule in rules if table not in ("", _TABLE) and text(rule.get("table")) == table), {})
    here, there = number(first.get("priority")), number(own.get("priority"))
    return {**first, "own": own.get("priority")} if here is not None and there is not None and here < there else {}


def _relays(client: Client) -> list[str]:
    return list(dict.fromkeys(known for relay in client.relays for known in relay.addresses[:1]))


def _refused(route: dict[str, Any]) -> str:
    """Return that a separate route refuses a node; a host without any route to it has none."""
    said = text(route.get("error"))
    return "nowhere (blackhole, unreachable or prohibit)" if any(word in said for word in _REFUSALS) else ""


def _silent(client: Client, entry: str) -> bool:
    """Whether tailscaled reaches a node that the kernel does not."""
    peer = next((peer for peer in client.peers if entry in addresses(peer.get("TailscaleIPs"))), {})
    tried = mapping(client.data("disco"))
    alive = any(mapping(tried.get(known)).get("answered") is True for known in addresses(peer.get("TailscaleIPs")))
    echo = mapping(mapping(client.data("icmp")).get(entry))
    return alive and bool(echo) and not echo.get("received")


def _asked(client: Client) -> list[str]:
    if not client.running or not client.interface:
        return []
    families = {":" in own for own in addresses(client.me.get("TailscaleIPs"))}
    trusted = [peer for peer in client.peers if peer.get("Expired") is not True and peer.get("Online") is True]
    theirs = [known for peer in trusted for known in addresses(peer.get("TailscaleIPs"))]
    return [known for known in theirs if (":" in known) in families][:_MOST]
