# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether two nodes exchange data over TCP and UDP, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Json, address, items, mapping, number, numbers, text
from .context import CheckContext, Node, joined
from .opened import Opened, flows, opened, some_pass
from .quoting import quoted
from .reason import late, settled
from .saturation import load_of

if TYPE_CHECKING:
    from .check import Check

# Fewer bytes than this are no full segment: none of them has arrived.
_FIRST_SEGMENTS: Final = 1000
# A connection that is cut sends one segment again a few times.
_MANY_RESENT: Final = 20
# A transfer is still going on when something arrived this recently.
_QUIET_MS: Final = 1500
_MEGABIT: Final = 1_000_000 / 8
_OTHER: Final = {"tcp": "udp", "udp": "tcp"}
_HALF: Final = {
    "damaged": "the data is changed on the way to or from {peer}: its checksum differs",
    "closed": "{peer} closes the connection without a reply: another host or program answers at its address",
    "no-such-source": "this host has no mesh address of that family: see {check}",
}
_SOME_LOST: Final = ("large lost", "some lost")
_KEPT: Final = ("by_port", "stage", "kernel", "answered", "unanswered", "refused_by", "returned", "stuck", "again")
_REFUSED: Final = frozenset({"refused", "port-unreachable", "reset"})


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The expected result of a node's exchanges with its peers."""

    own: Node
    peers: tuple[Node, ...]
    serving: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The fact `mesh_serving` of each peer."""
    families: tuple[int, ...] = (4, 6)
    bulk: int = 0
    """Bytes of a transfer, each way."""
    bulk_peers: frozenset[str] = frozenset()
    rate_budget_mbit: float = 0.0
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What became of the connections and datagrams of earlier looks, by address, protocol and port."""
    transferred: frozenset[str] = frozenset()
    """The addresses to which a transfer has passed in an earlier look."""
    aspect: str = ""
    """What has happened before, as the last part of the aspects."""

    def port(self, peer: Node, family: int, protocol: str) -> tuple[int, str]:
        """Return the port on which a peer listens, or 0 and why it does not."""
        known = mapping(self.serving.get(peer.name))
        if not known:
            return 0, "it did not start to listen"
        found = mapping(mapping(mapping(known.get("ports")).get(peer.address(family))).get(protocol))
        port = number(found.get("port"))
        return (int(port), "") if port else (0, text(found.get("error")) or "it does not listen on this address")


def judge_exchange(answer: Json, context: CheckContext, expect: Exchange) -> list[Check]:
    """Return a check of TCP, of UDP and of the transfer for each peer and family."""
    seen, patience = Answer(answer), load_of(answer).patience
    checks = []
    for peer in expect.peers:
        # For a family that the policy takes from the peer, reachable says so.
        for family in peer.usable(expect.families):
            pair = _Pair(seen, context, expect, peer, family, patience)
            bulk = [pair.bulk()] if pair.whole and not pair.transferred else []
            failing = any(check.bad for check in bulk)
            # A transfer that fails may leave no time for many connections.
            small = [pair.small(protocol, swept=pair.whole and not failing) for protocol in ("tcp", "udp")]
            # It is tried again, and what that look finds on the other ports must count.
            for check in small:
                check.tentative = failing
            checks += [*small, *bulk]
    return checks


class _Pair:
    """What a node saw of one address of a peer."""

    def __init__(  # noqa: PLR0913, PLR0917
        self, seen: Answer, context: CheckContext, expect: Exchange, peer: Node, family: int, patience: float
    ) -> None:
        self._seen = seen
        self._context = context
        self._expect = expect
        self._peer = peer
        self._family = family
        self._patience = patience
        self._known = peer.address(family)
        self._found = mapping(mapping(seen.data("exchange")).get(self._known))

    @property
    def whole(self) -> bool:
        """Whether a transfer and many connections were asked for as well."""
        return bool(self._expect.bulk) and self._peer.name in self._expect.bulk_peers

    @property
    def transferred(self) -> bool:
        """Whether a transfer has passed in an earlier look."""
        return self._known in self._expect.transferred

    def small(self, protocol: str, *, swept: bool) -> Check:
        """Return the check of a small request and its reply, and of the connections to all ports if they were `swept`."""
        port, problem = self._expect.port(self._peer, self._family, protocol)
        expected = {"address": self._known, "port": port, "reply": "whole"}
        found = mapping(self._found.get(protocol))
        outcome = text(found.get("outcome"))
        if reason := (problem and f"{self._peer.name} cannot be queried: {problem}") or self._unseen(outcome):
            return self._check(None, protocol, expected, None, reason)
        source = address(mapping(found.get("seen")).get("from"))
        rewritten = bool(source) and source != self._expect.own.address(self._family)
        observed = {"outcome": outcome, "ms": found.get("duration_ms"), **({"seen_from": source} if rewritten else {})}
        whole = outcome == "answered" and not rewritten
        partly = self._partly(protocol, port) if whole else Opened()
        if whole and swept and not partly.hint and (reason := self._untried(protocol)):
            return self._check(None, protocol, expected, observed, reason)
        hint = self._rewritten(source) if rewritten else partly.hint or self._cause(protocol, found, port)
        return self._check(whole and not partly.hint, protocol, expected, observed, hint, {**found, **partly.evidence})

    def _partly(self, protocol: str, port: int) -> Opened:
        return opened(self._rows(protocol), protocol, port, self._peer.name, patience=self._patience)

    def _untried(self, protocol: str) -> str:
        """Return why nothing is known of some port of the peer, or of all."""
        rows = self._rows(protocol)
        if rows and all(row["tried"] for row in rows.values()):
            return ""
        error = text(mapping(self._found.get("opened")).get("error"))
        return (
            f"the connections could not be tried: {error}" if error else late("the connections were not tried in time")
        )

    def _rows(self, protocol: str) -> dict[str, Any]:
        return flows(self._found, self._expect.before.get(self._known))[protocol]

    def bulk(self) -> Check:
        """Return the check of a transfer in both directions."""
        expect = self._expect
        expected = {
            "address": self._known,
            "bytes": expect.bulk,
            "each_way": "whole",
            "mbit_s": {"at_least": expect.rate_budget_mbit},
        }
        small, found = mapping(self._found.get("tcp")), mapping(self._found.get("bulk"))
        if text(small.get("outcome")) != "answered":
            reason = "there was no connection over which to transfer anything"
            return self._context.skipped(
                reason,
                aspect=joined("bulk", expect.aspect),
                family=self._family,
                target=self._peer.name,
                expected=expected,
            )
        outcome = text(found.get("outcome"))
        if reason := self._unseen(outcome):
            return self._check(None, "bulk", expected, None, reason)
        rates = {name: _rate(expect.bulk, found.get(f"{name}_s")) for name in ("up", "down")}
        whole = outcome == "answered"
        if not whole and (name := _crawling(found)):
            rates[name] = _rate(_passed(found), (number(found.get("duration_ms")) or 0) / 1000)
        stuck = _stuck(mapping(self._found.get("blocks")))
        slow = [name for name, rate in rates.items() if rate is not None and rate < expect.rate_budget_mbit]
        observed = {
            "outcome": outcome, "up_mbit_s": rates["up"], "down_mbit_s": rates["down"],
            "sent": found.get("sent"), "received": found.get("received"),
        }  # fmt: skip
        if stuck and (whole or _passed(found) > _FIRST_SEGMENTS):
            hint = self._size(mapping(self._found.get("blocks")), stuck)
        else:
            hint = self._slow(slow, rates, found) if slow else self._broken(outcome, found)
        return self._check(whole and not slow and not stuck, "bulk", expected, observed, hint, {**found, **stuck})

    def _unseen(self, outcome: str) -> str:
        if outcome not in ("", "deadline", "broken"):
            return ""
        return (
            late("the exchange did not end in time")
            if self._seen.data("exchange") is not None
            else self._seen.why("exchange")
        )

    def _check(  # noqa: PLR0913, PLR0917
        self, ok: bool | None, aspect: str, expected: Json, observed: Json, hint: str, found: Mapping[str, Any] | None = None
    ) -> Check:  # fmt: skip
        port = self._expect.port(self._peer, self._family, "udp" if aspect == "udp" else "tcp")[0]
        kept = {key: found[key] for key in _KEPT if found and found.get(key)}
        return self._context.check(
            ok, aspect=joined(aspect, self._expect.aspect), family=self._family, target=self._peer.name, expected=expected, observed=observed,
            evidence={"address": self._known, **kept}, hint=hint,
            command=f"nc -vz{'u' if aspect == 'udp' else ''} -w 3 {quoted(self._known)} {port}",
        )  # fmt: skip

    # -- causes ------------------------------------------------------------------------------------------------------

    def _rewritten(self, source: str) -> str:
        return (
            f"{self._peer.name} sees the request come from {source}: a NAT rule rewrites the source, on this host or on "
            f"{self._peer.name} (`nft list ruleset`)"
        )

    def _cause(self, protocol: str, found: Mapping[str, Any], port: int) -> str:
        name, outcome, peer = protocol.upper(), text(found.get("outcome")), self._peer.name
        talking = text(found.get("stage")) in ("send", "reply", "receive")
        if outcome in _REFUSED:
            return f"{peer} refuses {name} on port {port}: a firewall there rejects it (`nft list ruleset`), or its listener was killed"
        if outcome == "prohibited" and text(found.get("refused_by")) in ("", "local"):
            return f"this host's own firewall refuses to send {name}: look at its output rules (`nft list ruleset`)"
        if outcome == "timeout" and not talking:
            return self._silent(protocol, port)
        if outcome in ("stalled", "timeout") and talking:
            return f"a connection to {peer} opens, but no data comes back: packets with data are lost on the way"
        if outcome in _SOME_LOST:
            return self._sizes_lost(found)
        return _HALF.get(outcome, f"the exchange fails with '{outcome}'").format(
            peer=peer, check=f"reachable.ipv{self._family}"
        )

    def _silent(self, protocol: str, port: int) -> str:
        """Name what answers while this does not: that leaves the cause."""
        name, other, peer = protocol.upper(), _OTHER[protocol], self._peer.name
        if hint := some_pass(self._rows(protocol), protocol, peer):
            return hint
        if self._answers(self._known, other):
            return (
                f"{peer} answers {other.upper()} but not {name} on port {port}: the policy, or a firewall on {peer} or on this host, "
                f"drops {name} (`nft list ruleset` on both; the policy on the server)"
            )
        family = 10 - self._family
        if self._answers(self._peer.address(family), protocol):
            return (
                f"{peer} answers {name} over IPv{family} but not over IPv{self._family}: a firewall on {peer} or on this host, or "
                f"the policy, drops IPv{self._family} (`nft list ruleset` on both)"
            )
        return (
            f"{peer} answers neither TCP nor UDP on the ports where it listens: the policy or a firewall on {peer} drops them; if "
            "its pings fail as well, their hints name the cause"
        )

    def _answers(self, known: str, protocol: str) -> bool:
        found = mapping(mapping(mapping(self._seen.data("exchange")).get(known)).get(protocol))
        return text(found.get("outcome")) in ("answered", *_SOME_LOST)

    def _sizes_lost(self, found: Mapping[str, Any]) -> str:
        answered, lost = (numbers(found.get(key)) for key in ("answered", "unanswered"))
        if other := _not_by_size(found):
            return (
                f"{len(answered)} of {len(answered) + len(lost)} datagrams to {self._peer.name} are answered, and the size is not the "
                f"reason: from a new source port, {other}: something on the way lets only some packets of a flow through, such as a limit "
                "on packets or bytes, a firewall that passes the first one only, or a link that loses packets (`nft list ruleset` on both)"
            )
        if not lost or not answered or min(lost) > max(answered):
            return (
                f"datagrams to {self._peer.name} of {_range(answered)} bytes are answered, and those of {_range(lost)} bytes are not: "
                "packets above a size are lost on the way (MTU)"
            )
        return (
            f"datagrams to {self._peer.name} of {_range(lost)} bytes are not answered, and some that are larger are: packets "
            "of some sizes are lost on the way; look for a rule on packet lengths (`nft list ruleset` on both)"
        )

    def _size(self, blocks: Mapping[str, Any], stuck: Mapping[str, Any]) -> str:
        outcome, peer = text(blocks.get("outcome")), self._peer.name
        if outcome == "damaged":
            return settled(
                f"{peer} returns a block of {stuck['stuck']} bytes that differs from what was sent: something changes the data"
            )
        if outcome not in ("stalled", "timeout"):
            return settled(
                f"a connection to {peer} returns blocks of {_range(numbers(stuck.get('returned')))} bytes, and twice ends at one of "
                f"{stuck['stuck']} bytes ({outcome}): something rejects packets of some sizes; look for a rule on packet lengths "
                "(`nft list ruleset` on both)"
            )
        way = "from" if blocks.get("arrived") is True else "to"
        return (
            f"a connection to {peer} returns blocks of {_range(numbers(stuck.get('returned')))} bytes, and twice not one "
            f"of {stuck['stuck']} bytes: segments of some sizes are lost {way} {peer}, or wait in a queue for seconds; look for "
            "a rule on packet lengths (`nft list ruleset` on both) or a traffic shaper (`tc -s qdisc`)"
        )

    def _broken(self, outcome: str, found: Mapping[str, Any]) -> str:
        peer, kernel = self._peer.name, mapping(found.get("kernel"))
        if text(found.get("stage")) == "connect":
            return f"a second connection to {peer} fails with '{outcome}': a firewall or a connection limit on the way drops it"
        if outcome == "damaged":
            return f"the data is changed on the way to or from {peer}: its checksum differs"
        up, passed = _upwards(found), _passed(found)
        way = f"to {peer}" if up else f"from {peer}"
        if passed <= _FIRST_SEGMENTS:
            size = f" (segments of {int(mss)} bytes)" if (mss := number(kernel.get("mss"))) and up else ""
            return (
                f"a small request passes, but a transfer {way} does not begin{size}: larger segments are lost on the way, or wait in a "
                "queue for as long as the transfer had; look for a smaller MTU without MSS clamping, a rule on packet lengths, or a "
                "traffic shaper (`tc -s qdisc`)"
            )
        if _crawling(found):
            return (
                f"a transfer {way} had not ended when its time was over, and was still going on after {passed} bytes: the link may be "
                "shared with other transfers, or lose packets (`tc -s qdisc`)"
            )
        resent = int(number(kernel.get("retransmitted")) or 0)
        if up and outcome == "stalled" and resent >= _MANY_RESENT:
            return (
                f"a transfer {way} all but stops after {passed} bytes, and {resent} segments were sent again on the way there: packets "
                "with data are lost again and again (a bad link, or a rule or limit that drops some of them: `nft list ruleset` on both)"
            )
        return (
            f"a transfer {way} stops after {passed} bytes ({outcome}): something on the way cuts an established "
            "connection, such as a firewall that forgets it or a quota"
        )

    def _slow(self, slow: list[str], rates: Mapping[str, float | None], found: Mapping[str, Any]) -> str:
        ways = " and ".join(
            f"{rates[name]:g} Mbit/s {'to' if name == 'up' else 'from'} {self._peer.name}" for name in slow
        )
        lost = number(mapping(found.get("kernel")).get("retransmitted")) or 0
        why = (
            f"{int(lost)} segments were sent again, so packets are lost or policed"
            if lost
            else "hardly any segment was lost"
        )
        return (
            f"the transfer is slow: {ways}, the budget is {self._expect.rate_budget_mbit:g} Mbit/s; {why}: look for a rate limit "
            "or a busy link or host on the way (`tc -s qdisc`)"
        )


def _stuck(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size of a block that was not returned, and those that were; empty unless that was so twice, or it was changed."""
    size, outcome = number(blocks.get("stuck")), text(blocks.get("outcome"))
    twice = blocks.get("again") is True and outcome not in ("", "returned", "deadline")
    if size is None or not (twice or outcome == "damaged"):
        return {}
    return {"stuck": int(size), "returned": numbers(blocks.get("returned"))}


def _not_by_size(found: Mapping[str, Any]) -> str:
    """Return what shows that datagrams were not lost because of their sizes, when they were tried again; empty if nothing does."""
    for row in map(mapping, items(found.get("again"))):
        if row.get("answered") is True:
            return f"{int(number(row.get('bytes')) or 0)} bytes are answered"
        if row.get("other_answered") is False:
            return f"{int(number(row.get('other')) or 0)} bytes are not answered either"
    return ""


def _range(sizes: Sequence[float]) -> str:
    low, high = int(min(sizes, default=0)), int(max(sizes, default=0))
    return f"{low}" if low == high else f"{low} to {high}"


def _upwards(found: Mapping[str, Any]) -> bool:
    return text(found.get("stage")) in ("send", "reply")


def _passed(found: Mapping[str, Any]) -> int:
    """Return how many bytes of a transfer have arrived."""
    kernel = mapping(found.get("kernel"))
    return int(number(kernel.get("acknowledged") if _upwards(found) else found.get("received")) or 0)


def _crawling(found: Mapping[str, Any]) -> str:
    """Return the direction of a transfer that did not end in time and was still going on; empty for one that had stopped."""
    quiet = number(mapping(found.get("kernel")).get("quiet_ms"))
    if (
        text(found.get("outcome")) != "stalled"
        or quiet is None
        or quiet > _QUIET_MS
        or _passed(found) <= _FIRST_SEGMENTS
    ):
        return ""
    return "up" if _upwards(found) else "down"


def _rate(length: int, seconds: Json) -> float | None:
    taken = number(seconds)
    return None if taken is None else round(length / _MEGABIT / max(taken, 1e-6), 1)
