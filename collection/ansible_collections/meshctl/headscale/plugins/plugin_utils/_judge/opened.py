# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a peer can be reached on all ports on which it listens, from any source port, and again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .answer import Json, mapping, number, numbers, text

# Of many connections, more than this share may not be lost.
_LOST: Final = 0.2
_LISTED: Final = 8
_COUNTED: Final = ("tried", "opened", "lost", "refused")
_MOST_COUNTED: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What became of many connections, or of datagrams to several ports."""

    hint: str = ""
    """What is wrong; empty if nothing is."""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def opened(seen: Mapping[str, Any], protocol: str, main: int, peer: str, before: Mapping[str, Any]) -> Opened:
    """Judge what a peer's other ports have shown, next to its main one, which has answered."""
    rows = mapping(seen.get(protocol))
    return _connections(added(rows, before), main, peer) if protocol == "tcp" else _datagrams(rows, main, peer)


def added(rows: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connections of a look and those of earlier ones: what fails now and then may pass once by chance."""
    found: dict[str, dict[str, Any]] = {}
    for port in {**before, **rows}:
        one, other = mapping(rows.get(port)), mapping(before.get(port))
        found[port] = {key: _count(one, key) + _count(other, key) for key in _COUNTED}
        found[port]["lost_from"] = [*numbers(other.get("lost_from")), *numbers(one.get("lost_from"))][:_LISTED]
    return found


def _datagrams(rows: Mapping[str, Any], main: int, peer: str) -> Opened:
    silent = [port for port, outcome in rows.items() if text(outcome) == "timeout"]
    refused = [port for port, outcome in rows.items() if text(outcome) in ("prohibited", "port-unreachable", "refused")]
    if not silent and not refused:
        return Opened()
    return Opened(
        hint=_ports("UDP", [*silent, *refused], main, peer, "refused" if not silent else "dropped"),
        evidence={"by_port": dict(rows)},
    )


def _connections(rows: Mapping[str, Any], main: int, peer: str) -> Opened:
    found = {
        port: {key: _count(row, key) for key in ("tried", "opened", "lost", "refused")} for port, row in rows.items()
    }
    tried, lost, refused = (sum(row[key] for row in found.values()) for key in ("tried", "lost", "refused"))
    if not tried:
        return Opened()
    if lost + refused <= tried * _LOST:
        return Opened()
    shut = [port for port, row in found.items() if row["tried"] and not row["opened"]]
    evidence = {"by_port": {port: {**row, **_sources(rows[port])} for port, row in found.items()}}
    own = found.get(str(main), {})
    if shut and str(main) not in shut and own.get("opened") == own.get("tried"):
        how = "dropped" if lost >= refused else "refused"
        return Opened(hint=_ports("TCP", shut, main, peer, how), evidence=evidence)
    what = " and ".join(
        [f"the first packet of {lost} was lost"] * bool(lost) + [f"{refused} were refused"] * bool(refused)
    )
    return Opened(
        hint=(
            f"of {tried} new connections to {peer}, one after another and from random source ports, {what}, and {tried - lost - refused} opened at "
            "once: something on the way drops some of them, such as a limit of new connections, a full table of connections, "
            "or a rule on source ports (`nft list ruleset` on both, `conntrack -S`)"
        ),
        evidence=evidence,
    )


def _ports(name: str, ports: list[str], main: int, peer: str, how: str) -> str:
    return (
        f"{peer} listens on several ports: {name} to port {' and '.join(ports)} is {how}, and to port {main} it is not: a rule on "
        f"port ranges, of a firewall on {peer} or on this host, or of the policy (`nft list ruleset` on both; the policy on the server)"
    )


def _count(row: Json, key: str) -> int:
    return int(min(_MOST_COUNTED, max(0, number(mapping(row).get(key)) or 0)))


def _sources(row: Json) -> dict[str, Any]:
    listed = numbers(mapping(row).get("lost_from"))
    return {"lost_from": [int(port) for port in listed[:_LISTED]]} if listed else {}
