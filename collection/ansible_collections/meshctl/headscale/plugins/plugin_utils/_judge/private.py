# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a service's page is found in no other place than where it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, items, mapping, number, text
from .observations import KNOCK
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .check import Check
    from .context import CheckContext


@dataclass(frozen=True, kw_only=True)
class Place:
    """A host or router that must not give the page, and the addresses and ports to try."""

    name: str
    tried: tuple[tuple[str, str, int], ...] = ()
    """Address, protocol and port; nothing for this host, which knows itself where it listens."""

    def over(self, protocol: str) -> list[tuple[str, int]]:
        """Return the addresses and ports of a protocol."""
        return [(address, port) for address, known, port in self.tried if known == protocol]


@dataclass(frozen=True, kw_only=True)
class Private:
    """Where the service is, and where it must not be."""

    service: str
    places: tuple[Place, ...]
    own: tuple[str, int] | None = None
    """Address and port of the service, if this host may reach it: only then does it prove something that the page is not found."""
    routers: frozenset[str] = frozenset()
    chosen: int = 0
    """A port that this run has chosen at random; the others are the same in every run."""
    patient: bool = False
    """Whether the service may still answer."""
    listeners: bool = False
    """Whether this host also asks all ports on which it listens itself."""


def judge_private(answer: Json, context: CheckContext, expect: Private) -> list[Check]:
    """Return a check of each place and protocol."""
    seen = Answer(answer)
    entries = [mapping(entry) for entry in items(seen.data(KNOCK))]
    rows, own = ([row for row in entries if (row.get("own") is True) == wanted] for wanted in (False, True))
    checks = [
        _one(seen, context, expect, place, protocol, _rows(rows, place.over(protocol), protocol))
        for place in expect.places
        for protocol in ("tcp", "udp")
        if place.over(protocol)
    ]
    if expect.listeners:
        here = Place(name=context.source)
        for protocol in ("tcp", "udp"):
            same = [row for row in own if row.get("protocol") == protocol]
            checks.append(_one(seen, context, expect, here, protocol, same))
    return checks


def _rows(rows: Sequence[dict[str, Any]], tried: list[tuple[str, int]], protocol: str) -> list[dict[str, Any]]:
    known = {(text(row.get("host")), number(row.get("port"))): row for row in rows if row.get("protocol") == protocol}
    return [known.get(one, {}) for one in tried]


def _one(  # noqa: PLR0913, PLR0917
    seen: Answer, context: CheckContext, expect: Private, place: Place, protocol: str, rows: list[dict[str, Any]]
) -> Check:
    found = [f"{text(row.get('host'))} port {text(row.get('port'))}" for row in rows if row.get("found") is True]
    unknown = any(text(row.get("outcome")) in ("", "deadline") for row in rows)
    unproven = _unproven(seen, expect)
    unseen = seen.data(KNOCK) is None
    why = unproven or (
        seen.why(KNOCK) if unseen or not all(rows) else late("there was not enough time to try all ports")
    )
    ok = False if found else None if unknown or unproven or unseen else True
    tried = place.over(protocol)
    first = next((row for row in rows if row.get("found") is True), {})
    where = [quoted(text(first.get("host"))), quoted(text(first.get("port")))]
    expected = {
        "addresses": list(dict.fromkeys(address for address, _port in tried)),
        "ports": sorted({port for _address, port in tried} - {expect.chosen}),
        "page": "absent",
    }
    if not tried:
        expected = {"listeners": "all", "page": "absent"}
    if not found and unproven and not expect.patient:
        return context.skipped(unproven, aspect=protocol, target=place.name, expected=expected)
    return context.check(
        ok,
        aspect=protocol,
        target=place.name,
        expected=expected,
        observed={"page": found or "absent"} if ok is not None else None,
        evidence={"outcomes": _outcomes(rows), **({"random_port": expect.chosen} if expect.chosen else {})},
        hint=_hint(expect, place, protocol, found) if found else why,
        command=" ".join(["nc", "-w 3", *(["-u"] if protocol == "udp" else []), *where]) if found else "",
    )


def _unproven(seen: Answer, expect: Private) -> str:
    """Return why the absence of the page proves nothing."""
    if expect.own is None or seen.data(KNOCK) is None:
        return ""
    rows = [mapping(entry) for entry in items(seen.data(KNOCK))]
    address, port = expect.own
    own = next(
        (row for row in rows if (row.get("host"), row.get("port"), row.get("protocol")) == (address, port, "tcp")), {}
    )
    if own.get("found") is True:
        return ""
    return f"the page is not found at {address} port {port} either, where it should be: its absence elsewhere proves nothing (see http)"


def _outcomes(rows: list[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        outcome = text(row.get("outcome")) or "unknown"
        found[outcome] = found.get(outcome, 0) + 1
    return found


def _hint(expect: Private, place: Place, protocol: str, found: list[str]) -> str:
    where = f"{' and '.join(found)} over {protocol.upper()}"
    if place.name == expect.service:
        return (
            f"the service's page is also found at {where}: a second listener or a port-forward on {place.name} leads to it "
            "(`ss -tulpn` and `nft list ruleset` there)"
        )
    if place.name in expect.routers:
        return f"the service's page is found at {where}: {place.name} has a port-forward that leads to it (`nft list ruleset` there)"
    return (
        f"{place.name} serves the service's page at {where}: a proxy or a port-forward there leads to {expect.service} (`ss -tulpn` "
        f"and `nft list ruleset` on {place.name})"
    )
