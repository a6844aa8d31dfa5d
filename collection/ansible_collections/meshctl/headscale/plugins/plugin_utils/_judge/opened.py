# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a peer can be reached on all ports on which it listens, from any source port, and again and again.

The rows of a protocol say, for each port of the peer, what became of many new connections, or of as many datagrams, each from
another source port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .answer import Answer, Json, mapping, number, numbers
from .observations import EXCHANGE

# Of many connections, more than this share may not be lost, and of those that were tried again in vain, more than this one.
_LOST: Final = 0.2
_NEVER: Final = 0.05
# However slow a machine is, half of them open at once.
_MOST_LOST: Final = 0.5
_SEVERAL: Final = 2
_LISTED: Final = 8
# How many connections, and how many datagrams.
CONNECTIONS: Final = 24
_PAUSE_S: Final = 0.01
_COUNTED: Final = ("tried", "opened", "lost", "never", "refused")
_MOST_COUNTED: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What became of many connections, or of datagrams to several ports."""

    hint: str = ""
    """What is wrong; empty if nothing is."""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def pause_s(patience: float) -> float:
    """Return the time between two of them; slow hosts, whose patience is above 1, get fewer at a time."""
    return min(_PAUSE_S * patience**2, patience / CONNECTIONS)


def opened(  # noqa: PLR0913
    rows: Mapping[str, Any], protocol: str, main: int, peer: str, *, at: str = "", patience: float = 1.0
) -> Opened:
    """Judge what a peer's ports have shown, of which the main one has answered before; `at` names a router on the way.

    On a saturated machine, whose `patience` is above 1, more may be late: that is what a lost first packet looks like.
    """
    found = {port: {key: _count(row, key) for key in _COUNTED} for port, row in rows.items()}
    total = _total(rows)
    tried, lost, never, refused = (total[key] for key in ("tried", "lost", "never", "refused"))
    few = never < _SEVERAL or never <= tried * _NEVER
    if lost / min(patience, _MOST_LOST / _LOST) + refused <= tried * _LOST and few:
        return Opened()
    used = {port: row for port, row in found.items() if row["tried"]}
    # What opens late is not shut. With few tries at each port, several may fail at some by chance, and then others fail in part.
    shut = [port for port, row in used.items() if row["never"] + row["refused"] == row["tried"]]
    whole = [port for port, row in used.items() if row["opened"] == row["tried"]]
    evidence = {"by_port": {port: {**row, **_sources(rows[port])} for port, row in found.items()}}
    name = protocol.upper()
    if shut and str(main) in whole and len(shut) + len(whole) == len(used):
        return Opened(
            hint=_ports(name, shut, main, peer, "dropped" if lost >= refused else "refused", at), evidence=evidence
        )
    return Opened(hint=_some(protocol, peer, total), evidence=evidence)


def some_pass(rows: Mapping[str, Any], protocol: str, peer: str) -> str:
    """Return what is wrong with a peer that does not answer now and has answered others of many flows; empty if it has not."""
    total = _total(rows)
    if not total["opened"] or not total["lost"] + total["refused"]:
        return ""
    tried = {port: (_count(row, "tried"), _count(row, "opened")) for port, row in rows.items()}
    shut = [port for port, (count, fine) in tried.items() if count and not fine]
    whole = [port for port, (count, fine) in tried.items() if count and fine == count]
    if shut and len(shut) + len(whole) == len(tried):
        how = "dropped" if total["lost"] >= total["refused"] else "refused"
        return _ports(
            protocol.upper(), shut, int(whole[0]) if whole[0].isascii() and whole[0].isdecimal() else 0, peer, how
        )
    return _some(protocol, peer, total)


def _total(rows: Mapping[str, Any]) -> dict[str, int]:
    return {key: sum(_count(row, key) for row in rows.values()) for key in _COUNTED}


def _some(protocol: str, peer: str, counts: Mapping[str, int]) -> str:
    tried, lost, never, refused = (counts[key] for key in ("tried", "lost", "never", "refused"))
    fine = tried - lost - refused
    if protocol == "tcp":
        begin = f"of {tried} new connections to {peer}, one after another and from random source ports,"
        what = [f"the first packet of {lost} was lost"] * bool(lost) + [f"{refused} were refused"] * bool(refused)
        end, limit = f"and {fine} opened at once", "new connections"
    else:
        begin = f"of {tried} datagrams to {peer}, one after another and each from another source port,"
        what = [f"the first copy of {lost} was not answered"] * bool(lost) + [f"{refused} were refused"] * bool(refused)
        end, limit = f"and that of {fine} was", "new flows or packets"
    if never >= _SEVERAL and never == lost and not refused:
        how = "never opened" if protocol == "tcp" else "were never answered"
        return (
            f"{begin} {never} {how} although they were tried again, {end}: something on the way drops some of these flows for good, "
            "such as one of several parallel paths, a full table of connections, or a rule on source ports (`nft list ruleset` on "
            "both, `conntrack -S`)"
        )
    return (
        f"{begin} {' and '.join(what)}, {end}: something on the way drops some of them, such as a limit of {limit}, a full table of "
        "connections, or a rule on source ports (`nft list ruleset` on both, `conntrack -S`)"
    )


def flows(found: Json, before: Json) -> dict[str, dict[str, Any]]:
    """Return what became of many connections and datagrams to an address, in this look and in earlier ones, by protocol and port."""
    now = mapping(mapping(found).get("opened"))
    return {
        protocol: _added(mapping(now.get(protocol)), mapping(mapping(before).get(protocol)))
        for protocol in ("tcp", "udp")
    }


def connections(answer: Json, before: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the same of all addresses of the observation `exchange`, by address."""
    found = mapping(Answer(answer).data(EXCHANGE))
    return {known: flows(found.get(known), before.get(known)) for known in {**before, **found}}


def _added(rows: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connections of a look and those of earlier ones: what fails now and then may pass once by chance."""
    found: dict[str, dict[str, Any]] = {}
    for port in {**before, **rows}:
        one, other = mapping(rows.get(port)), mapping(before.get(port))
        found[port] = {key: _count(one, key) + _count(other, key) for key in _COUNTED}
        found[port]["lost_from"] = [*numbers(other.get("lost_from")), *numbers(one.get("lost_from"))][:_LISTED]
    return found


def _ports(name: str, ports: list[str], main: int, peer: str, how: str, at: str = "") -> str:  # noqa: PLR0913, PLR0917
    return (
        f"{peer} listens on several ports: {name} to port {' and '.join(ports)} is {how}, and to port {main} it is not: a rule on "
        f"port ranges, of a firewall on {at or peer} or on this host, or of the policy (`nft list ruleset` on both; the policy on the server)"
    )


def _count(row: Json, key: str) -> int:
    return int(min(_MOST_COUNTED, max(0, number(mapping(row).get(key)) or 0)))


def _sources(row: Json) -> dict[str, Any]:
    listed = numbers(mapping(row).get("lost_from"))
    return {"lost_from": [int(port) for port in listed[:_LISTED]]} if listed else {}
