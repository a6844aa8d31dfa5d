# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge where a service listens."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, address, items, mapping, text
from .observations import LISTENING

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext


@dataclass(frozen=True, kw_only=True)
class Listening:
    """The addresses on which a port must be open; it must not be open on others."""

    port: int
    addresses: tuple[str, ...]
    may: tuple[str, ...] = ()
    """Further addresses on which it may be open."""
    proto: str = "tcp"


def judge_listening(answer: Json, context: CheckContext, expect: Listening) -> Check:
    """Return the check of a port's listening sockets."""
    seen = Answer(answer)
    data = seen.data(LISTENING)
    command = f"ss -Hlnp{'u' if expect.proto == 'udp' else 't'} sport = :{expect.port}"
    expected = {"port": expect.port, "proto": expect.proto, "addresses": sorted(expect.addresses)}
    expected |= {"may": sorted(expect.may)} if expect.may else {}
    if not isinstance(data, list) or not expect.addresses:
        why = seen.why(LISTENING) if expect.addresses else "no address is expected"
        return context.check(None, expected=expected, observed=None, hint=why, command=command)
    sockets = [mapping(entry) for entry in items(data)]
    sockets = [entry for entry in sockets if entry.get("port") == expect.port and entry.get("proto") == expect.proto]
    found = sorted({address(entry.get("address")) for entry in sockets})
    return context.check(
        set(expect.addresses) <= set(found) <= {*expect.addresses, *expect.may},
        expected=expected,
        observed={"port": expect.port, "proto": expect.proto, "addresses": found},
        evidence={"sockets": sockets},
        hint=_hint(found, expect, sockets),
        command=command,
    )


def _hint(found: list[str], expect: Listening, sockets: list[dict[str, Any]]) -> str:
    owners = sorted({text(mapping(entry.get("process")).get("name")) for entry in sockets} - {""})
    who = f" ({', '.join(owners)})" if owners else ""
    if not found:
        return f"nothing listens on port {expect.port}: check that the service runs, and that it starts after the mesh address exists"
    if wild := [entry for entry in found if entry and ip_address(entry).is_unspecified]:
        return (
            f"the service{who} listens on every address ({', '.join(wild)}): bind it to {', '.join(expect.addresses)}"
        )
    if extra := [entry for entry in found if entry not in (*expect.addresses, *expect.may)]:
        return f"the service{who} also listens on {', '.join(extra)}: bind it to {', '.join(expect.addresses)} only"
    return f"nothing listens on {', '.join(sorted(set(expect.addresses) - set(found)))}"
