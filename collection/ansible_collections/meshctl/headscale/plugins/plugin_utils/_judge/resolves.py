# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what names lead to: nodes of the mesh, names that must not exist, names outside the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, address, addresses, items, mapping, number, text
from .context import CheckContext
from .interfaces import mesh_interfaces
from .lookups import not_resolved, resolved
from .name_causes import why_not_over_tcp, why_not_resolved
from .names import (
    HOSTS,
    QUAD_100,
    Name,
    dns_answer,
    file_text,
    local_stub,
    looked_up,
    name_servers,
    values,
    why_unknown,
)
from .observations import ADDRESSES, DNS, DNS_TCP, FILES, GETADDRINFO, LOOKUPS
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from .check import Check

_DNS_PORT = 53


@dataclass(frozen=True, kw_only=True)
class Names:
    """The expected answers of a host's resolver."""

    present: tuple[Name, ...] = ()
    absent: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    led: Mapping[str, str] = field(default_factory=dict)
    """The addresses that names outside the mesh must lead to, if they are known."""
    budget_ms: float = 1000.0
    wire: bool = True
    resolver: str = QUAD_100
    """Where tailscaled's resolver is on this host."""


def judge_resolves(answer: Json, context: CheckContext, expect: Names) -> list[Check]:
    """Return checks of every name, and checks of where the answers come from."""
    seen = Answer(answer)
    checks = []
    for name in expect.present:
        checks += [
            resolved(seen, context, name, name.fqdn, "name", expect.budget_ms),
            resolved(seen, context, name, name.short, "short", expect.budget_ms),
            _records(seen, context, name, expect),
            _over_tcp(seen, context, name, expect),
            _reverse(seen, context, name, expect),
        ]
    checks += [not_resolved(seen, context, name, aspect="absent") for name in expect.absent]
    checks += [_outside(seen, context, name, expect.led.get(name, "")) for name in expect.outside]
    checks.append(_local(seen, context, expect))
    return [*checks, _wire(seen, context, expect.resolver)] if expect.wire else checks


def _records(seen: Answer, context: CheckContext, name: Name, expect: Names) -> Check:
    resolver, budget_ms = expect.resolver, expect.budget_ms
    rows = {kind: dns_answer(seen, name.fqdn, kind) for kind in ("A", "AAAA")}
    took = [number(row.get("duration_ms")) for row in rows.values()]
    expected = {"name": name.fqdn, "server": resolver, "addresses": list(name.required), "ms": {"at_most": budget_ms}}
    command = f"dig +short @{quoted(resolver)} {quoted(name.fqdn)} A {quoted(name.fqdn)} AAAA"
    if any(not text(row.get("outcome")) for row in rows.values()) or None in took or not name.required:
        why = why_unknown(seen, DNS)
        return context.check(
            None, aspect="dns", target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    known = addresses([value for row in rows.values() for value in values(row)])
    slowest = max(entry for entry in took if entry is not None)
    same = name.leads_to(known) and all(row.get("server") == resolver for row in rows.values())
    outcomes = {kind: text(row.get("outcome")) for kind, row in rows.items()}
    rcodes = {kind: row.get("rcode") for kind, row in rows.items()}
    # Without an address of that family, tailscaled answers NOERROR and no record.
    bad = [kind for kind in rows if outcomes[kind] != "answered" or rcodes[kind] != "NOERROR"]
    observed: dict[str, Any] = {"addresses": known, "rcode": rcodes, "ms": slowest}
    if set(outcomes.values()) != {"answered"}:
        observed["outcome"] = outcomes
    return context.check(
        same and not bad and slowest <= budget_ms,
        aspect="dns",
        target=name.node,
        expected=expected,
        observed=observed,
        evidence={"ttl": [mapping(entry).get("ttl") for row in rows.values() for entry in items(row.get("answers"))]},
        hint=_one_kind_fails(name, resolver, {kind: rows[kind] for kind in bad})
        if same and bad
        else why_not_resolved(seen, name, known, same=same),
        command=command,
    )


def _one_kind_fails(name: Name, resolver: str, bad: Mapping[str, Mapping[str, Any]]) -> str:
    said = ", ".join(f"{kind}: {text(row.get('rcode')) or text(row.get('outcome'))}" for kind, row in bad.items())
    hint = (
        f"{resolver} gives the correct addresses of {name.fqdn}, but does not answer both questions properly ({said}): tailscaled answers "
        "NOERROR, even without a record of that type; read its log, and find out whether another program answers at that address "
        "(`nft list ruleset`)"
    )
    return late(hint) if any(row.get("outcome") == "timeout" for row in bad.values()) else hint


def _over_tcp(seen: Answer, context: CheckContext, name: Name, expect: Names) -> Check:
    """Judge that tailscaled's resolver answers over TCP as well, which programs use for long answers."""
    resolver, budget_ms = expect.resolver, expect.budget_ms
    wanted = [known for known in name.addresses if (":" in known) == (name.kind == "AAAA")]
    row = dns_answer(seen, name.fqdn, name.kind, DNS_TCP)
    outcome, took = text(row.get("outcome")), number(row.get("duration_ms"))
    expected = {"name": name.fqdn, "server": resolver, "over": "tcp", "addresses": wanted, "ms": {"at_most": budget_ms}}
    command = f"dig +short +tcp @{quoted(resolver)} {quoted(name.fqdn)} {quoted(name.kind)}"
    if not outcome or outcome == "broken" or took is None or not wanted:
        why = text(row.get("error")) or (why_unknown(seen, DNS_TCP) if wanted else f"{name.node} has no mesh address")
        return context.check(
            None, aspect="tcp", target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    known = addresses(values(row))
    same = outcome == "answered" and known == wanted
    return context.check(
        same and took <= budget_ms,
        aspect="tcp",
        target=name.node,
        expected=expected,
        observed={"outcome": outcome, "rcode": row.get("rcode"), "addresses": known, "ms": took},
        hint=why_not_over_tcp(seen, name, row, same=same),
        command=command,
    )


def _reverse(seen: Answer, context: CheckContext, name: Name, expect: Names) -> Check:
    budget_ms = expect.budget_ms
    rows = {known: dns_answer(seen, known, "PTR") for known in name.addresses}
    # A client without AAAA records may not know the reverse either, but it must never give another name.
    expected = {"names": dict.fromkeys(name.required, name.fqdn), "ms": {"at_most": budget_ms}}
    command = f"dig +short @{quoted(expect.resolver)} -x {quoted(next(iter(name.addresses), ''))}"
    system = {known: looked_up(seen, known) for known in name.addresses}
    took = [number(row.get("duration_ms")) for row in (*rows.values(), *system.values())]
    if not rows or None in took or any(not text(row.get("outcome")) for row in (*rows.values(), *system.values())):
        why = why_unknown(seen, DNS)
        return context.check(
            None, aspect="reverse", target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    names = {known: ", ".join(value.rstrip(".").lower() for value in values(row)) for known, row in rows.items()}
    slowest = max(entry for entry in took if entry is not None)
    ways = {known: text(row.get("canonical")).rstrip(".").lower() for known, row in system.items()}
    right = all(
        said == name.fqdn or not (said or known in name.required)
        for way in (names, ways)
        for known, said in way.items()
    )
    return context.check(
        bool(name.required) and right and slowest <= budget_ms,
        aspect="reverse",
        target=name.node,
        expected=expected,
        observed={"names": names, "system": ways, "ms": slowest},
        hint=_reverse_hint(seen, name, names, ways),
        command=command,
    )


def _reverse_hint(seen: Answer, name: Name, names: dict[str, str], ways: dict[str, str]) -> str:
    said = next((way for known, way in ways.items() if way and way != names[known]), "")
    if said:
        hosts = (
            f"that comes from {HOSTS}, remove it there"
            if said in (file_text(seen, HOSTS) or "").lower().split()
            else "find out where that comes from"
        )
        return (
            f"the system resolves the addresses of {name.node} to {said}, although tailscaled knows their name: {hosts}"
        )
    if names != ways:
        return f"tailscaled has the reverse of {name.node}'s addresses, but the system does not ask it: see the other resolves checks"
    return f"the reverse of {name.node}'s addresses is not its name: the node's network map is outdated, or MagicDNS is off"


def _local(seen: Answer, context: CheckContext, expect: Names) -> Check:
    """Judge that no name of the mesh is in /etc/hosts: such an entry answers instead of MagicDNS, and never changes."""
    hosts = file_text(seen, HOSTS)
    ours = {known.lower() for name in expect.present for known in (name.fqdn, name.short)} | set(expect.absent)
    lines = [line.split() for line in (hosts or "").splitlines()]
    found = {word: words[0] for words in lines if words for word in words[1:] if word.lower().rstrip(".") in ours}
    return context.check(
        None if hosts is None else not found,
        aspect="local",
        expected={HOSTS: "no name of the mesh"},
        observed=None if hosts is None else found,
        hint=seen.why(FILES) if hosts is None else
        f"{HOSTS} answers for {', '.join(sorted(found))} instead of MagicDNS: remove the entry",
        command=f"cat {HOSTS}",
    )  # fmt: skip


def _outside(seen: Answer, context: CheckContext, name: str, led: str) -> Check:
    found = looked_up(seen, name)
    outcome, known = text(found.get("outcome")), addresses(found.get("addresses"))
    hint = (
        f"{text(found.get('error'))}: names outside the mesh need an upstream, which is dns.nameservers on the server "
        "or the resolver that the host had before"
    )
    if outcome == "found" and led:
        hint = (
            f"{name} should be {led}, but it leads to {', '.join(known)}: the upstream resolver, or a resolver before it, "
            "returns another address"
        )
    # The inventory knows the address of one family.
    right = not led or [one for one in known if (":" in one) == (":" in led)] == [led]
    return context.check(
        (outcome == "found" and bool(known) and right) if outcome else None,
        aspect="outside",
        target=name,
        expected={"name": name, "outcome": "found", **({"address": led} if led else {})},
        observed={"name": name, "outcome": outcome, "addresses": known} if outcome else None,
        hint=hint if outcome else why_unknown(seen, GETADDRINFO),
        command=f"getent ahosts {quoted(name)}",
    )


def wire_marker(fqdn: str) -> str:
    """Return a name's domain as DNS packets encode it, so that a capture can tell these packets from others."""
    return "".join(f"{chr(len(label))}{label}" for label in fqdn.split(".")[1:])


def _wire(seen: Answer, context: CheckContext, resolver: str) -> Check:
    """Judge by the packets which server the system's resolver asked for names of the mesh."""
    capture = mapping(seen.data(LOOKUPS))
    flows = [mapping(flow) for flow in items(capture.get("flows"))]
    elsewhere = _elsewhere(seen, flows, resolver)
    asked, answered = _packets(flows, "marked")
    # A cache cannot have the name that is new each time.
    new = all(list(packets) == [resolver] for packets in _packets(flows, "fresh"))
    expected = {"asked": [resolver], "answered": [resolver]}
    other = sorted(set(asked) - {resolver})
    stub = local_stub(name_servers(seen))
    # A local resolver may have cached some names, but one of them is new each time.
    names = 1 if stub else len(items(mapping(mapping(capture.get("during")).get("getaddrinfo")).get("data")))
    if not capture or number(capture.get("dropped")) != 0:
        ok, hint = None, "packets of the capture were lost" if capture else why_unknown(seen, GETADDRINFO)
    elif not asked and stub:
        ok, hint = (
            False,
            f"the system queries {stub}, which answers for the mesh without querying {resolver}: find out what runs there",
        )
    elif not asked:
        ok, hint = None, "no query was seen on the wire: a cache on the host answered"
    elif not other and asked[resolver] < names and not new:
        ok, hint = (
            None,
            f"{asked[resolver]} questions for {names} names were seen, and {resolver} was not seen to answer the one that no cache can "
            "know: what answers the others is unknown",
        )
    elif elsewhere:
        ok, hint = (
            False,
            f"{resolver} is queried on {', '.join(elsewhere)}, which is not the mesh interface: another program answers there",
        )
    else:
        ok = list(asked) == [resolver] and list(answered) == [resolver]
        hint = f"{', '.join(other)} is queried for names of the mesh" if other else f"{resolver} did not answer"
    return context.check(
        ok,
        aspect="wire",
        expected=expected,
        observed={"asked": sorted(asked), "answered": sorted(answered)} if asked else None,
        evidence={"questions": asked, "answers": answered, "resolv_conf": name_servers(seen)},
        hint=hint,
        command="cat /etc/resolv.conf" if not elsewhere else f"ip route get {quoted(resolver)}",
    )


def _packets(flows: list[dict[str, Any]], what: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many questions with a marker each name server was sent, and how many answers with it came from each."""
    asked: dict[str, int] = {}
    answered: dict[str, int] = {}
    for flow in flows:
        for key, end, counts in (("dport", "dst", asked), ("sport", "src", answered)):
            server, packets = address(flow.get(end)), int(number(flow.get(what)) or 0)
            if flow.get(key) == _DNS_PORT and server and flow.get("interface") != "lo" and packets:
                counts[server] = counts.get(server, 0) + packets
    return asked, answered


def _elsewhere(seen: Answer, flows: list[dict[str, Any]], resolver: str) -> list[str]:
    """Return the interfaces outside the mesh on which tailscaled's address was asked for names of the mesh."""
    inside = mesh_interfaces(seen.data(ADDRESSES))
    asked = [flow for flow in flows if flow.get("dport") == _DNS_PORT and address(flow.get("dst")) == resolver]
    found = {text(flow.get("interface")) for flow in asked if number(flow.get("marked"))}
    # Without a known mesh interface this proves nothing.
    return sorted(found - inside - {"lo"}) if inside else []
