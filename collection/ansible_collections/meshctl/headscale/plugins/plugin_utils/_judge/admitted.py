# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether a host behind a subnet router reaches a node of the mesh, and which address the node sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Json, address, items, mapping, number, text
from .context import joined
from .observations import EXCHANGE
from .quoting import quoted
from .routed import switch

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node

PROTOCOLS: Final = ("tcp", "udp")
_NC: Final = {"tcp": "nc -v", "udp": "nc -vu"}
_NO_WAY: Final = ("net-unreachable", "host-unreachable", "no-route", "no-such-source")


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A host outside the mesh, and the node that it reaches through a router, or does not."""

    host: str
    addresses: Mapping[int, str]
    """The host's own address of each family."""
    prefixes: Mapping[int, str]
    """The network that the router serves."""
    node: Node
    router: str
    router_node: Node | None = None
    serving: Mapping[str, Any] = field(default_factory=dict)
    """Where the node listens: the fact `mesh_serving`."""
    admitted: bool = True
    aspect: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the server said of the router."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """What the router said of itself."""

    @property
    def families(self) -> tuple[int, ...]:
        """Return the families in which the host and the node have an address each."""
        return tuple(family for family in self.addresses if self.node.address(family))

    def port(self, family: int, protocol: str) -> int:
        """Return the port on which the node listens, 0 if it does not."""
        ports = mapping(mapping(self.serving.get("ports")).get(self.node.address(family)))
        return int(number(mapping(ports.get(protocol)).get("port")) or 0)


def judge_admitted(answer: Json, context: CheckContext, expect: Admitted) -> list[Check]:
    """Return the checks of each family."""
    seen = Answer(answer)
    judged = _reached if expect.admitted else _silent
    return [check for family in expect.families for check in judged(seen, context, expect, family)]


def _found(seen: Answer, expect: Admitted, family: int, protocol: str) -> dict[str, Any]:
    return mapping(mapping(mapping(seen.data(EXCHANGE)).get(expect.node.address(family))).get(protocol))


def _reached(seen: Answer, context: CheckContext, expect: Admitted, family: int) -> list[Check]:
    checks = []
    for protocol in PROTOCOLS:
        found, port = _found(seen, expect, family, protocol), expect.port(family, protocol)
        outcome, source = text(found.get("outcome")), address(mapping(found.get("seen")).get("from"))
        known = expect.node.address(family)
        command = f"{_NC[protocol]} {quoted(known)} {port}"
        why = _why(seen, expect, family, protocol, outcome)
        checks += [
            context.check(
                outcome == "answered" if outcome else None, aspect=joined(protocol, expect.aspect), family=family,
                target=expect.node.name, expected={"port": port, "reply": "whole"}, observed={"outcome": outcome},
                evidence={"refused_by": text(found.get("refused_by"))}, hint=why, command=command,
            ),
            context.check(
                source == expect.addresses[family] if source else None, aspect=joined("source", expect.aspect), family=family,
                target=expect.node.name, expected={"protocol": protocol, "source": expect.addresses[family]},
                observed={"source": source}, hint=_wrong_source(expect, source, family) if source else why, command=command,
            ),
        ]  # fmt: skip
    return checks


def _silent(seen: Answer, context: CheckContext, expect: Admitted, family: int) -> list[Check]:
    checks = []
    for protocol in PROTOCOLS:
        found, port = _found(seen, expect, family, protocol), expect.port(family, protocol)
        outcome, source = text(found.get("outcome")), address(mapping(found.get("seen")).get("from"))
        checks.append(
            context.check(
                outcome == "timeout" if outcome else None, aspect=joined("silent", expect.aspect), family=family,
                target=expect.node.name, expected={"port": port, "protocol": protocol, "outcome": "timeout"},
                observed={"outcome": outcome, "source": source}, hint=_not_silent(seen, expect, family, protocol, outcome, source),
                command=f"{_NC[protocol]} {quoted(expect.node.address(family))} {port}",
            )
        )  # fmt: skip
    return checks


def _why(seen: Answer, expect: Admitted, family: int, protocol: str, outcome: str) -> str:  # noqa: PLR0911
    """Return why the node did not answer, as far as the host, the router and the server tell."""
    node, host, router, prefix = expect.node.name, expect.host, expect.router, expect.prefixes[family]
    if not expect.port(family, protocol):
        problem = text(expect.serving.get("error")) or "it did not start to listen"
        return f"{node} cannot be asked over {protocol.upper()}: {problem}"
    if not outcome:
        return seen.why(EXCHANGE)
    if outcome in _NO_WAY:
        return (
            f"{host} has no way into the mesh ({outcome}): it needs a route to {expect.node.address(family)} through the router {router} "
            f"(`ip route get {quoted(expect.node.address(family))}` there)"
        )
    if expect.said.get(f"forwarding{family}") is False:
        return f"the router {router} does not forward packets: set {switch(expect.said, family)} there"
    if expect.state and prefix not in items(expect.state.get("serving")):
        return f"the server does not serve {prefix} through {router}, so {node} takes no packet from there: see the checks served"
    if outcome == "refused":
        return f"something refuses the connection to {node}, where meshctl listens: a firewall of the router {router} or of {node}"
    return (
        f"packets of {host} leave for {node}, and no answer returns ({outcome}): {node} must accept routes (`tailscale set "
        f"--accept-routes` there), the policy must let {prefix} reach it, and the router {router} must forward in both directions"
    )


def _wrong_source(expect: Admitted, source: str, family: int) -> str:
    wanted = expect.addresses[family]
    if expect.router_node and source in expect.router_node.addresses:
        return (
            f"{expect.node.name} sees the router's mesh address {source} instead of {wanted}: the router {expect.router} masquerades "
            f"what enters the mesh, so that the policy cannot tell {expect.host} from it"
        )
    return f"{expect.node.name} sees {source} instead of {wanted}: something on the way changes the address"


def _not_silent(seen: Answer, expect: Admitted, family: int, protocol: str, outcome: str, source: str) -> str:  # noqa: PLR0913, PLR0917
    node, host, prefix = expect.node.name, expect.host, expect.prefixes[family]
    if not outcome:
        return _why(seen, expect, family, protocol, outcome)
    if outcome == "answered":
        seen_as = f", which sees {source}" if source else ""
        return (
            f"{host} reaches {node}{seen_as}, although the policy lets nodes reach nodes alone: does the policy in effect allow "
            f"{source or prefix}?"
        )
    return f"the packets of {host} are refused ({outcome}) instead of dropped: this does not show that the policy stopped them"
