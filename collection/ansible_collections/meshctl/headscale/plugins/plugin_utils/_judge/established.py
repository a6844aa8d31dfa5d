# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what became of connections that were open when the policy closed their port.

tailscaled judges TCP by the first packet alone: a connection that was open stays open, as long as the nodes are peers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, items, mapping, number, text
from .context import joined
from .observations import HELD
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node

_FAMILIES = (4, 6)


@dataclass(frozen=True, kw_only=True)
class Established:
    """The connections that were open before the change, and when that was."""

    peers: tuple[Node, ...]
    port: int
    since: float
    asked: float
    """When the new policy was in effect, and the first look began: a block that was exchanged later proves the connection."""
    phase: str = ""
    ahead_s: float = 0.0
    """How far the host's clock is ahead of the controller's."""


def judge_established(answer: Json, context: CheckContext, expect: Established) -> list[Check]:
    """Return a check of the connection to each address of each peer."""
    seen = Answer(answer)
    streams = {text(mapping(one).get("host")): mapping(one) for one in items(mapping(seen.data(HELD)).get("streams"))}
    return [
        _check(seen, context, expect, peer, family, streams.get(peer.address(family), {}))
        for peer in expect.peers
        for family in _FAMILIES
        if peer.address(family)
    ]


def _check(  # noqa: PLR0913, PLR0917
    seen: Answer, context: CheckContext, expect: Established, peer: Node, family: int, found: Mapping[str, Any]
) -> Check:
    opened = _at(found, "opened", expect)
    last = _at(found, "last", expect)
    now = _at(mapping(seen.data(HELD)), "now", expect)
    outcome = text(found.get("outcome"))
    before = opened is not None and opened <= expect.since
    after_s = max(0.0, last - expect.since) if last is not None else 0.0
    silent_s = now - last if now is not None and last is not None else None
    talking = last is not None and last > max(expect.since, expect.asked)
    return context.check(
        (outcome == "open" and talking) if before else None,
        aspect=joined(expect.phase, "established"),
        family=family,
        target=peer.name,
        expected={"port": expect.port, "opened": "before the change", "stays": "open"},
        observed={"outcome": outcome, "after_change_s": round(after_s, 1)} if before else None,
        evidence={
            "exchanged": found.get("exchanged"),
            "silent_s": round(silent_s, 1) if silent_s is not None else None,
            "kernel": found.get("kernel") or {},
        },
        hint=_broken(peer, outcome, silent_s) if before else _unopened(seen, peer, found),
        command=f"nc -v {quoted(peer.address(family))} {expect.port}",
    )


def _at(found: Mapping[str, Any], name: str, expect: Established) -> float | None:
    """Return a moment by the controller's clock."""
    at = number(found.get(name))
    return None if at is None else at - expect.ahead_s


def _unopened(seen: Answer, peer: Node, found: Mapping[str, Any]) -> str:
    if seen.data(HELD) is None:
        return seen.why(HELD)
    return late(
        f"no connection to {peer.name} was open when the policy changed: {found.get('tries', 0)} tries, the last one ended with "
        f"'{text(found.get('outcome')) or 'nothing'}'"
    )


def _broken(peer: Node, outcome: str, silent_s: float | None) -> str:
    how = f"nothing has come back for {silent_s or 0:.1f} s" if outcome == "open" else f"it ended with '{outcome}'"
    return (
        f"a connection that was open when the policy closed its port broke ({how}). tailscaled does not cut it: while the nodes are "
        f"peers, it judges TCP by the first packet only. Check whether a client restarted, or a firewall on {peer.name} or on "
        "this host cut it"
    )
