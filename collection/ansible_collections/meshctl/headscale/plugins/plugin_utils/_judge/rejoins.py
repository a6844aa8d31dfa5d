# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a node rejoins with the same identity, in time, after an outage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, addresses, mapping, number, text
from .context import CheckContext, Node
from .observations import ICMP, STATUS
from .quoting import quoted
from .reason import settled

if TYPE_CHECKING:
    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Rejoins:
    """The expected state of a node after an outage."""

    before: Node
    peers: tuple[Node, ...]
    aspect: str
    budget_s: float


def judge_rejoins(answer: Json, context: CheckContext, expect: Rejoins, *, elapsed_s: float) -> list[Check]:
    """Return a check of the node itself and one of each peer; `elapsed_s` is the time since the end of the outage."""
    seen = Answer(answer)
    late = elapsed_s > expect.budget_s
    return [
        _itself(seen, context, expect, elapsed_s, late=late),
        *(_reaches(seen, context, expect, peer, elapsed_s, late=late) for peer in expect.peers),
    ]


def _itself(seen: Answer, context: CheckContext, expect: Rejoins, elapsed_s: float, *, late: bool) -> Check:
    status = mapping(seen.data(STATUS))
    me = mapping(status.get("Self"))
    expected = {
        "id": expect.before.id,
        "addresses": list(expect.before.addresses),
        "state": "Running",
        "online": True,
        "within_s": expect.budget_s,
    }
    if not status or not expect.before.id or not expect.before.addresses:
        why = "mesh_nodes does not say what the node was before the outage" if status else seen.why(STATUS)
        return context.check(
            None, aspect=expect.aspect, expected=expected, observed=None, hint=why, command="tailscale status",
            evidence={"error": seen.error(STATUS)},
        )  # fmt: skip
    observed = {
        "id": text(me.get("ID")),
        "addresses": addresses(me.get("TailscaleIPs")),
        "state": text(status.get("BackendState")),
        "online": me.get("Online"),
    }
    same = all(observed[key] == expected[key] for key in observed)
    return context.check(
        same and not late,
        aspect=expect.aspect,
        expected=expected,
        observed={**observed, "after_s": round(elapsed_s, 3)},
        evidence={"health": status.get("Health")},
        hint=_changed(seen, observed, expect) if not same else _late(elapsed_s, expect),
        command="tailscale status",
    )


def _changed(seen: Answer, observed: dict[str, Any], expect: Rejoins) -> str:
    if observed["state"] == "Running" and observed["id"] not in ("", expect.before.id):
        return (
            f"it came back as node {observed['id']}, not as {expect.before.id}: its state was lost (check that tailscaled's state "
            "directory is kept and its key is not ephemeral), or the server had deleted it"
        )
    return causes.client(seen) or "its addresses changed: the server's record of it was deleted and created again"


def _late(elapsed_s: float, expect: Rejoins) -> str:
    return (
        f"{elapsed_s:.1f} s have passed since the end of the outage; the budget is {expect.budget_s:g} s "
        "(mesh_rejoin_budget_s)"
    )


def _reaches(  # noqa: PLR0913
    seen: Answer, context: CheckContext, expect: Rejoins, peer: Node, elapsed_s: float, *, late: bool
) -> Check:
    found = mapping(seen.data(ICMP))
    results = {known: mapping(found.get(known)) for known in peer.addresses}
    expected = {"addresses": list(peer.addresses), "replies": "all", "within_s": expect.budget_s}
    command = f"ping -c 3 {quoted(peer.first_address or peer.name)}"
    if not results or any(not number(result.get("sent")) for result in results.values()):
        why = seen.why(ICMP) if results else settled(f"mesh_nodes has no address of {peer.name}")
        return context.check(
            None, aspect=expect.aspect, target=peer.name, expected=expected, observed=None, hint=why, command=command,
            evidence={"error": seen.error(ICMP)},
        )  # fmt: skip
    silent = [known for known, result in results.items() if result.get("received") != result.get("sent")]
    received = {known: result.get("received") for known, result in results.items()}
    return context.check(
        not silent and not late,
        aspect=expect.aspect,
        target=peer.name,
        expected=expected,
        observed={"received": received, "after_s": round(elapsed_s, 3)},
        evidence={"sent": {known: result.get("sent") for known, result in results.items()}},
        hint=causes.unreachable(seen, peer, silent[0]) if silent else _late(elapsed_s, expect),
        command=command,
    )
