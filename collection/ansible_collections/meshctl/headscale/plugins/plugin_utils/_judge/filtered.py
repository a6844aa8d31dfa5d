# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the packet filter that a client has received, and the policy that the server has stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .._policy.netmap import Filter
from .._policy.ports import merged, shown
from .answer import Answer, Json, mapping, text
from .observations import STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._policy.addresses import Address
    from .check import Check
    from .context import CheckContext

NETMAP: Final = "netmap"
POLICY: Final = "policy"
PREFS: Final = "prefs"
_SHOWN: Final = 4


@dataclass(frozen=True)
class Incoming:
    """A packet that the node's own filter lets in, or does not."""

    source: str
    address: Address
    target: Address
    protocol: str
    port: int
    allowed: bool


def aspect_of(phase: str, name: str) -> str:
    """Return the aspect of a check, which begins with what has changed before."""
    return f"{phase}.{name}" if phase else name


def judge_filter(seen: Answer, context: CheckContext, incoming: Sequence[Incoming], phase: str) -> Check:
    """Judge the packet filter that the client has received, and whether it refuses everything besides."""
    aspect, expected = aspect_of(phase, "filter"), {"differences": 0, "shields_up": False}
    if seen.data(NETMAP) is None:
        if seen.error(NETMAP).get("type") in ("refused", "not_permitted"):
            return context.skipped(seen.why(NETMAP), aspect=aspect, expected=expected)
        return context.check(
            None, aspect=aspect, expected=expected, observed=None, hint=seen.why(NETMAP), command="tailscale status"
        )
    received = Filter(mapping(seen.data(NETMAP)).get("PacketFilter"))
    wrong = [one for one in incoming if _lets_in(received, one) is not one.allowed]
    shields = mapping(seen.data(PREFS)).get("ShieldsUp") is True
    kept, let = ([one for one in wrong if one.allowed is allowed] for allowed in (True, False))
    hints = []
    if shields:
        hints.append(
            "shields are up: this client refuses all connections, regardless of the policy; run `tailscale set --shields-up=false`"
        )
    if kept:
        hints.append(f"the filter of this client keeps out what the policy allows: {_named(kept)}")
    if let:
        hints.append(f"the filter of this client lets in what the policy denies: {_named(let)}")
    if wrong:
        hints.append(_staleness(seen))
    return context.check(
        not wrong and not shields,
        aspect=aspect,
        expected=expected,
        observed={"differences": len(wrong), "shields_up": shields},
        evidence={
            "cases": len(incoming),
            **({"kept_out": _named(kept)} if kept else {}),
            **({"let_in": _named(let)} if let else {}),
        },
        hint="; ".join(hints),
        command="tailscale debug netmap",
    )


def _staleness(seen: Answer) -> str:
    own = mapping(mapping(seen.data(STATUS)).get("Self"))
    if own.get("Online") is False:
        return "the client is not connected to the control server, so it keeps its old filter (`tailscale status`)"
    return (
        "either the client has not received the change (`tailscale netcheck`, `tailscale status`), or the server has sent another "
        "policy, as policy.stored tells"
    )


def judge_stored(answer: Json, context: CheckContext, installed: str, phase: str, same: bool | None) -> Check:
    """Judge that the server has the policy that was installed; `same` is None if it could not be compared."""
    seen = Answer(answer)
    updated = text(mapping(seen.data(POLICY)).get("updatedAt"))
    hint = f"the server's policy is not the one that this story installed: something else set it at {updated}"
    return context.check(
        same,
        aspect=aspect_of(phase, "stored"),
        expected={"policy": "as installed", "bytes": len(installed)},
        observed={"policy": "as installed" if same else "another"} if same is not None else None,
        evidence={"updated_at": updated},
        hint=(hint if same is False else seen.why(POLICY)),
        command="headscale policy get",
    )


def judge_stated(context: CheckContext, differences: tuple[str, ...]) -> Check:
    """Judge that the policy and `mesh_expect` agree."""
    named = "; ".join(differences[:_SHOWN]) + (
        f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    )
    return context.check(
        not differences,
        aspect="stated",
        expected={"as_mesh_expect": True},
        observed={"differences": list(differences)},
        hint=f"the server's policy and mesh_expect disagree: {named}; correct one of them",
        command="headscale policy get",
    )


def _lets_in(received: Filter, one: Incoming) -> bool:
    return received.accepts(one.address, one.target, one.protocol, one.port)


def _named(found: list[Incoming]) -> str:
    """Return packets in a few words: those from one node by one protocol together."""
    groups: dict[tuple[str, str], set[int]] = {}
    for one in found:
        groups.setdefault((one.source, one.protocol), set()).add(one.port)
    named = [f"{protocol} {shown_ports(ports)} from {source}" for (source, protocol), ports in groups.items()]
    return ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")


def shown_ports(ports: Iterable[int]) -> str:
    """Return ports in a few words, such as 80, 443-445."""
    return shown(merged(tuple((port, port) for port in set(ports))))
