# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges what names lead to: MagicDNS, its reverse, and how fast a change arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, address, addresses, items, mapping, number, text
from .context import CheckContext
from .interfaces import mesh_interfaces

if TYPE_CHECKING:
    from .check import Check

QUAD_100 = "100.100.100.100"
HOSTS, NSSWITCH = "/etc/hosts", "/etc/nsswitch.conf"
_DNS_PORT = 53


@dataclass(frozen=True, kw_only=True)
class Name:
    """A name of a node, the addresses that it must lead to, and all that it may lead to."""

    node: str
    fqdn: str
    addresses: tuple[str, ...]
    families: tuple[int, ...] = (4, 6)

    @property
    def required(self) -> tuple[str, ...]:
        """Return the addresses of the families that are asserted."""
        return tuple(known for known in self.addresses if (6 if ":" in known else 4) in self.families)

    def leads_to(self, found: list[str]) -> bool:
        """Whether these are the node's addresses: all that are required, and none of another node."""
        return bool(self.required) and set(self.required) <= set(found) <= set(self.addresses)

    @property
    def short(self) -> str:
        """Return the name without its domain."""
        return self.fqdn.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Names:
    """What is expected of a host's resolver."""

    present: tuple[Name, ...] = ()
    absent: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    led: Mapping[str, str] = field(default_factory=dict)
    """Where names outside the mesh must lead to, for those of which it is known."""
    budget_ms: float = 1000.0
    wire: bool = True


@dataclass(frozen=True, kw_only=True)
class Propagates:
    """What a change must have become on a host."""

    aspect: str
    budget_s: float
    present: tuple[Name, ...] = ()
    absent: tuple[str, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()


def judge_resolves(answer: Json, context: CheckContext, expect: Names) -> list[Check]:
    """Return checks of every name, and one of where the answers come from."""
    seen = Answer(answer)
    checks = []
    for name in expect.present:
        checks += [
            _system(seen, context, name, name.fqdn, "name", expect.budget_ms),
            _system(seen, context, name, name.short, "short", expect.budget_ms),
            _records(seen, context, name, expect.budget_ms),
            _reverse(seen, context, name, expect.budget_ms),
        ]
    checks += [_absent(seen, context, name, aspect="absent") for name in expect.absent]
    checks += [_outside(seen, context, name, expect.led.get(name, "")) for name in expect.outside]
    checks.append(_local(seen, context, expect))
    return [*checks, _wire(seen, context)] if expect.wire else checks


def judge_propagates(answer: Json, context: CheckContext, expect: Propagates, *, elapsed_s: float) -> list[Check]:
    """Return a check of each name and address after a change; `elapsed_s` is what has passed since."""
    seen = Answer(answer)
    checks = [_system(seen, context, name, name.fqdn, expect.aspect, None) for name in expect.present]
    checks += [_absent(seen, context, name, aspect=expect.aspect) for name in expect.absent]
    checks += [_silent(seen, context, node, known, expect.aspect) for node, known in expect.silent]
    for check in checks:
        check.evidence["after_s"] = round(elapsed_s, 3)
        check.evidence["budget_s"] = expect.budget_s
        if check.verdict == "passed" and elapsed_s > expect.budget_s:
            check.verdict = "failed"
            check.hint = f"{elapsed_s:.1f} s have passed since the change; the budget is {expect.budget_s:g} s"
    return checks


def _looked_up(seen: Answer, name: str) -> dict[str, Any]:
    captured = Answer({"observations": mapping(seen.data("lookups")).get("during")}).data("getaddrinfo")
    rows = [
        mapping(entry) for found in (captured, seen.data("getaddrinfo"), seen.data("outside")) for entry in items(found)
    ]
    return next((row for row in rows if row.get("name") == name), {})


def _asked(seen: Answer, name: str, kind: str) -> dict[str, Any]:
    rows = [mapping(entry) for entry in items(seen.data("dns"))]
    return next((row for row in rows if row.get("name") == name and row.get("type") == kind), {})


def _system(  # noqa: PLR0913, PLR0917
    seen: Answer, context: CheckContext, name: Name, asked: str, aspect: str, budget_ms: float | None
) -> Check:
    found = _looked_up(seen, asked)
    outcome = text(found.get("outcome"))
    took = number(found.get("duration_ms"))
    expected: dict[str, Any] = {"name": asked, "addresses": list(name.required)}
    if budget_ms is not None:
        expected["ms"] = {"at_most": budget_ms}
    command = f"getent ahosts {asked}"
    if not outcome or not name.required or took is None:
        why = _why(seen, "getaddrinfo") if name.required else f"the server has no such address of {name.node}"
        return context.check(
            None, aspect=aspect, target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    known = addresses(found.get("addresses"))
    same = outcome == "found" and name.leads_to(known)
    fast = budget_ms is None or took <= budget_ms
    return context.check(
        same and fast,
        aspect=aspect,
        target=name.node,
        expected=expected,
        observed={"outcome": outcome, "addresses": known, "ms": round(took, 1)},
        evidence={"error": text(found.get("error")), "resolver": _resolver(seen)},
        hint=_resolve_hint(seen, name, known, same=same),
        command=command,
    )


def _why(seen: Answer, kind: str) -> str:
    if seen.data("lookups") is None and seen.error("lookups"):
        return seen.why("lookups")
    return "the resolver did not answer in time" if seen.data(kind) is not None else seen.why(kind)


def _resolver(seen: Answer) -> list[str]:
    return addresses(mapping(seen.data("resolv_conf")).get("nameservers"))


def _resolve_hint(seen: Answer, name: Name, known: list[str], *, same: bool) -> str:
    if same:
        return "the right answer came too late: does a name server in /etc/resolv.conf not answer?"
    if _in_hosts(seen, name) and not set(known) - set(name.addresses):
        return f"{HOSTS} answers for {name.fqdn} in place of MagicDNS: remove the entry"
    if foreign := set(known) - set(name.addresses):
        said = f"{', '.join(sorted(foreign))} is not an address of {name.node}: "
        local = any(entry in (_file(seen, HOSTS) or "").split() for entry in foreign)
        return said + (f"{HOSTS} says so, remove it there" if local else "an old answer, or another server")
    if known and all(":" in missing for missing in set(name.required) - set(known)):
        return (
            "tailscaled gives a node with an IPv4 address no AAAA of its peers unless the policy's nodeAttrs give it "
            "magicdns-aaaa: set that, or leave ipv6 out of families"
        )
    direct = _asked(seen, name.fqdn, "A")
    rightly = direct.get("rcode") == "NOERROR" and set(addresses(_values(direct))) & set(name.addresses)
    # A client that is down still answers by what it knew, but it is no longer what the system asks.
    running = text(mapping(seen.data("status")).get("BackendState")) in ("", "Running")
    if rightly and running:
        return _other_dns(seen, name) or _not_asked(seen)
    client = causes.client(seen) if seen.data("status") is not None else ""
    return client or _other_dns(seen, name) or _not_known(direct, name)


def _not_asked(seen: Answer) -> str:
    servers = _resolver(seen)
    if stub := _stub(servers):
        return (
            f"tailscaled answers rightly, but the host's own resolver {stub} does not pass names of the mesh on to it: "
            "with systemd-resolved, `resolvectl status tailscale0` has to show its servers and domain (restart tailscaled), and "
            "`resolvectl flush-caches` empties its cache"
        )
    if servers and QUAD_100 not in servers:
        return (
            f"tailscaled answers rightly, but the system asks {', '.join(servers)}: --accept-dns is off, or another "
            "program owns /etc/resolv.conf"
        )
    sources = _sources(seen)
    if sources and not {"dns", "resolve"} & set(sources):
        return (
            f"tailscaled answers rightly, but {NSSWITCH} has the system ask no name server for hosts ({' '.join(sources)}): "
            "add dns there"
        )
    searched = mapping(seen.data("resolv_conf")).get("search")
    if servers and searched == []:
        return "tailscaled answers rightly, but /etc/resolv.conf has no search domain: what has rewritten it?"
    return (
        "tailscaled answers rightly, but the system's resolver does not: look for a cache (nscd), and into /etc/hosts"
    )


def _stub(servers: list[str]) -> str:
    """Return the host's own resolver (systemd-resolved, dnsmasq) that the system asks, empty where it asks none."""
    return next((server for server in servers if ip_address(server).is_loopback), "")


def _file(seen: Answer, path: str) -> str | None:
    """Return a file's text without comments; None where it was not read, empty where there is none."""
    found = mapping(mapping(seen.data("files")).get(path))
    if not found:
        return None
    return "\n".join(line.partition("#")[0] for line in text(found.get("text")).splitlines())


def _in_hosts(seen: Answer, name: Name) -> bool:
    words = (_file(seen, HOSTS) or "").lower().split()
    return name.fqdn in words or name.short in words


def _sources(seen: Answer) -> list[str]:
    """Return where the system looks for hosts, in the words of nsswitch.conf."""
    lines = (line.split() for line in (_file(seen, NSSWITCH) or "").splitlines())
    return next((words[1:] for words in lines if words and words[0] == "hosts:"), [])


def _local(seen: Answer, context: CheckContext, expect: Names) -> Check:
    """Judge that no name of the mesh is in /etc/hosts: what stands there answers for MagicDNS, and never changes."""
    hosts = _file(seen, HOSTS)
    ours = {known.lower() for name in expect.present for known in (name.fqdn, name.short)} | set(expect.absent)
    lines = [line.split() for line in (hosts or "").splitlines()]
    found = {word: words[0] for words in lines if words for word in words[1:] if word.lower().rstrip(".") in ours}
    return context.check(
        None if hosts is None else not found,
        aspect="local",
        expected={HOSTS: "no name of the mesh"},
        observed=None if hosts is None else found,
        hint=seen.why("files") if hosts is None else
        f"{HOSTS} answers for {', '.join(sorted(found))} in place of MagicDNS: remove the entry",
        command=f"cat {HOSTS}",
    )  # fmt: skip


def _other_dns(seen: Answer, name: Name) -> str:
    """Return what the client has of MagicDNS that cannot give this name."""
    tailnet = mapping(mapping(seen.data("status")).get("CurrentTailnet"))
    if tailnet.get("MagicDNSEnabled") is False:
        return "MagicDNS is off on the server: set dns.magic_dns there"
    suffix = text(tailnet.get("MagicDNSSuffix")).strip(".").lower()
    if suffix and not name.fqdn.endswith("." + suffix):
        return f"the server's base domain is {suffix}, and {name.fqdn} is not in it: correct dns.base_domain or mesh_domain"
    return ""


def _not_known(direct: dict[str, Any], name: Name) -> str:
    if direct.get("rcode") == "NXDOMAIN":
        return f"tailscaled does not know {name.fqdn}: the server has another name, or the network map is old"
    return f"tailscaled's resolver {QUAD_100} does not answer for {name.fqdn}: is MagicDNS on, the domain right?"


def _values(row: dict[str, Any]) -> list[str]:
    return [text(mapping(entry).get("value")) for entry in items(row.get("answers"))]


def _records(seen: Answer, context: CheckContext, name: Name, budget_ms: float) -> Check:
    rows = {kind: _asked(seen, name.fqdn, kind) for kind in ("A", "AAAA")}
    took = [number(row.get("duration_ms")) for row in rows.values()]
    expected = {"name": name.fqdn, "server": QUAD_100, "addresses": list(name.required), "ms": {"at_most": budget_ms}}
    command = f"dig +short @{QUAD_100} {name.fqdn} A {name.fqdn} AAAA"
    if any(not text(row.get("outcome")) for row in rows.values()) or None in took or not name.required:
        why = _why(seen, "dns")
        return context.check(
            None, aspect="dns", target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    known = addresses([value for row in rows.values() for value in _values(row)])
    slowest = max(entry for entry in took if entry is not None)
    same = name.leads_to(known) and all(row.get("server") == QUAD_100 for row in rows.values())
    observed = {"addresses": known, "rcode": {kind: row.get("rcode") for kind, row in rows.items()}, "ms": slowest}
    return context.check(
        same and slowest <= budget_ms,
        aspect="dns",
        target=name.node,
        expected=expected,
        observed=observed,
        evidence={"ttl": [mapping(entry).get("ttl") for row in rows.values() for entry in items(row.get("answers"))]},
        hint=_resolve_hint(seen, name, known, same=same),
        command=command,
    )


def _reverse(seen: Answer, context: CheckContext, name: Name, budget_ms: float) -> Check:
    rows = {known: _asked(seen, known, "PTR") for known in name.addresses}
    # A client that gives no AAAA of its peers may know nothing of the reverse either; another name it may never give.
    expected = {"names": dict.fromkeys(name.required, name.fqdn), "ms": {"at_most": budget_ms}}
    command = f"dig +short @{QUAD_100} -x {next(iter(name.addresses), '')}"
    system = {known: _looked_up(seen, known) for known in name.addresses}
    took = [number(row.get("duration_ms")) for row in (*rows.values(), *system.values())]
    if not rows or None in took or any(not text(row.get("outcome")) for row in (*rows.values(), *system.values())):
        why = _why(seen, "dns")
        return context.check(
            None, aspect="reverse", target=name.node, expected=expected, observed=None, hint=why, command=command
        )
    names = {known: ", ".join(value.rstrip(".").lower() for value in _values(row)) for known, row in rows.items()}
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
            f"{HOSTS} says so, remove it there"
            if said in (_file(seen, HOSTS) or "").lower().split()
            else "who says so?"
        )
        return f"the system takes the addresses of {name.node} for {said}, where tailscaled has their name: {hosts}"
    if names != ways:
        return f"tailscaled has the reverse of {name.node}'s addresses, but the system does not ask it: see the other checks of resolves"
    return f"the reverse of {name.node}'s addresses is not its name: the node's network map is old, or MagicDNS is off"


def _absent(seen: Answer, context: CheckContext, name: str, *, aspect: str) -> Check:
    found, row = _looked_up(seen, name), _asked(seen, name, "A")
    expected = {"name": name, "outcome": "not-found", "rcode": "NXDOMAIN"}
    outcome, rcode = text(found.get("outcome")), text(row.get("rcode"))
    if outcome not in ("found", "not-found") or row.get("outcome") != "answered":
        why = text(found.get("error")) or f"{QUAD_100} did not answer ({text(row.get('outcome')) or _why(seen, 'dns')})"
        return context.check(
            None,
            aspect=aspect,
            target=name,
            expected=expected,
            observed=None,
            hint=why,
            command=f"getent ahosts {name}",
        )
    leads = ", ".join(addresses(found.get("addresses")) or _values(row))
    return context.check(
        outcome == "not-found" and rcode == "NXDOMAIN",
        aspect=aspect,
        target=name,
        expected=expected,
        observed={"name": name, "outcome": outcome, "rcode": rcode, "addresses": addresses(found.get("addresses"))},
        hint=f"{name} still leads to {leads}: the change has not arrived, or a cache keeps the old answer"
        if leads
        else f"the answer is {rcode}, not NXDOMAIN: a resolver that fails is not one that says no",
        command=f"getent ahosts {name}",
    )


def _outside(seen: Answer, context: CheckContext, name: str, led: str) -> Check:
    found = _looked_up(seen, name)
    outcome, known = text(found.get("outcome")), addresses(found.get("addresses"))
    hint = (
        f"{text(found.get('error'))}: names outside the mesh need an upstream, which is dns.nameservers on the server "
        "or the resolver that the host had before"
    )
    if outcome == "found" and led:
        hint = f"{name} is {led}, and leads to {', '.join(known)}: the upstream resolver, or somebody before it, tells something else"
    return context.check(
        (outcome == "found" and bool(known) and (not led or led in known)) if outcome else None,
        aspect="outside",
        target=name,
        expected={"name": name, "outcome": "found", **({"address": led} if led else {})},
        observed={"name": name, "outcome": outcome, "addresses": known} if outcome else None,
        hint=hint if outcome else _why(seen, "getaddrinfo"),
        command=f"getent ahosts {name}",
    )


def wire_marker(fqdn: str) -> str:
    """Return how a name's domain stands in a DNS packet, so that a capture can tell these packets from others."""
    return "".join(f"{chr(len(label))}{label}" for label in fqdn.split(".")[1:])


def _wire(seen: Answer, context: CheckContext) -> Check:
    """Judge from the packets which server the system's resolver asked for names of the mesh."""
    capture = mapping(seen.data("lookups"))
    flows = [mapping(flow) for flow in items(capture.get("flows"))]
    beside = _beside(seen, flows)
    asked: dict[str, int] = {}
    answered: dict[str, int] = {}
    for flow in flows:
        for key, end, counts in (("dport", "dst", asked), ("sport", "src", answered)):
            server = address(flow.get(end))
            if flow.get(key) == _DNS_PORT and server and flow.get("interface") != "lo":
                counts[server] = counts.get(server, 0) + int(number(flow.get("marked")) or 0)
    asked = {server: packets for server, packets in asked.items() if packets}
    answered = {server: packets for server, packets in answered.items() if packets}
    expected = {"asked": [QUAD_100], "answered": [QUAD_100]}
    other = sorted(set(asked) - {QUAD_100})
    stub = _stub(_resolver(seen))
    # A stub may know some; one of these names was never asked for before.
    names = 1 if stub else len(items(mapping(mapping(capture.get("during")).get("getaddrinfo")).get("data")))
    if not capture or number(capture.get("dropped")) != 0:
        ok, hint = None, "packets of the capture were lost" if capture else _why(seen, "getaddrinfo")
    elif not asked and stub:
        ok, hint = (
            False,
            f"the system asks {stub}, which answers for the mesh without asking {QUAD_100}: what runs there?",
        )
    elif not asked:
        ok, hint = None, "no question was seen on the wire: a cache on the host answered"
    elif not other and asked[QUAD_100] < names:
        ok, hint = (
            None,
            f"{asked[QUAD_100]} questions for {names} names were seen: a cache on the host answers for the rest",
        )
    elif beside:
        ok, hint = (
            False,
            f"{QUAD_100} is asked on {', '.join(beside)}, which is not the mesh's: another program answers there",
        )
    else:
        ok = list(asked) == [QUAD_100] and list(answered) == [QUAD_100]
        hint = f"{', '.join(other)} is asked for names of the mesh" if other else f"{QUAD_100} did not answer"
    return context.check(
        ok,
        aspect="wire",
        expected=expected,
        observed={"asked": sorted(asked), "answered": sorted(answered)} if asked else None,
        evidence={"questions": asked, "answers": answered, "resolv_conf": _resolver(seen)},
        hint=hint,
        command="cat /etc/resolv.conf" if not beside else f"ip route get {QUAD_100}",
    )


def _beside(seen: Answer, flows: list[dict[str, Any]]) -> list[str]:
    """Return the interfaces, other than the mesh's, on which tailscaled's address was asked for names of the mesh."""
    inside = mesh_interfaces(seen.data("addresses"))
    asked = [flow for flow in flows if flow.get("dport") == _DNS_PORT and address(flow.get("dst")) == QUAD_100]
    found = {text(flow.get("interface")) for flow in asked if number(flow.get("marked"))}
    # Where no interface is known to be the mesh's, this says nothing.
    return sorted(found - inside - {"lo"}) if inside else []


def _silent(seen: Answer, context: CheckContext, node: str, known: str, aspect: str) -> Check:
    """Judge that an address over the mesh is not reached any more."""
    result = mapping(mapping(seen.data("icmp")).get(known))
    sent, received = number(result.get("sent")), number(result.get("received"))
    expected = {"address": known, "replies": 0}
    ok = None if not sent or received is None or received < 0 else received == 0
    return context.check(
        ok,
        aspect=aspect,
        family=6 if ":" in known else 4,
        target=node,
        expected=expected,
        observed={"sent": sent, "received": received} if ok is not None else None,
        hint=seen.why("icmp") if ok is None else f"{node} still answers at {known}",
        command=f"ping -c 1 {known}",
    )
