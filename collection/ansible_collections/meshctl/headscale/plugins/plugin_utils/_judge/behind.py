# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what a listener behind a router or an exit node made of datagrams, of a transfer, and of many connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Json, address, items, mapping, number, text
from .observations import EXCHANGE
from .opened import CONNECTIONS, flows, opened, pause_s
from .quoting import quoted
from .reason import late
from .saturation import read_load

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext

SENT_BYTES: Final = 49152
_PROTOCOLS: Final = ("tcp", "udp")
# How far a transfer came: the target has confirmed what it received before these.
_CONFIRMED: Final = ("receive", "done")


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where a host outside the mesh listens."""

    host: str
    token: str
    tcp: int
    udp: int
    more: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Its other ports by protocol."""

    @classmethod
    def read(cls, serving: Json, known: str) -> Listener | None:
        """Return where a host listens at an address, from the fact `mesh_serving`; None if it does not."""
        ports = mapping(mapping(mapping(serving).get("ports")).get(known))
        tcp, udp = (int(number(mapping(ports.get(protocol)).get("port")) or 0) for protocol in _PROTOCOLS)
        if not tcp or not udp:
            return None
        more = {
            protocol: tuple(port for port in items(mapping(ports.get(protocol)).get("more")) if isinstance(port, int))
            for protocol in _PROTOCOLS
        }
        return cls(host=known, token=text(mapping(serving).get("token")), tcp=tcp, udp=udp, more=more)

    @property
    def target(self) -> dict[str, Any]:
        """Return the target for the observation `exchange`."""
        more = {protocol: list(ports) for protocol, ports in self.more.items()}
        return {"host": self.host, "token": self.token, "tcp": self.tcp, "udp": self.udp, "more": more}


@dataclass(frozen=True, kw_only=True)
class Behind:
    """One address of a host outside the mesh, and what must be true of it."""

    listener: Listener
    name: str
    family: int
    sources: tuple[str, ...]
    carrier: str
    """The router or the exit node, in words."""
    silent: str
    """Why it does not answer at all."""
    wrong_source: Callable[[str], str]
    whole: bool = True
    """Whether a transfer and many connections were tried as well."""
    before: Mapping[str, Any] = field(default_factory=dict)
    """What became of connections in earlier looks."""


def request(listeners: list[Listener], seconds: float, *, whole: bool, patience: float = 1.0) -> dict[str, Any]:
    """Return the observation of these listeners; `patience` is that with the host."""
    more: dict[str, Any] = {
        "bulk": SENT_BYTES, "connections": CONNECTIONS, "pause_s": pause_s(patience), "bulk_timeout_s": seconds,
    }  # fmt: skip
    targets = [listener.target for listener in listeners]
    asked = {"id": EXCHANGE, "kind": "exchange", "targets": targets, "try_timeout_s": seconds}
    return {**asked, **more} if whole else asked


def answers(seen: Answer, known: str) -> bool:
    """Whether a listener has answered at all."""
    found = mapping(mapping(seen.data(EXCHANGE)).get(known))
    return "answered" in {text(mapping(found.get(protocol)).get("outcome")) for protocol in _PROTOCOLS}


def judge_behind(seen: Answer, context: CheckContext, name: Callable[[str], str], what: Behind) -> list[Check]:
    """Return the checks of one listener; `name` returns the aspect of each."""
    found = mapping(mapping(seen.data(EXCHANGE)).get(what.listener.host))
    checks = [_udp(seen, context, name("udp"), what, found)]
    if what.whole:
        checks += [
            _upload(seen, context, name("upload"), what, found),
            _ports(seen, context, name("ports"), what, found),
        ]
    return checks


def _udp(seen: Answer, context: CheckContext, aspect: str, what: Behind, found: Mapping[str, Any]) -> Check:
    row = mapping(found.get("udp"))
    outcome, source = text(row.get("outcome")), address(mapping(row.get("seen")).get("from"))
    answered = outcome == "answered"
    if not outcome:
        hint: str = seen.why(EXCHANGE)
    elif source and source not in what.sources:
        hint = what.wrong_source(source)
    elif items(row.get("answered")):
        hint = (
            f"some datagrams to {what.name} are answered, and those of {_bytes(row)} bytes are not: {what.carrier}, or the way to it, "
            "loses packets of this size"
        )
    elif _tcp_answered(found):
        hint = (
            f"{what.name} answers over TCP, and not over UDP ({outcome}): the firewall of {what.carrier} drops or rejects UDP "
            "(`nft list ruleset` there), or the policy does not allow it"
        )
    else:
        hint = what.silent
    return context.check(
        answered and source in what.sources if outcome else None, aspect=aspect, family=what.family, target=what.name,
        expected={"port": what.listener.udp, "outcome": "answered", "source": {"one_of": list(what.sources)}},
        observed={"outcome": outcome, "source": source}, evidence={"answered": items(row.get("answered"))},
        hint=hint, command=f"nc -vzu -w 3 {quoted(what.listener.host)} {quoted(what.listener.udp)}",
    )  # fmt: skip


def _bytes(row: Mapping[str, Any]) -> str:
    return ", ".join(str(int(size)) for size in items(row.get("unanswered")) if isinstance(size, int))


def _tcp_answered(found: Mapping[str, Any]) -> bool:
    return text(mapping(found.get("tcp")).get("outcome")) == "answered"


def _upload(seen: Answer, context: CheckContext, aspect: str, what: Behind, found: Mapping[str, Any]) -> Check:
    small, row = mapping(found.get("tcp")), mapping(found.get("bulk"))
    outcome = text(row.get("outcome")) or text(small.get("outcome"))
    arrived = text(row.get("stage")) in _CONFIRMED and outcome != "damaged"
    if not outcome:
        hint: str = seen.why(EXCHANGE)
    elif not _tcp_answered(found):
        hint = what.silent
    elif outcome == "damaged":
        hint = f"what {what.name} receives differs from what was sent: something at {what.carrier} changes the data"
    else:
        hint = (
            f"small requests are answered but {SENT_BYTES} bytes do not arrive at {what.name}: packets that are large, or many, are lost on the "
            f"way to it at {what.carrier} (path MTU, MSS, or a rule on packet lengths: `nft list ruleset` there)"
        )
    return context.check(
        arrived if outcome else None, aspect=aspect, family=what.family, target=what.name,
        expected={"bytes": SENT_BYTES, "arrived": "whole"},
        observed={"outcome": outcome, "bytes": number(mapping(row.get("seen")).get("bytes")) or 0},
        evidence={"stage": text(row.get("stage")), "sent": number(row.get("sent"))}, hint=hint,
        command=f"nc -vz -w 3 {quoted(what.listener.host)} {quoted(what.listener.tcp)}",
    )  # fmt: skip


def _ports(seen: Answer, context: CheckContext, aspect: str, what: Behind, found: Mapping[str, Any]) -> Check:
    rows, listener = flows(found, what.before), what.listener
    outcomes = {protocol: text(mapping(found.get(protocol)).get("outcome")) for protocol in _PROTOCOLS}
    # What does not answer on its main port has its own check.
    tried = {protocol: rows[protocol] for protocol in _PROTOCOLS if outcomes[protocol] == "answered"}
    many = {
        protocol: opened(
            by_port,
            protocol,
            {"tcp": listener.tcp, "udp": listener.udp}[protocol],
            what.name,
            at=what.carrier,
            patience=read_load(seen.host.get("load")).patience,
        )
        for protocol, by_port in tried.items()
    }
    wrong = "; ".join(one.hint for one in many.values() if one.hint)
    if not outcomes["tcp"]:
        hint: str = seen.why(EXCHANGE)
    elif not tried:
        hint = what.silent
    else:
        hint = wrong or late("the connections were not tried in time")
    fine = bool(tried) and all(tried.values()) and not wrong
    return context.check(
        fine if outcomes["tcp"] else None, aspect=aspect, family=what.family, target=what.name,
        expected={"tries": CONNECTIONS, "tcp": [listener.tcp, *listener.more.get("tcp", ())], "udp": [listener.udp, *listener.more.get("udp", ())]},
        observed={"answered": fine}, evidence={protocol: one.evidence for protocol, one in many.items() if one.evidence},
        hint=hint, command=f"nc -vz -w 3 {quoted(listener.host)} {quoted(listener.tcp)}",
    )  # fmt: skip
