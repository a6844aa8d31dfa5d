# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge by packets whether the mesh does what its policy says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Json, address, items, mapping, number, text
from .budget import since_change
from .filtered import aspect_of, judge_filter, judge_stated, shown_ports
from .observations import STATUS, TSMP
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .check import Check
    from .context import CheckContext, Node
    from .filtered import Incoming

PORTS: Final = "ports"
_PROTOCOLS: Final = ("tcp", "udp")
_REFUSED: Final = frozenset({"refused", "port-unreachable", "reset"})
# The kernel had no route, so that no packet left.
_NOT_SENT: Final = frozenset({"net-unreachable", "host-unreachable", "no-such-source", "net-down"})
_NC: Final = {"tcp": "nc -vz", "udp": "nc -vzu"}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a policy does with one protocol of one family between two nodes, on the ports where the target listens."""

    open: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()
    """The rules that open ports."""
    denied: str = ""
    """Why the others are closed."""
    problem: str = ""
    """Why the target cannot be asked."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a policy means for the packets from this node to a peer."""

    peer: Node
    seen: bool
    """Whether the server shows the nodes to each other."""
    openings: Mapping[tuple[str, int], Opening] = field(default_factory=dict)
    """By protocol and family."""

    @property
    def controls(self) -> list[tuple[str, str, int]]:
        """Return address, protocol and port of what is open, one of each kind, TCP first."""
        return [
            (self.peer.address(family), protocol, opening.open[0])
            for (protocol, family), opening in sorted(self.openings.items())
            if opening.open
        ]


@dataclass(frozen=True, kw_only=True)
class PolicyExpect:
    """What a policy means for one node."""

    own: Node
    pairs: tuple[Pair, ...]
    incoming: tuple[Incoming, ...] = ()
    phase: str = ""
    """What has changed before; part of the aspects."""
    budget_s: float | None = None
    stated: tuple[str, ...] | None = None
    """What `mesh_expect` says otherwise; None if it is not compared."""


def judge_policy(answer: Json, context: CheckContext, expect: PolicyExpect, *, elapsed_s: float = 0.0) -> list[Check]:
    """Return checks of each pair, of the node's own filter, and of what the inventory states."""
    seen = Answer(answer)
    checks = [check for pair in expect.pairs for check in _Judge(seen, context, expect, pair).checks()]
    checks.append(judge_filter(seen, context, expect.incoming, expect.phase))
    if expect.stated is not None:
        checks.append(judge_stated(context, expect.stated))
    return checks if expect.budget_s is None else since_change(checks, elapsed_s=elapsed_s, budget_s=expect.budget_s)


class _Judge:
    """What a node saw of one peer."""

    def __init__(self, seen: Answer, context: CheckContext, expect: PolicyExpect, pair: Pair) -> None:
        self._seen, self._context, self._expect, self._pair = seen, context, expect, pair
        self._found = mapping(mapping(seen.data(PORTS)).get(pair.peer.name))
        self._control = mapping(self._found.get("control"))
        arrived = self._control.get("arrived")
        self._watched = isinstance(arrived, list)
        self._arrived = {tuple(row) for row in items(arrived) if _is_row(row)}

    def checks(self) -> Iterator[Check]:
        if not self._pair.seen:
            yield self._hidden()
            return
        for (protocol, family), opening in self._pair.openings.items():
            yield self._ports(protocol, family, opening)

    def _tries(self, known: str = "", protocol: str = "") -> dict[int, tuple[str, str, float]]:
        """Return outcome, source that the peer saw, and milliseconds by port."""
        found = {}
        for row in items(self._found.get("tries")):
            if not isinstance(row, list) or len(row) != 6 or not isinstance(row[2], int):  # noqa: PLR2004 - see ports.py
                continue
            if (not known or row[0] == known) and (not protocol or row[1] == protocol):
                found[row[2]] = (text(row[3]), address(row[4]), number(row[5]) or 0.0)
        return found

    # -- a pair that the policy joins ----------------------------------------------------------------------------------

    def _ports(self, protocol: str, family: int, opening: Opening) -> Check:
        peer, known = self._pair.peer, self._pair.peer.address(family)
        expected = {"address": known, "open": shown_ports(opening.open), "closed": shown_ports(opening.closed)}
        if reason := opening.problem or self._unseen():
            return self._check(None, protocol, family, expected, None, reason, opening)
        tries = self._tries(known, protocol)
        own = self._expect.own.address(family)
        answered = {port for port, (outcome, _source, _ms) in tries.items() if outcome == "answered"}
        rewritten = {tries[port][1] for port in answered if tries[port][1] and tries[port][1] != own}
        dumb = [port for port in opening.open if port not in answered]
        refusing = [port for port in opening.closed if tries.get(port, ("",))[0] in _REFUSED]
        through = answered | {port for port, (outcome, _source, _ms) in tries.items() if outcome == "redirected"}
        passed = [port for port in opening.closed if port in through or (protocol, known, port) in self._arrived]
        observed: dict[str, Any] = {
            "open": shown_ports(answered),
            "closed": shown_ports(set(tries) - answered),
            **({"seen_from": sorted(rewritten)} if rewritten else {}),
            **({"let_in": shown_ports(passed)} if passed else {}),
        }
        if passed:
            hint = self._leak(protocol, passed, through, opening)
        elif dumb:
            hint = self._silent(protocol, family, dumb, {port: tries.get(port, ("",))[0] for port in dumb})
        elif rewritten:
            hint = (
                f"{peer.name} sees {protocol.upper()} come from {', '.join(sorted(rewritten))} instead of {own}: a NAT rule rewrites "
                f"the source, on this host or on {peer.name} (`nft list ruleset`), so the policy judges another source"
            )
        elif refusing:
            hint = (
                f"{peer.name} refuses {protocol} {shown_ports(refusing)} instead of staying silent: a firewall there rejects it, or the "
                "policy lets it in and the listener was killed"
            )
        else:
            reason = self._unproven(opening, [port for port in opening.closed if port not in tries])
            return self._check(None if reason else True, protocol, family, expected, observed, reason, opening)
        return self._check(False, protocol, family, expected, observed, hint, opening)

    def _check(  # noqa: PLR0913, PLR0917
        self, ok: bool | None, protocol: str, family: int, expected: Json, observed: Json, hint: str, opening: Opening
    ) -> Check:  # fmt: skip
        known = self._pair.peer.address(family)
        control = {"control": self._control.get("outcome")} if self._control else {"control": self._tunnel()}
        port = next(iter([*opening.open, *opening.closed]), 0)
        return self._context.check(
            ok,
            aspect=aspect_of(self._expect.phase, protocol),
            family=family,
            target=self._pair.peer.name,
            expected=expected,
            observed=observed,
            evidence={
                "rules": list(opening.rules),
                **({"closed": opening.denied} if opening.denied else {}),
                **control,
                "watched": self._watched,
                "silence_ms": self._found.get("window_ms"),
            },
            hint=hint,
            command=_NC[protocol] + f" -w 3 {quoted(known)} {quoted(port)}",
        )

    def _unseen(self) -> str:
        if self._seen.data(PORTS) is None:
            return self._seen.why(PORTS)
        return "" if self._found else late("the ports were not tried in time")

    def _unproven(self, opening: Opening, untried: list[int]) -> str:
        """Return why the silence of the closed ports proves nothing."""
        peer = self._pair.peer.name
        if not opening.closed:
            return ""
        if untried:
            return f"the probe's answer does not contain {shown_ports(untried)}: whether {peer} is silent there is not known"
        if self._pair.controls:
            return (
                ""
                if self._control.get("before") is True and self._control.get("after") is True
                else f"the silence of {peer} proves nothing: the port that must answer does not answer either"
            )
        if self._tunnel() == "answered":
            return ""
        return f"the silence of {peer} proves nothing: its tailscaled does not answer either (`tailscale ping --tsmp`)"

    def _tunnel(self) -> str:
        """Return what tailscaled on the other side says, whatever the policy."""
        pings = mapping(self._seen.data(TSMP))
        answered = any(mapping(pings.get(known)).get("answered") is True for known in self._pair.peer.addresses)
        return "answered" if answered else "silent"

    def _leak(self, protocol: str, passed: list[int], answered: set[int], opening: Opening) -> str:
        peer, name = self._pair.peer.name, protocol.upper()
        if through := [port for port in passed if port in answered]:
            return (
                f"{peer} answers on {protocol} {shown_ports(through)}, which the policy denies ({opening.denied}): its client has a different "
                "filter; the checks policy.filter of that node and policy.stored of the server tell whose policy it is"
            )
        return (
            f"{name} to {protocol} {shown_ports(passed)} comes out of {peer}'s mesh interface although the policy denies it "
            f"({opening.denied}): only a firewall of {peer} stops it"
        )

    def _silent(self, protocol: str, family: int, dumb: list[int], outcomes: Mapping[int, str]) -> str:
        """Return why ports that the policy opens do not answer."""
        peer, name, ports = self._pair.peer.name, protocol.upper(), shown_ports(dumb)
        known = self._pair.peer.address(family)
        if reason := self._told(protocol, family, set(outcomes.values()), ports):
            return reason
        if any((protocol, known, port) in self._arrived for port in dumb):
            return (
                f"{name} to {ports} comes out of {peer}'s mesh interface and is not answered: a firewall of {peer} drops it or the "
                f"replies, or this host's own firewall drops the replies (`nft list ruleset` on both)"
            )
        if self._watched:
            return (
                f"{name} to {ports} does not come out of {peer}'s mesh interface, and another port does: the client of {peer} drops "
                f"it{self._instead(protocol, family, dumb)}; see the check policy.filter of {peer}, or this host's output rules"
            )
        if self._tunnel() == "answered":
            return (
                f"tailscaled on {peer} answers, but not {name} on {ports}: its filter, or a firewall on either host, drops it"
                f"{self._instead(protocol, family, dumb)}; see the check policy.filter of {peer}"
            )
        return f"nothing answers at {peer}, regardless of the policy: see the checks reachable and connected of US1"

    def _told(self, protocol: str, family: int, found: set[str], ports: str) -> str:
        """Return what the outcomes themselves say."""
        peer, name = self._pair.peer.name, protocol.upper()
        if found <= _REFUSED:
            return f"{peer} refuses {name} on {ports}: a firewall there rejects it (`nft list ruleset`), or its listener was killed"
        if "redirected" in found:
            return (
                f"{name} to {ports} of {peer} arrives at another port there: a NAT rule on {peer} or on this host redirects it (`nft list ruleset` "
                "on both), so that the policy judges another port than the one that is reached"
            )
        if found == {"prohibited"}:
            return f"this host's own firewall refuses to send {name}: look at its output rules (`nft list ruleset`)"
        if found <= _NOT_SENT:
            known = self._pair.peer.address(family)
            return f"this host has no route to {known}: its client does not have {peer} as a peer, which the policy makes it"
        if "stalled" in found:
            return f"a connection to {peer} opens, but no data comes back: packets with data are lost on the way"
        return ""

    def _instead(self, protocol: str, family: int, dumb: list[int]) -> str:
        """Name what answers on the same port by the other protocol or family."""
        other = "udp" if protocol == "tcp" else "tcp"
        for what, found in (
            (other.upper(), self._tries(self._pair.peer.address(family), other)),
            (f"IPv{10 - family}", self._tries(self._pair.peer.address(10 - family), protocol)),
        ):
            if found and all(found.get(port, ("",))[0] == "answered" for port in dumb):
                return f", and lets {what} in on the same port"
        return ""

    # -- a pair that the policy does not join --------------------------------------------------------------------------

    def _hidden(self) -> Check:
        """Judge that the nodes are no peers, so that nothing can pass."""
        peer, status = self._pair.peer, mapping(self._seen.data(STATUS))
        keys = {text(mapping(entry).get("PublicKey")) for entry in mapping(status.get("Peer")).values()}
        listed = peer.key in keys if peer.key else False
        answered = sorted({port for port, row in self._tries().items() if row[0] == "answered"})
        reason = self._seen.why(STATUS) if self._seen.data(STATUS) is None else self._unseen()
        hint = ""
        if answered:
            hint = f"{peer.name} answers on {shown_ports(answered)}, although no rule joins the nodes: the policy is not in effect"
        elif listed:
            hint = (
                f"no rule joins the nodes, but this client still has {peer.name} as a peer: it has not received the change; check that it "
                "reaches the control server (`tailscale status`)"
            )
        return self._context.check(
            None if reason else not (listed or answered),
            aspect=aspect_of(self._expect.phase, "hidden"),
            target=peer.name,
            expected={"peer": False, "answered": ""},
            observed=None if reason else {"peer": listed, "answered": shown_ports(answered)},
            evidence={"addresses": list(peer.addresses), "refused_by": "absence"},
            hint=reason or hint,
            command="tailscale status",
        )


def _is_row(row: Json) -> bool:
    """Whether a row says what has arrived: a protocol, an address and a port."""
    return isinstance(row, list) and [type(entry) for entry in row] == [str, str, int]
