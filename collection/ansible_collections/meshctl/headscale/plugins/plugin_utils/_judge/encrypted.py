# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether traffic over the mesh is encrypted and takes the expected path.

The evidence is a capture on all interfaces, during which the host sends marked echo requests, marked UDP packets and a
TCP connection to every peer, over IPv4 and IPv6. The marker appears unencrypted on the mesh interface, which proves that the
capture would have found it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, address, endpoint, items, mapping, number, text
from .interfaces import mesh_address, mesh_interfaces
from .observations import ADDRESSES, CAPTURE, DISCO, ICMP, ICMP6, METRICS_AFTER, METRICS_BEFORE, PINGS, STATUS, WIRE
from .path import observed_path
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .check import Check
    from .context import CheckContext
    from .path import ExpectedPath

_TRANSPORT = "4"  # WireGuard's message type for data
_ECHO = ("icmp", "icmp6")
UNMARKED = "the capture did not see the marker on the mesh interface, so it would not have seen it elsewhere either"


@dataclass(frozen=True, kw_only=True)
class Encrypted:
    """The expected traffic on the wire."""

    expected_paths: tuple[ExpectedPath, ...]
    count: int = 3


def judge_encrypted(answer: Json, context: CheckContext, expect: Encrypted) -> list[Check]:
    """Return a check of each peer and one of tailscaled's own counters."""
    seen = Answer(answer)
    steps = Answer({"observations": mapping(seen.data(WIRE)), "failure": seen.error(WIRE)})
    capture = mapping(steps.data(CAPTURE))
    flows = [mapping(flow) for flow in items(capture.get("flows"))]
    checks = [_peer(seen, steps, context, expect, way, flows) for way in expect.expected_paths]
    return [*checks, _counters(seen, steps, context, expect)]


def _peer(  # noqa: PLR0913, PLR0917
    seen: Answer,
    steps: Answer,
    context: CheckContext,
    expect: Encrypted,
    way: ExpectedPath,
    flows: list[dict[str, Any]],
) -> Check:
    capture = mapping(steps.data(CAPTURE))
    pings, inside = _pings(capture), mesh_interfaces(steps.data(ADDRESSES))
    sent = {known: _pinged(pings, known, "sent") for known in way.peer.addresses}
    received = {known: _pinged(pings, known, "received") for known in way.peer.addresses}
    path = observed_path(mapping(steps.data(DISCO)).get(way.address))
    wire = _wire(flows, inside, sent, path)
    # One TCP packet to a relay can carry several WireGuard packets.
    needed = expect.count * (len(sent) if path["path"] == "direct" else 1)
    expected: dict[str, Any] = {"marker_in_clear": 0, "path": way.kind, "packets": {"at_least": needed}}
    if way.kind != "relay" and way.hosts:
        expected["endpoint"] = way.hosts
    unproven = _unproven(steps, capture, inside, sent, received)
    hidden = not unproven and any(wire["clear"][known] < count for known, count in sent.items())
    if hidden and (other := _turned(flows, inside, pings, way.peer.addresses)):
        return context.check(
            False, target=way.peer.name, expected=expected, observed={**path, "went_to": other},
            evidence={"sent": sent, "received": received, "seen_on_mesh_interface": wire["clear"]},
            hint=f"traffic to {way.peer.name} leaves for {other}: a NAT rule on this host redirects it (`nft list ruleset`)",
            command="nft list ruleset",
        )  # fmt: skip
    if hidden:
        unproven = UNMARKED
    if not unproven and not wire["leaked"] and steps.data(DISCO) is None:
        unproven = steps.why(DISCO)
    if unproven:
        hint = _client(seen)
        return context.check(
            None, target=way.peer.name, expected=expected, observed=None, hint=unproven + (f"; {hint}" if hint else ""),
            evidence={"wire": wire, "sent": sent, "received": received, "path": path},
        )  # fmt: skip
    observed = {"marker_in_clear": wire["leaked"], **path, "packets": wire["carried"]}
    ours = path["path"] != "direct" or not way.hosts or path["host"] in way.hosts
    right = ours and way.accepts(path["path"])
    carried = wire["carried"] >= needed
    return context.check(
        not wire["leaked"] and carried and right,
        target=way.peer.name,
        expected=expected,
        observed=observed,
        evidence={"sent": sent, "received": received, "flows": wire["flows"], "leaks": wire["leaks"],
                  "seen_on_mesh_interface": wire["clear"]},
        hint=_hint(wire, way, path, carried=carried),
        command=f"tcpdump -ni any {quoted('udp and host ' + text(path.get('host')))}" if path.get("host") else "",
    )  # fmt: skip


def _pings(capture: dict[str, Any]) -> dict[str, Any]:
    """Return the results of the marked echo requests of both families, by address."""
    during = Answer({"observations": mapping(capture.get("during"))})
    families = Answer({"observations": mapping(during.data(PINGS))})
    return {**mapping(families.data(ICMP)), **mapping(families.data(ICMP6))}


def _pinged(pings: dict[str, Any], known: str, key: str) -> int:
    return _count(mapping(pings.get(known)), key)


def _wire(
    flows: list[dict[str, Any]], inside: frozenset[str], mesh: Iterable[str], path: dict[str, Any]
) -> dict[str, Any]:
    """Return the observed marker, and the observed traffic that should carry it."""
    clear = {known: _marked(flows, inside, known) for known in mesh}
    leaks = [flow for flow in flows if text(flow.get("interface")) not in inside and _leaks(flow, clear)]
    if path["path"] == "direct":
        host, port = endpoint(path.get("endpoint"))
        carriers = [f for f in flows if f.get("dst") == host and f.get("dport") == port and f.get("proto") == "udp"]
        # Traffic into the mesh interface or to this host itself has not left the host.
        elsewhere = inside | {"", "lo"}
        carriers = [f for f in carriers if f.get("direction") == "out" and text(f.get("interface")) not in elsewhere]
        carried = sum(int(number(mapping(flow.get("wireguard")).get(_TRANSPORT)) or 0) for flow in carriers)
    else:
        # The packets cannot be told from other traffic to the relay; the check only claims that there was some.
        carriers = [
            f
            for f in flows
            if f.get("proto") == "tcp" and f.get("direction") == "out" and text(f.get("interface")) not in inside
        ]
        carried = sum(_count(flow, "packets") for flow in carriers)
    leaked = sum(_count(flow, "marked") or _count(flow, "packets") for flow in leaks)
    return {"clear": clear, "leaks": leaks[:5], "leaked": leaked, "flows": carriers[:5], "carried": carried}


def _marked(flows: list[dict[str, Any]], inside: frozenset[str], known: str) -> int:
    """Return how many marked echo requests to an address took the mesh interface."""
    echoes = (f for f in flows if text(f.get("interface")) in inside and text(f.get("proto")) in _ECHO)
    return sum(_count(flow, "marked") for flow in echoes if flow.get("dst") == known)


def _turned(flows: list[dict[str, Any]], inside: frozenset[str], pings: dict[str, Any], mesh: tuple[str, ...]) -> str:
    """Return the addresses that got more echo requests than were sent to them; empty if none did."""
    left = {text(flow.get("dst")) for flow in flows if flow.get("direction") == "out"} - set(mesh)
    return ", ".join(sorted(known for known in left if _marked(flows, inside, known) > _pinged(pings, known, "sent")))


def _unproven(
    steps: Answer, capture: dict[str, Any], inside: frozenset[str], sent: dict[str, int], received: dict[str, int]
) -> str:
    """Return why the capture proves nothing, empty if it may."""
    if not capture:
        return steps.why(CAPTURE)
    if why := incomplete(capture):
        return why
    if not sent or not all(sent.values()) or received != sent:
        answered = f"{sum(received.values())} of {sum(sent.values())}"
        return late(f"{answered} marked echo requests were answered: undelivered traffic proves nothing")
    if not inside:
        return steps.why(ADDRESSES) if steps.data(ADDRESSES) is None else "no interface of this host has a mesh address"
    return ""


def incomplete(capture: dict[str, Any]) -> str:
    """Return how many packets a capture has missed, in words; empty if it missed none."""
    if number(capture.get("dropped")) == 0:
        return ""
    return f"the kernel dropped {text(capture.get('dropped')) or 'an unknown number of'} packets of the capture"


def _hint(wire: dict[str, Any], way: ExpectedPath, path: dict[str, Any], *, carried: bool) -> str:
    if wire["leaked"]:
        where = sorted({text(flow.get("interface")) for flow in wire["leaks"]})
        return f"the payload left unencrypted on {', '.join(where)}: that traffic bypasses WireGuard"
    if path["path"] == "none":
        return (
            f"{way.peer.name} answers the echo requests, but no disco ping, so that their path is not known "
            f"(`tailscale ping --c 5 {quoted(way.address)}`)"
        )
    if not carried:
        return (
            "fewer WireGuard packets left for that endpoint than were sent: the path changed meanwhile, or there is "
            "a second path"
        )
    if not way.accepts(path["path"]):
        return way.unlike(path["path"])
    return f"{path.get('host')} is not an address of {way.peer.name} or its router"


def _leaks(flow: dict[str, Any], mesh: Collection[str]) -> bool:
    """Whether an unencrypted packet may belong to the traffic with a peer.

    A marked packet does if one end is the peer's mesh address, or no end is a mesh address. TCP has no marker before it
    is connected: an unmarked packet does if both ends are mesh addresses, and one of them is the peer's.
    """
    ends = (address(flow.get("src")), address(flow.get("dst")))
    about, within = any(end in mesh for end in ends), [mesh_address(end) for end in ends]
    if _count(flow, "marked"):
        return about or not any(within)
    return about and all(within) and flow.get("interface") != "lo"


def _count(flow: dict[str, Any], key: str) -> int:
    return int(number(flow.get(key)) or 0)


def _client(seen: Answer) -> str:
    return causes.client(seen) if seen.data(STATUS) is not None else ""


def _counters(seen: Answer, steps: Answer, context: CheckContext, expect: Encrypted) -> Check:
    pings = _pings(mapping(steps.data(CAPTURE)))
    sent = {"direct": 0, "relay": 0}
    for way in expect.expected_paths:
        kind = observed_path(mapping(steps.data(DISCO)).get(way.address))["path"]
        sent[kind if kind in sent else "relay"] += sum(_pinged(pings, known, "sent") for known in way.peer.addresses)
    before, after = sent_by_path(steps.data(METRICS_BEFORE)), sent_by_path(steps.data(METRICS_AFTER))
    expected = "each path's counter grows by at least as many packets as were sent over it"
    if before is None or after is None or not any(sent.values()):
        why = late("no echo request was sent") if before is not None and after is not None else steps.why(METRICS_AFTER)
        return context.check(None, aspect="counters", expected=expected, observed=None, hint=why)
    grown = {f"{kind}_packets": after[kind] - before[kind] for kind in sent}
    return context.check(
        all(grown[f"{kind}_packets"] >= packets for kind, packets in sent.items()),
        aspect="counters", expected=expected, observed=grown, evidence={"sent": sent, "before": before, "after": after},
        hint=_client(seen)
        or "tailscaled counts fewer packets on that path than were sent over it: the path changed during the measurement",
        command="tailscale metrics",
    )  # fmt: skip


def sent_by_path(metrics: Json) -> dict[str, int] | None:
    """Return how many packets tailscaled has sent directly and by relays; None if it does not report that."""
    samples = items(mapping(metrics).get("tailscaled_outbound_packets_total"))
    if not samples:
        return None
    found = {"direct": 0, "relay": 0}
    for sample in map(mapping, samples):
        path = text(mapping(sample.get("labels")).get("path"))
        found["direct" if path.startswith("direct") else "relay"] += _count(sample, "value")
    return found
