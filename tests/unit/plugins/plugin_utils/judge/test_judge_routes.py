# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes and exit nodes: a healthy answer passes, a broken one fails, and its hint says why."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.behind import Listener
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.egress import Egress, judge_egress
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.forwards import judge_exit, judge_forwards, ready
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.routed import Routed, Way, judge_routed
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.served import Served, judge_served, state_of
from healthy_mesh import context

TWO = Node(name="two", id="2", key="nodekey:2", addresses=("100.64.0.2",))
THREE = Node(name="three", id="3", key="nodekey:3", addresses=("100.64.0.3",))
PREFIX = "10.0.0.0/24"
LINKS = [
    {"name": "eth0", "addresses": ["192.168.1.10/24"]},
    {"name": "tailscale0", "addresses": ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"]},
]


def answer(**observations: Any) -> dict[str, Any]:
    return {"observations": {name: {"ok": True, "data": data} for name, data in observations.items()}}


def by_id(checks: list[Check]) -> dict[str, Check]:
    return {f"{check.id} {check.target}": check for check in checks}


# -- served ------------------------------------------------------------------------------------------------------------

SERVED = Served(routers={"two": TWO, "three": THREE}, prefixes={PREFIX: ("two", "three")})


GONE = {"subnetRoutes": [], "online": False}


def nodes(**changes: dict[str, Any]) -> dict[str, Any]:
    found = []
    for name, node in (("two", TWO), ("three", THREE)):
        record = {
            "id": node.id,
            "nodeKey": node.key,
            "online": True,
            "availableRoutes": [PREFIX],
            "approvedRoutes": [PREFIX],
            "subnetRoutes": [PREFIX] if name == "two" else [],
        }
        found.append(record | changes.get(name, {}))
    return answer(nodes={"nodes": found})


def test_a_served_route_passes() -> None:
    checks = judge_served(nodes(), context("served"), SERVED)
    assert {check.verdict for check in checks} == {"passed"}
    assert [check.aspect for check in checks] == ["advertised", "approved", "advertised", "approved", "serving"]
    assert state_of(nodes(), SERVED)["two"]["serving"] == [PREFIX]


@pytest.mark.parametrize(
    ("changes", "expect", "name", "hint"),
    [
        ({"two": {"availableRoutes": []}}, SERVED, "us1.served.advertised two", "two does not advertise 10.0.0.0/24, but nothing"),
        ({"two": {"approvedRoutes": []}}, SERVED, "us1.served.approved two", "is not approved, but nothing"),
        ({"two": GONE, "three": GONE}, SERVED, "us1.served.serving 10.0.0.0/24", "no router of 10.0.0.0/24 is online: two, three"),
        ({"three": {"subnetRoutes": [PREFIX]}}, SERVED, "us1.served.serving 10.0.0.0/24", "serve 10.0.0.0/24 at the same time"),
        ({}, replace(SERVED, by={PREFIX: "three"}), "us1.served.serving 10.0.0.0/24", "two serves 10.0.0.0/24 instead of three"),
        ({}, replace(SERVED, approved=False), "us1.served.approved two", "without having been approved here"),
        ({"two": {"subnetRoutes": []}}, SERVED, "us1.served.serving 10.0.0.0/24", "does not serve it through them"),
        ({"two": {"nodeKey": "nodekey:9", "id": "9"}}, SERVED, "us1.served.advertised two", "the server does not know two"),
    ],
)  # fmt: skip
def test_a_route_that_is_not_served_says_why(changes: dict[str, Any], expect: Served, name: str, hint: str) -> None:
    check = by_id(judge_served(nodes(**changes), context("served"), expect))[name]
    assert check.verdict == "failed"
    assert hint in check.hint


def test_a_silent_server_is_an_error() -> None:
    broken = {"observations": {"nodes": {"ok": False, "error": {"message": "it does not answer"}}}}
    (check,) = judge_served(broken, context("served"), SERVED)
    assert (check.verdict, check.hint) == ("error", "it does not answer")


# -- routed ------------------------------------------------------------------------------------------------------------

WAY = Way(
    prefix=PREFIX, target="nas", address="10.0.0.20", routers=("two", "three"), echoes=True, sources=("10.0.0.10",)
)
ROUTED = Routed(ways=(WAY,), nodes={"two": TWO, "three": THREE})
BULK = "source 10.0.0.10\n" + ("." * 1023 + "\n") * 48 + "end\n"
PEERS = {
    "a": {"HostName": "two", "PublicKey": TWO.key, "Online": True, "AllowedIPs": ["100.64.0.2/32", PREFIX]},
    "b": {"HostName": "three", "PublicKey": THREE.key, "Online": True, "AllowedIPs": ["100.64.0.3/32"]},
}


def reached(*, source: str = "10.0.0.10", device: str = "tailscale0") -> dict[str, Any]:
    return answer(
        addresses=LINKS,
        routes={"get": {"10.0.0.20": {"dev": device}}},
        icmp={"10.0.0.20": {"sent": 3, "received": 3, "rtt_ms": [1.0], "errors": []}},
        http=[
            {"url": "http://10.0.0.20/", "outcome": "answered", "body": f"source {source}\n"},
            {"url": "http://10.0.0.20/bulk", "outcome": "answered", "body": BULK},
        ],
        status={"BackendState": "Running", "Self": {"Online": True}, "Peer": deepcopy(PEERS)},
        prefs={"RouteAll": True},
    )


def silent(**changes: Any) -> dict[str, Any]:
    found = reached()
    seen = found["observations"]
    seen["icmp"]["data"]["10.0.0.20"]["received"] = 0
    seen["http"]["data"] = [
        {"url": url, "outcome": "timeout"} for url in ("http://10.0.0.20/", "http://10.0.0.20/bulk")
    ]
    for name, data in changes.items():
        seen[name] = {"ok": True, "data": data}
    return found


def test_a_route_that_leads_to_its_target_passes() -> None:
    checks = judge_routed(reached(), context("routed"), ROUTED)
    assert [(check.aspect, check.verdict) for check in checks] == [
        (aspect, "passed") for aspect in ("route", "icmp", "tcp", "source", "bulk")
    ]


def _status(**peers: dict[str, Any]) -> dict[str, Any]:
    found = deepcopy(PEERS)
    for name, changes in peers.items():
        found[name] |= changes
    return {"BackendState": "Running", "Self": {"Online": True}, "Peer": found}


@pytest.mark.parametrize(
    ("seen", "expect", "hint"),
    [
        (silent(prefs={"RouteAll": False}), ROUTED, "does not accept routes"),
        (silent(status=_status(a={"AllowedIPs": []})), ROUTED, "no peer of this node has the route 10.0.0.0/24"),
        (silent(status=_status(a={"AllowedIPs": []})), replace(ROUTED, state={"two": {"serving": [PREFIX]}}), "its policy does not let this node reach"),
        (silent(status=_status(a={"AllowedIPs": []})), replace(ROUTED, state={"two": {"advertised": [PREFIX]}}), "has not approved 10.0.0.0/24 of two"),
        (silent(status=_status(b={"AllowedIPs": ["10.0.0.16/28"]})), ROUTED, "three takes it with the prefix 10.0.0.16/28"),
        (silent(), replace(ROUTED, via="three", specific="10.0.0.20/32"), "and not three with 10.0.0.20/32"),
        (silent(status=_status(b={"AllowedIPs": ["10.0.0.20/32"]})), replace(ROUTED, specific="10.0.0.20/32"), "the router's firewall"),
        (silent(status=_status(a={"PublicKey": "nodekey:9"})), ROUTED, "two serves 10.0.0.0/24, and mesh_routes names two, three"),
        (silent(status=_status(a={"Online": False})), ROUTED, "reports the router two as offline"),
        (silent(routes={"get": {"10.0.0.20": {"dev": "eth0"}}}), ROUTED, "the kernel does not use it"),
        (silent(status={"BackendState": "Stopped"}), ROUTED, "the client is Stopped"),
        (silent(), replace(ROUTED, routers={"two": {"forwarding4": False}}), "the router two does not forward packets: set net.ipv4.ip_forward there"),
        (silent(), replace(ROUTED, routers={"two": {"forwarding4": False, "switched_off": {"4": "net.ipv4.conf.tailscale0.forwarding"}}}),
         "set net.ipv4.conf.tailscale0.forwarding there"),
        (silent(), replace(ROUTED, routers={"two": {"netfilter": False}}), "the router two sets no rules (--netfilter-mode=off)"),
        (silent(), replace(ROUTED, routers={"two": {"forwarding6": False}}), "the router's firewall drops"),
        (silent(), replace(ROUTED, routers={"two": {"unreached": [PREFIX]}}), "the router two does not reach nas"),
        (silent(), replace(ROUTED, routers={"two": {"unreached": ["fd00:b::/64"]}}), "the router's firewall drops"),
        (silent(), replace(ROUTED, routers={"two": {"masquerades": False}}), "needs a route back to the mesh"),
        (silent(), ROUTED, "the router's firewall drops"),
    ],
)  # fmt: skip
def test_a_target_that_is_not_reached_says_why(seen: dict[str, Any], expect: Routed, hint: str) -> None:
    checks = by_id(judge_routed(seen, context("routed"), expect))
    assert checks["us1.routed.icmp nas"].verdict == "failed"
    assert hint in checks["us1.routed.icmp nas"].hint
    assert checks["us1.routed.tcp nas"].verdict == "failed"
    assert checks["us1.routed.source nas"].verdict == "error"


def test_a_wrong_source_and_a_lost_transfer_fail() -> None:
    seen = reached(source="10.0.0.77")
    seen["observations"]["http"]["data"][1] = {"url": "http://10.0.0.20/bulk", "outcome": "timeout"}
    checks = by_id(judge_routed(seen, context("routed"), ROUTED))
    assert "sees 10.0.0.77 instead of 10.0.0.10" in checks["us1.routed.source nas"].hint
    assert "large packets are lost behind the router" in checks["us1.routed.bulk nas"].hint
    assert checks["us1.routed.tcp nas"].verdict == "passed"


def test_what_must_not_be_reached_passes_if_it_is_silent_and_unrouted() -> None:
    expect = replace(ROUTED, absent=True, aspect="unapproved")
    quiet = silent(routes={"get": {"10.0.0.20": {"dev": "eth0"}}})
    checks = judge_routed(quiet, context("routed"), expect)
    assert [(check.id, check.verdict) for check in checks] == [
        ("us1.routed.route.unapproved", "passed"),
        ("us1.routed.silent.unapproved", "passed"),
    ]
    assert {check.verdict for check in judge_routed(reached(), context("routed"), expect)} == {"failed"}
    assert {check.verdict for check in judge_routed({}, context("routed"), expect)} == {"error"}


def test_a_target_that_listens_is_tried_over_udp_as_well() -> None:
    listener = Listener(host="10.0.0.20", token="t", tcp=40001, udp=40002)
    expect = replace(ROUTED, ways=(replace(WAY, listener=listener),))
    seen = reached()
    udp = {"outcome": "timeout", "answered": []}
    opened = {"tcp": {"40001": {"tried": 24, "opened": 24, "lost": 0, "refused": 0}}}
    row = {
        "tcp": {"outcome": "answered"},
        "udp": udp,
        "bulk": {"outcome": "answered", "stage": "done"},
        "opened": opened,
    }
    seen["observations"]["exchange"] = {"ok": True, "data": {"10.0.0.20": row}}
    checks = {check.aspect: check for check in judge_routed(seen, context("routed"), expect)}
    assert [name for name, check in checks.items() if check.bad] == ["udp"]
    assert "the firewall of the router two or three drops or rejects UDP" in checks["udp"].hint
    serving = replace(expect, state={"three": {"serving": [PREFIX]}})
    assert "the router three" in judge_routed(seen, context("routed"), serving)[5].hint
    # Where one router is named, the routers fail over, and the rest was tried before.
    assert [check.aspect for check in judge_routed(seen, context("routed"), replace(expect, via="two"))][-1] == "udp"
    row["udp"] = {"outcome": "answered", "seen": {"from": "10.0.0.10"}}
    quiet = silent(exchange={"10.0.0.20": row}, routes={"get": {"10.0.0.20": {"dev": "eth0"}}})
    absent = judge_routed(quiet, context("routed"), replace(expect, absent=True))
    assert [check.verdict for check in absent] == ["passed", "failed"]


WAY6 = Way(
    prefix="fd00:b::/64", target="nas", address="fd00:b::20", routers=("two",), echoes=True, sources=("fd00:b::10",)
)


def test_both_families_of_one_target_are_told_apart() -> None:
    seen = reached()
    data = {name: entry["data"] for name, entry in seen["observations"].items()}
    data["routes"]["get"]["fd00:b::20"] = {"dev": "tailscale0"}
    data["icmp"]["fd00:b::20"] = {"sent": 3, "received": 0, "rtt_ms": [], "errors": []}
    data["http"] += [{"url": f"http://[fd00:b::20]/{path}", "outcome": "timeout"} for path in ("", "bulk")]
    data["status"]["Peer"]["a"]["AllowedIPs"].append("fd00:b::/64")
    expect = replace(ROUTED, ways=(WAY, WAY6), routers={"two": {"forwarding4": True, "forwarding6": False}})
    checks = judge_routed(answer(**data), context("routed"), expect)
    assert {check.verdict for check in checks if check.family == "ipv4"} == {"passed"}
    bad = {check.aspect: check for check in checks if check.family == "ipv6"}
    assert [check.verdict for check in bad.values()] == ["passed", "failed", "failed", "error", "failed"]
    assert "set net.ipv6.conf.all.forwarding there" in bad["icmp"].hint
    assert bad["icmp"].reproduce.endswith("ping -c 3 fd00:b::20")
    absent = judge_routed(answer(**data), context("routed"), replace(expect, absent=True))
    assert {check.aspect: check.verdict for check in absent if check.family == "ipv6"} == {
        "route": "failed",
        "silent": "passed",
    }


def test_a_wrong_ipv6_source_is_named() -> None:
    seen = reached()
    data = {name: entry["data"] for name, entry in seen["observations"].items()}
    body = "source fd7a:115c:a1e0::2\n"
    data["http"] = [{"url": "http://[fd00:b::20]/", "outcome": "answered", "body": body}]
    del data["status"]
    checks = by_id(judge_routed(answer(**data), context("routed"), replace(ROUTED, ways=(WAY6,))))
    assert "nas sees fd7a:115c:a1e0::2 instead of fd00:b::10" in checks["us1.routed.source nas"].hint


def test_an_existing_target_answers_on_its_port() -> None:
    way = replace(WAY, echoes=False, port=631)
    seen = reached()
    for outcome, verdict in (("connected", "passed"), ("refused", "failed")):
        seen["observations"]["tcp"] = {"ok": True, "data": [{"host": "10.0.0.20", "port": 631, "outcome": outcome}]}
        checks = by_id(judge_routed(seen, context("routed"), replace(ROUTED, ways=(way,))))
        assert checks["us1.routed.tcp nas"].verdict == verdict


# -- forwards ----------------------------------------------------------------------------------------------------------


def router(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "files": {"/proc/sys/net/ipv4/ip_forward": {"text": "1\n"}},
        "prefs": {"AdvertiseRoutes": [PREFIX], "NoSNAT": False},
        "addresses": LINKS,
        "routes": {"get": {"10.0.0.20": {"dev": "eth0"}}},
        "icmp": {"10.0.0.20": {"sent": 2, "received": 2}},
    }
    return answer(**{**found, **changes})


def test_a_router_that_is_ready_passes() -> None:
    assert {check.verdict for check in judge_forwards(router(), context("forwards"), (WAY,))} == {"passed"}
    assert ready(router(), (WAY,)) == {
        "forwarding4": True, "forwarding6": None, "switched_off": {}, "masquerades": True, "netfilter": True, "unreached": [],
    }  # fmt: skip


def test_a_router_is_judged_in_each_family() -> None:
    files = {
        "/proc/sys/net/ipv4/ip_forward": {"text": "1\n"},
        "/proc/sys/net/ipv6/conf/all/forwarding": {"text": "0\n"},
    }
    checks = judge_forwards(router(files=files), context("forwards"), (WAY, WAY6))
    forwarding = {check.family: check for check in checks if check.aspect == "forwarding"}
    assert (forwarding["ipv4"].verdict, forwarding["ipv6"].verdict) == ("passed", "failed")
    assert "sysctl -w net.ipv6.conf.all.forwarding=1" in forwarding["ipv6"].hint
    advertised = {check.family: check.verdict for check in checks if check.aspect == "advertised"}
    assert advertised == {"ipv4": "passed", "ipv6": "failed"}
    assert ready(router(files=files), (WAY, WAY6))["forwarding6"] is False


@pytest.mark.parametrize(
    ("changes", "aspect", "hint"),
    [
        (
            {"files": {"/proc/sys/net/ipv4/ip_forward": {"text": "0\n"}}},
            "forwarding",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
        (
            {
                "files": {
                    "/proc/sys/net/ipv4/ip_forward": {"text": "1"},
                    "/proc/sys/net/ipv4/conf/tailscale0/forwarding": {"text": "0\n"},
                }
            },
            "forwarding",
            "sysctl -w net.ipv4.conf.tailscale0.forwarding=1",
        ),
        ({"prefs": {"AdvertiseRoutes": None}}, "advertised", "does not advertise 10.0.0.0/24"),
        ({"icmp": {"10.0.0.20": {"received": 0}}}, "target", "does not reach nas (10.0.0.20)"),
        ({"routes": {"get": {"10.0.0.20": {"dev": "tailscale0"}}}}, "target", "must not accept routes"),
    ],
)
def test_a_router_that_is_not_ready_says_why(changes: dict[str, Any], aspect: str, hint: str) -> None:
    checks = {check.aspect: check for check in judge_forwards(router(**changes), context("forwards"), (WAY,))}
    assert checks.pop(aspect).hint.count(hint) == 1
    assert {check.verdict for check in checks.values()} == {"passed"}


def test_a_router_that_was_not_asked_is_an_error() -> None:
    assert {check.verdict for check in judge_forwards({}, context("forwards"), (WAY,))} == {"error"}


@pytest.mark.parametrize(
    ("changes", "family", "aspect", "hint"),
    [
        ({}, "ipv4", "", ""),
        ({"files": {"/proc/sys/net/ipv4/ip_forward": {"text": "0"}}}, "ipv4", "forwarding", "sysctl -w net.ipv4.ip_forward=1"),
        ({"files": {"/proc/sys/net/ipv4/ip_forward": {"text": "1"}, "/proc/sys/net/ipv6/conf/all/forwarding": {"text": "0"}}},
         "ipv6", "forwarding", "sysctl -w net.ipv6.conf.all.forwarding=1"),
        ({"prefs": {"AdvertiseRoutes": ["0.0.0.0/0"]}}, "ipv6", "advertised", "does not advertise itself as an exit node"),
    ],
)  # fmt: skip
def test_an_exit_node_forwards_and_advertises_itself(
    changes: dict[str, Any], family: str, aspect: str, hint: str
) -> None:
    switches = {"/proc/sys/net/ipv4/ip_forward": {"text": "1"}, "/proc/sys/net/ipv6/conf/all/forwarding": {"text": "1"}}
    healthy = {
        "files": switches, "prefs": {"AdvertiseRoutes": ["0.0.0.0/0", "::/0", PREFIX]},
        "routes": {"get": {"198.51.100.7": {"dev": "eth0"}, "2001:db8::7": {"dev": "eth0"}}},
    }  # fmt: skip
    checks = judge_exit(router(**{**healthy, **changes}), context("forwards"))
    assert {check.target for check in checks} == {"internet"}
    failed = [(check.family, check.aspect) for check in checks if check.verdict == "failed"]
    assert failed == ([(family, aspect)] if aspect else [])
    assert all(hint in check.hint for check in checks if check.verdict == "failed")


@pytest.mark.parametrize("route", [{}, {"2001:db8::7": {"dev": "tailscale0"}}])
def test_an_exit_node_without_ipv6_of_its_own_need_not_forward_it(route: dict[str, Any]) -> None:
    seen = router(
        prefs={"AdvertiseRoutes": ["0.0.0.0/0", "::/0"]}, routes={"get": {"198.51.100.7": {"dev": "eth0"}, **route}}
    )
    checks = judge_exit(seen, context("forwards"))
    assert [(check.aspect, check.family, check.verdict) for check in checks] == [
        ("forwarding", "ipv4", "passed"), ("advertised", "ipv4", "passed"), ("advertised", "ipv6", "passed"),
    ]  # fmt: skip
    assert {check.verdict for check in judge_exit({}, context("forwards"))} == {"error"}


# -- egress ------------------------------------------------------------------------------------------------------------

EGRESS = Egress(
    exit="two", node=TWO, web="web", web_address="203.0.113.80", sources=("203.0.113.3",), names=("outside.lab.test",),
    neighbour="printer", neighbour_address="192.168.1.20", own_address="192.168.1.10", probed=("198.51.100.7", "2001:db8::7"),
)  # fmt: skip
WEB, NEAR = "http://203.0.113.80/", "http://192.168.1.20/"


def flow(dst: str, **more: Any) -> dict[str, Any]:
    return {"interface": "eth0", "direction": "out", "proto": "udp", "dst": dst, "dport": 9, "marked": 0} | more


def using(**peer: Any) -> dict[str, Any]:
    return {"BackendState": "Running", "ExitNodeStatus": {"ID": "2"}, "Peer": {"a": {"PublicKey": TWO.key} | peer}}


def outside(*flows: dict[str, Any], source: str = "203.0.113.3", near: str = "timeout", **more: Any) -> dict[str, Any]:
    pages = [
        {"url": WEB, "outcome": "answered" if source else "timeout", "body": f"source {source}\n"},
        {"url": NEAR, "outcome": near, "body": "source 192.168.1.10\n" if near == "answered" else ""},
    ]
    names = [{"name": "outside.lab.test", "addresses": ["203.0.113.10"]}]
    hidden = [flow("203.0.113.3", dport=41642), flow("203.0.113.80", interface="tailscale0", marked=3)]
    alive = {"100.64.0.2": {"received": 3}}
    seen = {
        "addresses": LINKS,
        "http": pages,
        "getaddrinfo": names,
        "capture": {"flows": [*hidden, *flows], "packets": 100, "dropped": 0},
        "alive": alive,
        "icmp": {"203.0.113.80": {"received": 2 if source else 0}},
    }
    return answer(**{**seen, **more})


def test_an_exit_node_that_leads_outside_passes() -> None:
    checks = judge_egress(outside(), context("egress"), EGRESS)
    assert [(check.aspect, check.verdict) for check in checks] == [
        (aspect, "passed") for aspect in ("answers", "address", "icmp", "leak", "dns", "lan")
    ]
    beside = replace(EGRESS, neighbour_reached=True)
    near = outside(flow("192.168.1.20", proto="tcp", dport=80), near="answered")
    assert {check.verdict for check in judge_egress(near, context("egress"), beside)} == {"passed"}


@pytest.mark.parametrize(
    ("seen", "aspect", "hint"),
    [
        (outside(source="203.0.113.2"), "address", "bypasses the exit node two"),
        (outside(source="", status={"BackendState": "Running"}), "address", "uses no exit node"),
        (outside(source="", status=using()), "address", "does not offer two as an exit node"),
        (outside(source="", status=using(ExitNodeOption=True, Online=True)), "address", "does not answer through the exit node two"),
        (outside(flow("203.0.113.10", dport=53, marked=1)), "leak", "DNS queries leave unencrypted to 203.0.113.10"),
        (outside(flow("2001:db8::7")), "leak", "IPv6 leaves unencrypted"),
        (outside(flow("192.168.1.20", proto="tcp")), "leak", "packets for the local network (printer, 192.168.1.20)"),
        (outside(flow("203.0.113.80", proto="tcp", dport=80)), "leak", "packets leave unencrypted to 203.0.113.80"),
        (outside(near="answered"), "lan", "although traffic for the local network must not bypass"),
        (outside(getaddrinfo=[{"name": "outside.lab.test", "addresses": []}]), "dns", "does not resolve through the exit node"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_exit_node_is_named(seen: dict[str, Any], aspect: str, hint: str) -> None:
    checks = {check.aspect: check for check in judge_egress(seen, context("egress"), EGRESS)}
    assert checks[aspect].verdict == "failed"
    assert hint in checks[aspect].hint


LISTENING = Listener(host="203.0.113.80", token="t", tcp=40001, udp=40002)
MORE = replace(EGRESS, listeners=(LISTENING,))
UDP = {"outcome": "answered", "answered": [64, 1200], "seen": {"from": "203.0.113.3"}}
EXCHANGED: dict[str, Any] = {
    "tcp": {"outcome": "answered"}, "udp": UDP, "bulk": {"outcome": "answered", "stage": "done"},
    "opened": {"tcp": {"40001": {"tried": 24, "opened": 24}}, "udp": {"40002": {"tried": 24, "opened": 24}}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "more", "aspect", "hint"),
    [
        ({}, {}, "", ""),
        ({"udp": {"outcome": "timeout"}}, {}, "udp", "not over UDP (timeout): the firewall of the exit node two"),
        ({"udp": {**UDP, "seen": {"from": "203.0.113.2"}}}, {}, "udp", "traffic bypasses the exit node two"),
        ({"bulk": {"outcome": "stalled", "stage": "reply"}}, {}, "upload", "lost on the way to it at the exit node two"),
        ({"opened": EXCHANGED["opened"] | {"tcp": {"40001": {"tried": 24, "opened": 12, "lost": 12}}}}, {}, "ports", "a rule on source ports"),
        ({}, {"icmp": {"203.0.113.80": {"received": 0}}}, "icmp", "the firewall of the exit node two drops them"),
    ],
)  # fmt: skip
def test_an_exit_node_forwards_more_than_http(
    changes: dict[str, Any], more: dict[str, Any], aspect: str, hint: str
) -> None:
    seen = outside(exchange={"203.0.113.80": EXCHANGED | changes}, **more)
    checks = {check.aspect: check for check in judge_egress(seen, context("egress"), MORE)}
    assert {"udp", "upload", "ports"} < set(checks)
    assert [check.aspect for check in checks.values() if check.bad] == [aspect] * bool(aspect)
    assert not aspect or hint in checks[aspect].hint


def test_a_datagram_that_is_answered_while_the_exit_node_is_down_bypasses_it() -> None:
    down = replace(MORE, reached=False, aspect="down")
    checks = judge_egress(outside(source="", exchange={"203.0.113.80": {"udp": UDP}}), context("egress"), down)
    assert [(check.aspect, check.verdict) for check in checks] == [("blocked.down", "failed"), ("leak.down", "passed")]


def test_the_local_network_is_judged_in_each_family() -> None:
    both = replace(EGRESS, neighbour_address6="fd00:a::20", own_address6="fd00:a::10")
    seen = outside(flow("fd00:a::20", proto="tcp", dport=80))
    row = {"url": "http://[fd00:a::20]/", "outcome": "answered", "body": "source fd00:a::10\n"}
    seen["observations"]["http"]["data"].append(row)
    checks = {(check.aspect, check.family): check for check in judge_egress(seen, context("egress"), both)}
    assert [key for key, check in checks.items() if check.bad] == [("leak", None), ("lan", "ipv6")]
    assert "packets for the local network (printer, fd00:a::20)" in checks["leak", None].hint
    near = {
        (c.aspect, c.family): c for c in judge_egress(seen, context("egress"), replace(both, neighbour_reached=True))
    }
    assert (near["leak", None].verdict, near["lan", "ipv6"].verdict) == ("passed", "passed")


def test_nothing_leaves_while_the_exit_node_is_down() -> None:
    down = replace(EGRESS, reached=False, aspect="down")
    checks = judge_egress(outside(source=""), context("egress"), down)
    assert [(check.id, check.verdict) for check in checks] == [
        ("us1.egress.blocked.down", "passed"),
        ("us1.egress.leak.down", "passed"),
    ]
    around = judge_egress(outside(source="203.0.113.2"), context("egress"), down)
    assert "traffic bypasses it" in around[0].hint


USED = Egress(exit="two", node=TWO, outside=("198.51.100.7", "2001:db8::7"), names=("outside.lab.test",))


def used(device: str = "tailscale0", received: int = 3, **more: Any) -> dict[str, Any]:
    routes = {"get": {"198.51.100.7": {"dev": device}, "2001:db8::7": {"dev": "tailscale0"}}}
    names = [{"name": "outside.lab.test", "addresses": ["203.0.113.10"]}]
    return answer(
        **{
            "addresses": LINKS,
            "routes": routes,
            "alive": {"100.64.0.2": {"received": received}},
            "getaddrinfo": names,
            **more,
        }
    )


def test_an_exit_node_in_use_on_an_existing_host_passes() -> None:
    checks = judge_egress(used(), context("egress"), USED)
    assert [(check.aspect, check.family, check.target, check.verdict) for check in checks] == [
        ("route", "ipv4", "two", "passed"), ("route", "ipv6", "two", "passed"), ("answers", None, "two", "passed"),
        ("dns", None, "two", "passed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "aspect", "hint"),
    [
        (used(device="eth0"), "route", "sends packets for 198.51.100.7 to eth0 and not to the exit node two"),
        (used(device="", status=using()), "route", "to no interface and not to the exit node two"),
        (used(device="eth0", status={"BackendState": "Running"}), "route", "this node uses no exit node"),
        (used(received=0), "answers", "two does not answer at 100.64.0.2: nothing leaves this node until it does"),
        (used(received=0, status=using(ExitNodeOption=False)), "answers", "does not offer two as an exit node"),
        (used(received=0, status=using(ExitNodeOption=True, Online=False)), "answers", "the exit node two is offline"),
        (used(received=0, status={"BackendState": "Running", "Self": {"Online": True}, "Peer": {}}), "answers", "does not show the exit node two"),
    ],
)  # fmt: skip
def test_an_exit_node_in_use_that_does_not_work_says_why(seen: dict[str, Any], aspect: str, hint: str) -> None:
    failed = [check for check in judge_egress(seen, context("egress"), USED) if check.verdict != "passed"]
    assert [(check.aspect, check.verdict) for check in failed] == [(aspect, "failed")]
    assert hint in failed[0].hint
    assert {check.verdict for check in judge_egress({}, context("egress"), USED)} == {"error"}


BOTH = replace(EGRESS, web_address6="2001:db8:1::80", sources6=("2001:db8:1::3",))
WEB6 = "http://[2001:db8:1::80]/"


@pytest.mark.parametrize(
    ("page", "verdict", "hint"),
    [
        ({"outcome": "answered", "body": "source 2001:db8:1::3\n"}, "passed", ""),
        ({"outcome": "answered", "body": "source 2001:db8:1::2\n"}, "failed", "sees 2001:db8:1::2 instead of 2001:db8:1::3: traffic bypasses"),
        ({"outcome": "timeout"}, "failed", "does not answer through the exit node two: it does not forward (`sysctl net.ipv6.conf.all.forwarding`"),
    ],
)  # fmt: skip
def test_an_exit_node_leads_outside_in_both_families(page: dict[str, Any], verdict: str, hint: str) -> None:
    seen = outside(status=using(ExitNodeOption=True, Online=True))
    seen["observations"]["http"]["data"].append({"url": WEB6, **page})
    found = {check.family: check for check in judge_egress(seen, context("egress"), BOTH) if check.aspect == "address"}
    assert (found["ipv4"].verdict, found["ipv6"].verdict) == ("passed", verdict)
    assert hint in found["ipv6"].hint
    down = judge_egress(seen, context("egress"), replace(BOTH, reached=False))
    blocked = {check.family: check.verdict for check in down if check.aspect == "blocked"}
    assert blocked == {"ipv4": "failed", "ipv6": "failed" if page["outcome"] == "answered" else "passed"}


def test_ipv6_that_leaves_around_the_exit_node_is_a_leak() -> None:
    seen = outside(flow("2001:db8:1::80", proto="tcp", dport=80))
    seen["observations"]["http"]["data"].append({"url": WEB6, "outcome": "timeout"})
    leak = next(check for check in judge_egress(seen, context("egress"), BOTH) if check.aspect == "leak")
    assert (leak.verdict, leak.observed["in_clear"]) == ("failed", 1)
    assert "IPv6 leaves unencrypted to 2001:db8:1::80" in leak.hint


THROUGH = flow("203.0.113.80", interface="tailscale0", marked=3)


def leak(capture: Any, expect: Egress = EGRESS, **more: Any) -> Check:
    checks = judge_egress(outside(capture=capture, **more), context("egress"), expect)
    return next(check for check in checks if check.aspect.startswith("leak"))


@pytest.mark.parametrize(
    ("capture", "said"),
    [
        ({"flows": [], "packets": 9000, "dropped": 9000}, "the kernel dropped 9000 packets of the capture"),
        ({"flows": [THROUGH], "packets": 9000, "dropped": 1}, "the kernel dropped 1 packets of the capture"),
        ({"flows": [THROUGH], "packets": 9000}, "the kernel dropped an unknown number of packets of the capture"),
        ({"flows": [], "packets": 0, "dropped": 0}, "did not see the marker on the mesh interface"),
        ({"flows": [THROUGH | {"marked": 0}], "dropped": 0}, "did not see the marker on the mesh interface"),
        # tailscaled answers for names without the exit node.
        ({"flows": [flow("100.100.100.100", interface="tailscale0", marked=2)], "dropped": 0}, "did not see the marker"),
    ],
)  # fmt: skip
def test_a_capture_that_would_not_have_seen_a_leak_proves_nothing(capture: dict[str, Any], said: str) -> None:
    check = leak(capture)
    assert (check.verdict, check.observed, check.late) == ("error", None, True)
    assert said in check.hint
    found = leak({**capture, "flows": [*capture["flows"], flow("203.0.113.80", proto="tcp", dport=80)]})
    assert (found.verdict, found.observed["in_clear"]) == ("failed", 1)


def test_nothing_is_proven_without_an_interface_of_the_mesh() -> None:
    unseen = leak({"flows": [], "dropped": 0}, addresses=LINKS[:1])
    assert (unseen.verdict, unseen.hint) == ("error", "no interface of this host has a mesh address")


def test_the_marker_need_not_leave_while_the_exit_node_is_down() -> None:
    down = replace(EGRESS, reached=False)
    assert leak({"flows": [], "dropped": 0}, down).verdict == "passed"
    assert leak({"flows": [], "dropped": 3}, down).verdict == "error"


def test_a_capture_that_was_not_permitted_is_an_error() -> None:
    checks = {check.aspect: check for check in judge_egress({}, context("egress"), EGRESS)}
    assert {check.verdict for check in checks.values()} == {"error"}
