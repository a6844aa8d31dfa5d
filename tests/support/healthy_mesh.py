# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe answers on a healthy mesh of three nodes, and what is expected of it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.addressed import Place, judge_addressed
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.connected import Connected, judge_connected
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.encrypted import Encrypted, judge_encrypted
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.http import Http, judge_http
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.isolated import Isolated, Wall, judge_isolated
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.listening import Listening, judge_listening
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.names import Name
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.path import (
    ExpectedPath,
    Paths,
    Underlay,
    judge_path,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.propagates import Propagates, judge_propagates
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import (
    Reachable,
    judge_reachable,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.registered import (
    Registered,
    Wanted,
    judge_registered,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.rejoins import Rejoins, judge_rejoins
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.steady import judge_steady
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.unreachable import judge_unreachable

NOW = 1_795_000_000.0


def context(assertion: str) -> CheckContext:
    return CheckContext(story="us1", assertion=assertion, source="one", shell="meshctl exec one -- ")  # noqa: S604


def node(number: int, name: str) -> Node:
    return Node(
        name=name, id=str(number), key=f"nodekey:{number}", given_name=name,
        addresses=(f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"),
    )  # fmt: skip


ONE, TWO, THREE = node(1, "one"), node(2, "two"), node(3, "three")
PEERS = (TWO, THREE)
ENDPOINTS = {"two": "203.0.113.3:41642", "three": "10.0.0.11:41643"}
WAYS = (
    ExpectedPath(
        peer=TWO, kind="direct", reason="NAT easy to easy", underlay=Underlay(owned=("10.0.0.10", "203.0.113.3"))
    ),
    ExpectedPath(
        peer=THREE, kind="direct", reason="both are in b", underlay=Underlay(owned=("10.0.0.11", "203.0.113.3"))
    ),
)
WALLS = (Wall(name="two", address="10.0.0.10", mesh="100.64.0.2"),)
NAMES = tuple(
    Name(node=peer.name, fqdn=f"{peer.name}.mesh.internal", addresses=peer.addresses, families=(4,)) for peer in PEERS
)


def seen(data: Any) -> dict[str, Any]:
    return {"kind": "x", "ok": True, "duration_ms": 1.0, "data": data}


def unseen(kind: str, message: str) -> dict[str, Any]:
    return {"kind": "x", "ok": False, "duration_ms": 1.0, "error": {"type": kind, "message": message}}


def answer(**observations: Any) -> dict[str, Any]:
    return {"host": {"hostname": "one", "now": NOW}, "observations": deepcopy(observations)}


def echoed(*addresses: str, sent: int = 3, received: int = 3) -> dict[str, Any]:
    result = {"sent": sent, "received": received, "rtt_ms": [1.5] * received, "errors": [], "lost": sent - received}
    return {address: deepcopy(result) for address in addresses}


def status() -> dict[str, Any]:
    def known(member: Node) -> dict[str, Any]:
        return {"ID": member.id, "PublicKey": member.key, "TailscaleIPs": list(member.addresses), "Online": True}

    return {
        "BackendState": "Running",
        "Health": [],
        "Self": {**known(ONE), "Addrs": ["203.0.113.2:41641", "192.168.1.10:41641"]},
        "Peer": {peer.key: known(peer) for peer in PEERS},
    }


def pinged(endpoint: str = "", derp: str = "") -> dict[str, Any]:
    last = {"err": "", "latency_ms": 1.0, "endpoint": endpoint, "derp": derp, "peer_relay": ""}
    answered = bool(endpoint or derp)
    return {
        "answers": [last] if answered else [], "lost": int(not answered), "answered": answered,
        "direct": bool(endpoint), "last": last if answered else None,
    }  # fmt: skip


def registered_nodes() -> dict[str, Any]:
    return {
        "nodes": [
            {"id": member.id, "nodeKey": member.key, "name": member.name, "givenName": member.name, "online": True,
             "ipAddresses": list(member.addresses), "expiry": "0001-01-01T00:00:00Z", "user": {"name": "default"},
             "tags": [], "lastSeen": "2026-11-22T22:03:42.806268124Z"}
            for member in (ONE, TWO, THREE)
        ]
    }  # fmt: skip


def flow(interface: str, src: str, dst: str, **more: Any) -> dict[str, Any]:
    return {"interface": interface, "direction": "out", "proto": "udp", "src": src, "dst": dst, "sport": 41641,
            "dport": 0, "packets": 3, "bytes": 300, "marked": 0, "wireguard": {}, "disco": 0, **more}  # fmt: skip


def metrics(direct: float) -> list[dict[str, Any]]:
    return [
        {"labels": {"path": "direct_ipv4"}, "value": direct},
        {"labels": {"path": "derp"}, "value": 7.0},
    ]


MESH = [address for peer in PEERS for address in peer.addresses]


def pings(**more: Any) -> dict[str, Any]:
    """Return what became of marked echo requests, those of each family by themselves."""
    four, six = ([peer.address(family) for peer in PEERS] for family in (4, 6))
    return {"icmp": seen(echoed(*four, **more)), "icmp6": seen(echoed(*six, **more))}


def wire() -> dict[str, Any]:
    flows = [
        flow("eth0", "192.168.1.10", "203.0.113.3", dport=41642, wireguard={"4": 6}),
        flow("eth0", "192.168.1.10", "10.0.0.11", dport=41643, wireguard={"4": 7}),
    ]
    for peer in PEERS:
        flows += [flow("tailscale0", ONE.address(4), peer.address(4), proto="icmp", marked=3)]
        flows += [flow("tailscale0", ONE.address(6), peer.address(6), proto="icmp6", marked=3)]
    during = {"pings": seen(pings())}
    return {
        "disco": seen({peer.addresses[0]: pinged(ENDPOINTS[peer.name]) for peer in PEERS}),
        "addresses": seen(links()),
        "metrics_before": seen({"tailscaled_outbound_packets_total": metrics(10.0)}),
        "capture": seen({"flows": flows, "packets": 12, "dropped": 0, "during": during}),
        "metrics_after": seen({"tailscaled_outbound_packets_total": metrics(24.0)}),
    }


def refused(router: str = "192.168.1.1") -> dict[str, Any]:
    error = {"error": "net-unreachable", "from": router, "type": 3, "code": 0}
    return {"sent": 1, "received": 0, "rtt_ms": [], "errors": [error], "lost": 1}


def knocked(protocol: str, port: int, outcome: str = "net-unreachable", by: str = "192.168.1.1") -> dict[str, Any]:
    return {"host": "10.0.0.10", "protocol": protocol, "port": port, "outcome": outcome, "from": by}


def rejected(ttl: Any, refusal_ttl: Any = 64, interface: str = "eth0") -> list[dict[str, Any]]:
    """Return what a capture has of a reset in a host's name, and of its router's refusal."""
    return [
        flow(interface, "10.0.0.10", "192.168.1.10", proto="tcp", direction="in", sport=22, ttl=ttl),
        flow("eth0", "192.168.1.1", "192.168.1.10", proto="icmp", direction="in", sport=0, ttl=refusal_ttl),
    ]


def looked_up(name: str, *addresses: str) -> dict[str, Any]:
    return {"name": name, "outcome": "found" if addresses else "not-found", "addresses": list(addresses),
            "duration_ms": 2.0}  # fmt: skip


def backwards(known: str, name: str) -> dict[str, Any]:
    """Return what the system takes an address for."""
    return {
        "name": known,
        "outcome": "found" if name else "not-found",
        "addresses": [],
        "canonical": name,
        "duration_ms": 2.0,
    }


def asked(name: str, kind: str, *values: str, rcode: str = "NOERROR") -> dict[str, Any]:
    rows = [{"name": name, "type": kind, "ttl": 5, "value": value} for value in values]
    return {"name": name, "type": kind, "server": "100.100.100.100", "outcome": "answered", "rcode": rcode,
            "answers": rows, "duration_ms": 0.5}  # fmt: skip


def lookups() -> dict[str, Any]:
    mesh = [looked_up(asking, name.addresses[0]) for name in NAMES for asking in (name.fqdn, name.short)]
    mesh.append(looked_up("meshctl-0123456789abcdef.mesh.internal"))
    flows = [
        flow("tailscale0", "100.64.0.1", "100.100.100.100", dport=53, sport=4000, marked=10),
        flow("tailscale0", "100.100.100.100", "100.64.0.1", dport=4000, sport=53, direction="in", marked=10),
    ]
    return {"flows": flows, "packets": 8, "dropped": 0, "during": {"getaddrinfo": seen(mesh)}}


def dns() -> list[dict[str, Any]]:
    rows = [asked(name.fqdn, "A", name.addresses[0]) for name in NAMES]
    rows += [asked(name.fqdn, "AAAA") for name in NAMES]
    rows += [asked(known, "PTR", f"{name.fqdn}.") for name in NAMES for known in name.addresses]
    return [*rows, asked("gone.mesh.internal", "A", rcode="NXDOMAIN")]


PLACE = Place(address="192.168.1.10", cidr="192.168.1.0/24", gateway="192.168.1.1", elsewhere=("10.0.0.0/24",))


def links() -> list[dict[str, Any]]:
    return [
        {"name": "lo", "type": "loopback", "up": True, "carrier": True, "addresses": ["127.0.0.1/8", "::1/128"]},
        {"name": "eth0", "type": "ether", "up": True, "carrier": True, "addresses": ["192.168.1.10/24", "fe80::1/64"]},
        {"name": "tailscale0", "type": "none", "up": True, "carrier": True, "addresses": ["100.64.0.1/32"]},
    ]


def routes() -> dict[str, Any]:
    known = [{"dst": "default", "gateway": "192.168.1.1", "dev": "eth0"}, {"dst": "192.168.1.0/24", "dev": "eth0"},
             {"dst": "100.64.0.2", "dev": "tailscale0", "table": "52"}]  # fmt: skip
    return {"routes": known, "get": {}}


# For each judge: a healthy answer, and how it is judged.
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "reachable": (
        answer(icmp=seen(echoed(*MESH))),
        lambda found: judge_reachable(found, context("reachable"), Reachable(peers=PEERS)),
    ),
    "reachable.steady": (
        answer(steady=seen(echoed(*MESH, sent=20, received=20)), large=seen(echoed(*MESH))),
        lambda found: judge_steady(found, context("reachable.steady"), Reachable(peers=PEERS)),
    ),
    "addressed": (
        answer(addresses=seen(links()), routes=seen(routes())),
        lambda found: judge_addressed(found, context("addressed"), PLACE),
    ),
    "connected": (
        answer(status=seen(status())),
        lambda found: judge_connected(found, context("connected"), Connected(own=ONE, peers=PEERS)),
    ),
    "registered": (
        answer(nodes=seen(registered_nodes())),
        lambda found: judge_registered(
            found, context("registered"),
            Registered(nodes=(Wanted(name="one", key="nodekey:1"), Wanted(name="two")), user="default"),
        ),
    ),
    "path": (
        answer(disco=seen({peer.addresses[0]: pinged(ENDPOINTS[peer.name]) for peer in PEERS})),
        lambda found: judge_path(found, context("path"), Paths(expected_paths=WAYS)),
    ),
    "rejoins": (
        answer(status=seen(status()), icmp=seen(echoed(*MESH))),
        lambda found: judge_rejoins(
            found, context("rejoins"), Rejoins(before=ONE, peers=PEERS, aspect="down", budget_s=30), elapsed_s=2.0
        ),
    ),
    "encrypted": (
        answer(wire=seen(wire())),
        lambda found: judge_encrypted(found, context("encrypted"), Encrypted(expected_paths=WAYS)),
    ),
    "isolated": (
        answer(
            icmp=seen({"10.0.0.10": refused(), **echoed("100.64.0.2")}),
            knock=seen([knocked("tcp", 22), knocked("udp", 53), knocked("sctp", 0), knocked("gre", 0)]),
        ),
        lambda found: judge_isolated(
            found,
            context("isolated"),
            Isolated(walls=tuple(replace(wall, udp=(53,)) for wall in WALLS), protocols=("sctp", "gre")),
        ),
    ),
    "unreachable": (
        answer(icmp=seen(echoed(*TWO.addresses, received=0)), status=seen(status())),
        lambda found: judge_unreachable(found, context("unreachable"), (TWO,)),
    ),
    "listening": (
        answer(listening=seen([{"proto": "tcp", "address": "100.64.0.1", "port": 80, "process": None}])),
        lambda found: [
            judge_listening(found, context("listening"), Listening(port=80, addresses=("100.64.0.1",)))
        ],
    ),
    "http": (
        answer(http=seen([{"url": "http://two/", "outcome": "answered", "status": 200, "body": "hello mesh",
                           "address": "100.64.0.2", "timings": {}}])),
        lambda found: judge_http(
            found, context("http"), Http(urls=("http://two/",), body="hello", addresses=("100.64.0.2",), target="two")
        ),
    ),
    "resolves": (
        answer(
            lookups=seen(lookups()),
            getaddrinfo=seen([
                looked_up("gone.mesh.internal"), looked_up("outside.test", "203.0.113.10"),
                *(backwards(known, name.fqdn) for name in NAMES for known in name.addresses),
            ]),
            dns=seen(dns()),
            dns_tcp=seen([asked(name.fqdn, "A", name.addresses[0]) for name in NAMES]),
            resolv_conf=seen({"nameservers": ["100.100.100.100"], "search": ["mesh.internal"]}),
            files=seen({"/etc/hosts": {"text": "127.0.0.1 localhost\n"}, "/etc/nsswitch.conf": {"text": "hosts: files dns\n"}}),
        ),
        lambda found: judge_resolves(
            found, context("resolves"), Names(present=NAMES, absent=("gone.mesh.internal",), outside=("outside.test",))
        ),
    ),
    "propagates": (
        answer(
            getaddrinfo=seen([looked_up("two.mesh.internal", "100.64.0.2"), looked_up("gone.mesh.internal")]),
            dns=seen(dns()),
            icmp=seen(echoed("100.64.0.9", received=0)),
        ),
        lambda found: judge_propagates(
            found, context("propagates"),
            Propagates(aspect="renamed", budget_s=30, present=NAMES[:1], absent=("gone.mesh.internal",),
                       silent=(("nine", "100.64.0.9"),)),
            elapsed_s=1.0,
        ),
    ),
}  # fmt: skip
