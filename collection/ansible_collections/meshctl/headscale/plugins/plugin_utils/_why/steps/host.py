# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what the target makes of the packets: its firewall, the program that listens, and the answer."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import address, items, mapping, number, text
from ..._judge.quoting import quoted
from ..asking import FORWARDING, IGNORED
from ..case import IN, OUT, Case, Finding, Side, failed, passed, unknown
from .packets import opening, packets, rules, why_not

# What a target answers with.
_ANSWERS = {"tcp": ("syn-ack",), "udp": ("datagram",), "icmp": ("reply",)}
# The kernel sends these itself where nothing listens.
_NOTHING_LISTENS = {4: "unreachable 3", 6: "unreachable 4"}


def firewall(case: Case, family: int) -> Finding:
    """Check that the target's host lets the packets in, and its answer out."""
    side = case.target
    if case.connected(family):
        return passed(f"{case.to(family) if case.routed else side.name} answers")
    if not case.outcome(family):
        return unknown("no connection was tried")
    if not side.watched:
        return unknown(f"the packets at {side.name} were not watched: {side.unwatched}{_refused(case, family)}")
    if side.packets(OUT, case.to(family), case.origin(family), *_ANSWERS[case.question.service.protocol]):
        return passed(f"{side.name} answers on {side.interface}")
    refusals = side.refusals(OUT, case.origin(family))
    more: dict[str, Any] = {"evidence": {"firewall": side.data("firewall"), "sent": refusals}}
    if not case.routed:
        more |= {"command": "nft list ruleset", "host": side.end.host}
    came = packets(opening(case, side, IN, family))
    if refusals or side.packets(OUT, case.to(family), case.origin(family), "reset"):
        return _refusal(case, family, came, more)
    return _behind(case, family, came) if case.routed else _silent(case, family, came, more)


def _refusal(case: Case, family: int, came: str, more: dict[str, Any]) -> Finding:
    """Tell the refusal of a kernel where nothing listens from that of a firewall."""
    side, udp = case.target, case.question.service.protocol == "udp"
    kernels = _NOTHING_LISTENS[family] if udp else "reset"
    foreign = [code for code in more["evidence"]["sent"] if code != kernels]
    if foreign:
        return failed(
            f"{came} arrived at {side.name}, whose firewall rejects them ({foreign[0]}){rules(side, 'input')}", **more
        )
    if case.routed or not case.listeners(family):
        return passed(f"the packets pass: {side.name} refuses the connection")
    return failed(
        f"{came} arrived at {side.name}, where a program listens, and were refused: its firewall rejects them{rules(side, 'input')}",
        **more,
    )


def _silent(case: Case, family: int, came: str, more: dict[str, Any]) -> Finding:
    """Find out what keeps a host from answering."""
    side, protocol = case.target, case.question.service.protocol
    said = f"{came} arrived at {side.name} on {side.interface}, and it sent no answer"
    if protocol == "icmp" and side.file(IGNORED[family]) == "1":
        return failed(f"{side.name} ignores echo requests: `sysctl -w {quoted(_sysctl(IGNORED[family]))}=0`", **more)
    if protocol == "udp" and (case.listeners(family) or side.data("listening") is None):
        return _unanswered(side, came, more)
    seen = mapping(side.data("firewall"))
    drops = bool(items(seen.get("chains")))
    if waiting(case, family) and not drops:
        return unknown(f"{said}; see listener", **more)
    if seen and not drops and not seen.get("legacy"):
        return failed(f"{said}, although `nft` shows no rule there that drops packets: look for eBPF programs", **more)
    if drops:
        return failed(f"{said}: its firewall drops them{rules(side, 'input')}", **more)
    unread = "iptables-legacy has rules" if seen else side.why("firewall")
    return failed(f"{said}: the host drops them (its firewall was not read: {unread})", **more)


def _unanswered(side: Side, came: str, more: dict[str, Any]) -> Finding:
    """UDP need not answer: only a firewall that drops nothing proves that the datagram got to its program."""
    seen = mapping(side.data("firewall"))
    if seen and not seen.get("legacy") and not items(seen.get("chains")) and side.data("listening") is not None:
        return passed(f"{came} arrived at {side.name}, and no firewall rule there drops packets")
    why = f"rules there drop packets{rules(side, 'input')}" if seen else side.why("firewall")
    return unknown(
        f"{came} arrived at {side.name}, and nothing answered, which UDP need not: whether its firewall drops them is not known, {why}",
        **more,
    )


def waiting(case: Case, family: int) -> int:
    """Return how many connections wait for the program to accept them."""
    return sum(int(number(row.get("queue")) or 0) for row in case.listeners(family))


def _behind(case: Case, family: int, came: str) -> Finding:
    """Find out whether the router or the host behind it is silent."""
    router, target = case.target, case.to(family)
    if router.file(FORWARDING[family]) == "0":
        return failed(
            f"{came} arrived at {router.name}, which does not forward packets: `sysctl -w {quoted(_sysctl(FORWARDING[family]))}=1`",
            evidence={"forwarding": "0"}, command=f"sysctl {quoted(_sysctl(FORWARDING[family]))}", host=router.end.host,
        )  # fmt: skip
    outcome = _outcome(router, target)
    if outcome in ("connected", "answered"):
        return failed(
            f"{came} arrived at {router.name}, which reaches {target} itself, but forwards no answer: look for a rule that drops "
            f"forwarded packets on {router.name}, and for the route of {target} back to the mesh",
            evidence={"from_router": outcome}, command="nft list ruleset", host=router.end.host,
        )  # fmt: skip
    if outcome:
        return failed(
            f"{came} arrived at {router.name}, which gets no connection to {target} itself ({outcome})",
            evidence={"from_router": outcome}, command=f"ping -c 3 {quoted(target)}", host=router.end.host,
        )  # fmt: skip
    return unknown(f"{came} arrived at {router.name}, and no answer came back from {target}")


def _outcome(router: Side, target: str) -> str:
    data = router.data("try")
    row = mapping(mapping(data).get(target))
    if row:
        return "connected" if row.get("received") else "timeout"
    return next(
        (text(one.get("outcome")) for one in map(mapping, items(data)) if address(one.get("host")) == target), ""
    )


def listener(case: Case, family: int) -> Finding:
    """Check that a program listens at the target."""
    if case.routed:
        return _listener_behind(case, family)
    side = case.target
    if found := case.listeners(family):
        name = text(mapping(found[0].get("process")).get("name")) or "a program"
        if (queue := waiting(case, family)) and case.outcome(family) == "timeout":
            return failed(
                f"{name} on {side.name} does not accept connections: {queue} wait in its queue",
                command="ss -lnt",
                host=side.end.host,
            )
        absent = "".join(f", not on IPv{other}" for other in case.not_offered)
        return passed(f"{name} listens on {_at(found[0])}{absent}")
    if case.connected(family):
        return passed(f"{case.to(family)} accepts the connection")
    if side.data("listening") is None:
        return unknown(f"{why_not(side, 'listening')}{_refused(case, family)}")
    return _not_listening(case, family)


def _not_listening(case: Case, family: int) -> Finding:
    side = case.target
    others = [row for row in case.bound() if text(row.get("address"))]
    more: dict[str, Any] = {"evidence": {"listening": others}, "command": "ss -lntup", "host": side.end.host}
    if not others:
        return failed(f"nothing listens on {case.what} on {side.name}: is the program running?", **more)
    listed = ", ".join(dict.fromkeys(map(_at, others)))
    return failed(
        f"on {side.name} {case.what} is open only on {listed}: have the program listen on {case.to(family)} or on all addresses",
        **more,
    )


def _listener_behind(case: Case, family: int) -> Finding:
    target, outcome = case.to(family), case.outcome(family)
    if outcome in ("refused", "reset"):
        return failed(
            f"{target} refuses the connection: nothing listens there on {case.what}, or its firewall rejects it"
        )
    return passed(f"{target} answers") if case.connected(family) else unknown(f"{target} was not observed ({outcome})")


def connection(case: Case, family: int) -> Finding:
    """Check that the target answers the source."""
    outcome = case.outcome(family)
    if not outcome:
        return unknown(f"no connection was tried: {why_not(case.source, 'status')}")
    came = opening(case, case.target, IN, family) if case.target.watched else 0
    proof = f"; {packets(came)} arrived at {case.target.name} on {case.target.interface}" if came else ""
    command = _command(case, family)
    if outcome == "connected":
        return passed(f"{case.to(family)} answers {case.what}{proof}", command=command, host=case.source.end.host)
    source, target = case.origin(family), case.to(family)
    answers = _ANSWERS[case.question.service.protocol]
    if case.target.watched and case.source.watched and case.target.packets(OUT, target, source, *answers):
        if case.source.packets(IN, target, source, *answers):
            return failed(
                f"the answer of {case.target.name} came back to {case.source.name} on {case.source.interface}, whose firewall drops it"
                f"{rules(case.source, 'input')}",
                command="nft list ruleset", host=case.source.end.host,
            )  # fmt: skip
        return failed(
            f"{case.target.name} answers, but the answer does not come out of {case.source.interface} on {case.source.name}",
            command=command, host=case.source.end.host,
        )  # fmt: skip
    if case.question.service.protocol == "udp" and outcome == "timeout" and came and case.listeners(family):
        sure = firewall(case, family).state == "passed"
        return (passed if sure else unknown)(f"nothing answered, which UDP need not{proof}")
    return failed(
        f"{case.to(family)} does not answer {case.what} ({outcome}){proof}", command=command, host=case.source.end.host
    )


def _command(case: Case, family: int) -> str:
    if case.question.service.protocol == "icmp":
        return f"ping -c 3 {quoted(case.to(family))}"
    udp = "u" if case.question.service.protocol == "udp" else ""
    return f"nc -v{udp}z -w 5 {quoted(case.to(family))} {case.question.service.port}"


def _refused(case: Case, family: int) -> str:
    outcome = case.outcome(family)
    if outcome in ("refused", "reset"):
        return f"; {case.to(family)} refuses the connection: nothing listens there on {case.what}, or its firewall rejects it"
    return f"; the connection ended with {outcome}" if outcome not in ("", "connected") else ""


def _at(row: dict[str, Any]) -> str:
    bound = address(row.get("address"))
    return f"[{bound}]:{text(row.get('port'))}" if ":" in bound else f"{bound}:{text(row.get('port'))}"


def _sysctl(path: str) -> str:
    return path.removeprefix("/proc/sys/").replace("/", ".")
