# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes beside the mesh while everything answers, and what a host's own network does to it."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge import causes
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.addressed import judge_addressed, physical_ipv6
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import Answer
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.flowing import Lost, probability
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.http import Http, judge_http
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.isolated import (
    Isolated,
    Wall,
    judge_isolated,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.listening import Listening, judge_listening
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.losing import BY_CHANCE, beyond_chance
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import (
    Reachable,
    judge_reachable,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.steady import judge_steady

TWO4, TWO6 = mesh.TWO.addresses


def ping(interface: str, known: str, way: str, **more: Any) -> dict[str, Any]:
    ends = ("100.64.0.1", known) if way == "out" else (known, "100.64.0.1")
    kind = "icmp6" if ":" in known else "icmp"
    return mesh.flow(interface, *ends, **{"proto": kind, "direction": way, "marked": 3, **more})


def reached(*flows: dict[str, Any], **more: Any) -> dict[str, Check]:
    answer = mesh.answer(
        icmp=mesh.seen(mesh.echoed(TWO4, TWO6)),
        watched=mesh.seen({"flows": list(flows), "dropped": 0}),
        addresses=mesh.seen(mesh.links()),
        **more,
    )
    checks = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,)))
    return {check.aspect: check for check in checks}


@pytest.mark.parametrize("known", [TWO4, TWO6])
@pytest.mark.parametrize("way", ["out", "in"])
def test_an_answer_that_went_by_the_line_is_none_of_the_mesh(known: str, way: str) -> None:
    family = "ipv6" if ":" in known else "ipv4"
    both = {"out", "in"} - {way}
    inside = [ping("tailscale0", known, other) for other in both]
    assert reached(*inside, ping("tailscale0", known, way))[family].verdict == "passed"
    check = reached(*inside, ping("eth0", known, way))[family]
    assert check.verdict == "failed"
    assert "through eth0 and not through the mesh" in check.hint
    # Beside the mesh as well is another check's question.
    assert reached(*inside, ping("tailscale0", known, way), ping("eth0", known, way))[family].verdict == "passed"


def test_without_a_capture_or_interfaces_nothing_is_said_of_the_way() -> None:
    flow = ping("eth0", TWO4, "out")
    assert reached(ping("eth0", TWO4, "out", marked=0))["ipv4"].verdict == "passed"
    answer = mesh.answer(icmp=mesh.seen(mesh.echoed(TWO4, TWO6)), watched=mesh.seen({"flows": [flow], "dropped": 0}))
    found = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,)))
    assert found[0].verdict == "passed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("no-such-source", "IPv6 is switched off here"),
        ("net-down", "the mesh's interface is down"),
        ("net-unreachable", "no route to the mesh"),
        ("prohibited", "own firewall"),
    ],
)
def test_what_the_host_itself_refuses(error: str, said: str) -> None:
    answer = mesh.answer(
        status=mesh.seen(mesh.status()),
        icmp=mesh.seen({TWO6: {"errors": [{"error": error, "from": "local"}]}}),
        disco=mesh.seen({TWO6: mesh.pinged("203.0.113.3:41642")}),
    )
    assert said in causes.unreachable(Answer(answer), mesh.TWO, TWO6)


@pytest.mark.parametrize(("dev", "astray"), [("eth0", True), ("tailscale0", False), (None, False)])
def test_what_goes_to_the_router_in_place_of_the_mesh(dev: str | None, astray: bool) -> None:
    answer = mesh.answer(
        status=mesh.seen(mesh.status()),
        addresses=mesh.seen(mesh.links()),
        icmp=mesh.seen({TWO4: {"errors": [{"error": "net-unreachable", "from": "192.168.1.1"}]}}),
        routes=mesh.seen({"get": {TWO4: {"dev": dev} if dev else {"error": "none"}}}),
    )
    said = causes.unreachable(Answer(answer), mesh.TWO, TWO4)
    assert ("not into the mesh" in said) is astray
    assert ("refused by 192.168.1.1" in said) is not astray


@pytest.mark.parametrize(
    ("state", "health", "said"),
    [
        ("NoState", ["a relay", "The last login error was: no x"], "it reports: The last login error was: no x"),
        ("NeedsLogin", ["The last login error was: key expired"], "it reports: The last login error was: key expired"),
        ("NeedsLogin", ["Tailscale could not connect to a relay"], "logged out"),
        ("NeedsLogin", [], "logged out"),
        ("Stopped", ["Tailscale is stopped."], "tailscale up"),
        ("NoState", [None, 3.5], "only just started"),
    ],
)
def test_a_client_says_itself_what_holds_it_up(state: str, health: list[Any], said: str) -> None:
    status = {**mesh.status(), "BackendState": state, "Health": health}
    assert said in causes.client(Answer(mesh.answer(status=mesh.seen(status))))


@pytest.mark.parametrize(
    ("sent", "large", "small", "verdict"),
    [
        (20, 13, 20, "failed"),
        (20, 14, 20, "passed"),
        (20, 8, 10, "passed"),
        (6, 1, 20, "passed"),
        (20, 0, 20, "failed"),
        # A mesh with one family sends ten.
        (10, 1, 20, "failed"),
        (10, 6, 20, "failed"),
        (10, 7, 20, "passed"),
        (10, 6, 17, "passed"),
        (10, 4, 18, "failed"),
        (9, 1, 20, "passed"),
    ],
)
def test_large_packets_that_thin_out(sent: int, large: int, small: int, verdict: str) -> None:
    answer = mesh.answer(
        steady=mesh.seen(mesh.echoed(TWO4, sent=20, received=small)),
        large=mesh.seen(mesh.echoed(TWO4, sent=sent, received=large)),
    )
    expect = Reachable(peers=(mesh.TWO,), families=(4,))
    check = next(c for c in judge_steady(answer, mesh.context("reachable"), expect) if c.aspect == "large")
    assert check.verdict == verdict
    assert ("of the large packets are lost" in check.hint) is (verdict == "failed" and large > 0)


def two_families(
    small: tuple[int, int], large: tuple[int, int], load: Any = None, budget: float = 5.0
) -> dict[str, Check]:
    """Judge a burst of which so many packets were answered, over IPv4 and IPv6."""
    sent = {"steady": (20, small), "large": (10, large)}
    bursts = {
        name: mesh.seen({
            known: mesh.echoed(known, sent=count, received=received)[known]
            for known, received in zip(mesh.TWO.addresses, answered, strict=True)
        })
        for name, (count, answered) in sent.items()
    }  # fmt: skip
    answer = mesh.answer(**bursts)
    answer["host"]["load"] = load
    found = judge_steady(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,), loss_budget=budget))
    return {check.aspect: check for check in found}


@pytest.mark.parametrize(
    ("small", "large", "bad", "said"),
    [
        ((20, 20), (10, 10), set(), ""),
        # One packet of each may be lost by chance.
        ((19, 19), (9, 9), set(), ""),
        # A path that loses one packet in a hundred loses two of 20 now and then.
        ((20, 18), (10, 10), set(), ""),
        ((20, 17), (10, 10), {"loss"}, "15 % of the packets are lost over IPv6, and 0 % over IPv4"),
        ((19, 13), (10, 10), {"loss"}, "35 % of the packets are lost over IPv6, and 5 % over IPv4"),
        ((0, 20), (10, 10), {"loss"}, "100 % of the packets are lost over IPv4, and 0 % over IPv6"),
        ((20, 18), (10, 4), {"large"}, "60 % of the large packets are lost over IPv6, and 0 % over IPv4, and 10 % of the small ones"),
        ((20, 20), (4, 10), {"large"}, "60 % of the large packets are lost over IPv4, and 0 % over IPv6, and 0 % of the small ones"),
        ((20, 20), (4, 4), {"large"}, "60 % of the large packets are lost, and 0 % of the small ones"),
        ((17, 17), (10, 10), {"loss"}, "15 % of the packets are lost, even"),
        # Packets of any size are lost.
        ((10, 10), (5, 5), {"loss"}, ""),
    ],
)  # fmt: skip
def test_a_family_that_loses_packets_alone_fails(
    small: tuple[int, int], large: tuple[int, int], bad: set[str], said: str
) -> None:
    checks = two_families(small, large)
    assert {check.id for check in checks.values()} == {"us1.reachable.loss", "us1.reachable.large"}
    assert {aspect for aspect, check in checks.items() if check.verdict == "failed"} == bad
    assert said in checks["large" if "large" in bad else "loss"].hint


def test_what_one_family_loses_is_what_was_observed() -> None:
    checks = two_families((20, 16), (10, 4))
    assert checks["loss"].observed == {"sent": 20, "received": 16, "over": "IPv6", "lost_percent": 20.0}
    assert checks["loss"].reproduce.endswith(f"ping -c 20 -i 0.1 {mesh.TWO.addresses[1]}")
    assert checks["large"].observed == {"sent": 10, "received": 4, "over": "IPv6", "silent": []}


@pytest.mark.parametrize(
    ("small", "budget", "verdict"),
    [
        ((20, 18), 5.0, "passed"),
        ((20, 17), 10.0, "passed"),
        ((20, 13), 20.0, "passed"),
        ((20, 4), 50.0, "passed"),
        # Together they lose less than the budget, and one of them more than chance explains.
        ((20, 3), 50.0, "failed"),
        ((0, 20), 50.0, "failed"),
    ],
)
def test_a_family_alone_fails_only_beyond_chance(small: tuple[int, int], budget: float, verdict: str) -> None:
    assert two_families(small, (10, 10), budget=budget)["loss"].verdict == verdict


def test_a_path_within_the_budget_rarely_has_a_family_that_fails_alone() -> None:
    fails = min(lost for lost in range(21) if beyond_chance(Lost(times=lost, sent=20), 5.0, sqrt(BY_CHANCE)))
    # Two bursts must be bad, each in one of two families.
    for share, most in ((0.01, 1e-10), (0.02, 1e-7), (0.04, 1e-5)):
        assert (2 * probability(fails, 20, share)) ** 2 < most


def test_a_saturated_machine_may_lose_more_of_a_family() -> None:
    busy = {"ran_s": 0.1, "waited_s": 0.9}
    assert {check.verdict for check in two_families((20, 18), (10, 4), busy).values()} == {"passed"}
    assert two_families((20, 14), (10, 3), busy)["loss"].verdict == "failed"
    assert two_families((20, 20), (3, 3), busy)["large"].verdict == "failed"


@pytest.mark.parametrize(("small", "verdict"), [(19, "passed"), (20, "failed")])
def test_large_packets_that_were_sent_until_one_was_answered_are_not_counted(small: int, verdict: str) -> None:
    answer = mesh.answer(
        steady=mesh.seen(mesh.echoed(TWO4, sent=small, received=small)),
        large=mesh.seen(mesh.echoed(TWO4, sent=12, received=1)),
    )
    found = judge_steady(answer, mesh.context("reachable"), Reachable(peers=(mesh.TWO,), families=(4,)))
    assert {check.aspect: check.verdict for check in found} == {"loss": "passed", "large": verdict}


def addressed(**changes: Any) -> dict[str, Check]:
    answer = mesh.answer(addresses=mesh.seen(mesh.links()), routes=mesh.seen({**mesh.routes(), **changes}))
    place = replace(mesh.PLACE, others={"10.0.0.10": "two", "192.168.1.77": "neighbour"})
    return {check.aspect: check for check in judge_addressed(answer, mesh.context("addressed"), place)}


def test_the_own_subnet_is_not_the_meshs() -> None:
    assert addressed()["gateway"].verdict == "passed"
    assert addressed(get={"192.168.1.1": {"dev": "eth0"}})["gateway"].verdict == "passed"
    check = addressed(get={"192.168.1.1": {"dev": "tailscale0"}})["gateway"]
    assert check.verdict == "failed"
    assert "goes into the mesh through tailscale0" in check.hint


def test_an_address_has_one_host() -> None:
    links = mesh.links()
    links[1]["addresses"].append("192.168.1.77/24")
    place = replace(mesh.PLACE, others={"192.168.1.77": "neighbour"})
    answer = mesh.answer(addresses=mesh.seen(links), routes=mesh.seen(mesh.routes()))
    check = judge_addressed(answer, mesh.context("addressed"), place)[0]
    assert check.verdict == "failed"
    assert "192.168.1.77/24, which is the address of neighbour" in check.hint


def test_ipv6_addresses_beside_the_meshs() -> None:
    links = mesh.links()
    links[1]["addresses"] += ["fd01::10/64", "2001:db8::1/64", None]
    links[2]["addresses"] += ["fd7a:115c:a1e0::1/128"]
    assert physical_ipv6(mesh.answer(addresses=mesh.seen(links))) == ["fd01::10", "2001:db8::1"]
    assert physical_ipv6(mesh.answer()) == []


def test_ipv6_is_isolated_under_a_name_of_its_own() -> None:
    wall = Wall(name="two", address="fd02::10", mesh=TWO4, other="ipv6")
    refused = {"sent": 1, "received": 0, "rtt_ms": [], "errors": [{"error": "net-unreachable", "from": "fd01::1"}]}
    for result, verdict in ((refused, "passed"), (mesh.echoed("fd02::10", sent=1, received=1)["fd02::10"], "failed")):
        answer = mesh.answer(icmp=mesh.seen({"fd02::10": result}))
        check = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=(wall,)))[0]
        assert (check.id, check.verdict) == ("us1.isolated.icmp.ipv6", verdict)


def test_a_way_through_the_mesh_is_named() -> None:
    wall = Wall(name="two", address="10.0.0.10")
    routes = mesh.seen({"get": {"10.0.0.10": {"dev": "tailscale0"}}})
    for received in (0, 1):
        answer = mesh.answer(icmp=mesh.seen(mesh.echoed("10.0.0.10", sent=1, received=received)), routes=routes)
        check = judge_isolated(answer, mesh.context("isolated"), Isolated(walls=(wall,)))[0]
        assert "exit node" in check.hint
    found = {"url": "http://10.0.0.10/", "outcome": "timeout", "address": "10.0.0.10"}
    expect = Http(urls=("http://10.0.0.10/",), outcome="unreachable")
    check = judge_http(mesh.answer(http=mesh.seen([found]), routes=routes), mesh.context("http"), expect)[0]
    assert "exit node" in check.hint


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (["100.64.0.1"], "passed"),
        (["100.64.0.1", "fd7a:115c:a1e0::1"], "passed"),
        (["fd7a:115c:a1e0::1"], "failed"),
        (["100.64.0.1", "192.168.1.10"], "failed"),
        (["0.0.0.0"], "failed"),
        ([], "failed"),
    ],
)
def test_a_service_may_listen_on_both_mesh_addresses(found: list[str], verdict: str) -> None:
    sockets = [{"proto": "tcp", "address": known, "port": 80} for known in found]
    expect = Listening(port=80, addresses=("100.64.0.1",), may=("fd7a:115c:a1e0::1",))
    check = judge_listening(mesh.answer(listening=mesh.seen(sockets)), mesh.context("listening"), expect)
    assert check.verdict == verdict
    assert verdict == "passed" or "fd7a" not in check.hint or found == ["fd7a:115c:a1e0::1"]


@pytest.mark.parametrize(("known", "verdict"), [(TWO4, "passed"), (TWO6, "passed"), ("10.0.0.10", "failed")])
def test_a_name_may_lead_to_any_of_the_nodes_addresses(known: str, verdict: str) -> None:
    found = {"url": "http://two/", "outcome": "answered", "status": 200, "body": "", "address": known}
    expect = Http(urls=("http://two/",), addresses=mesh.TWO.addresses)
    check = judge_http(mesh.answer(http=mesh.seen([found])), mesh.context("http"), expect)[0]
    assert check.verdict == verdict
    assert verdict == "passed" or f"the name resolves to 10.0.0.10, not to {TWO4} or {TWO6}" in check.hint


def test_a_public_address_that_leads_to_the_service() -> None:
    found = {"url": "http://203.0.113.2/", "outcome": "answered", "status": 200, "body": "x", "address": "203.0.113.2"}
    expect = Http(urls=("http://203.0.113.2/",), outcome="unanswered")
    check = judge_http(mesh.answer(http=mesh.seen([found])), mesh.context("http"), expect)[0]
    assert check.verdict == "failed"
    assert "203.0.113.2 leads to the service: the router or the node has a port-forward" in check.hint


def test_an_answer_that_does_not_come_whole() -> None:
    found = {"url": "http://two/", "outcome": "timeout", "address": TWO4, "connected": True}
    check = judge_http(mesh.answer(http=mesh.seen([found])), mesh.context("http"), Http(urls=("http://two/",)))[0]
    assert "larger packets are lost" in check.hint
    unconnected = {**found, "connected": False}
    check = judge_http(mesh.answer(http=mesh.seen([unconnected])), mesh.context("http"), Http(urls=("http://two/",)))[0]
    assert "check that the node is reachable" in check.hint


@pytest.mark.parametrize(("led", "verdict"), [("", "passed"), ("203.0.113.10", "passed"), ("203.0.113.66", "failed")])
def test_a_name_outside_leads_where_the_inventory_has_it(led: str, verdict: str) -> None:
    found = {"name": "outside.test", "outcome": "found", "addresses": ["203.0.113.10"]}
    expect = Names(outside=("outside.test",), led={"outside.test": led} if led else {}, wire=False)
    checks = judge_resolves(mesh.answer(outside=mesh.seen([found])), mesh.context("resolves"), expect)
    (check,) = [check for check in checks if check.aspect == "outside"]
    assert check.verdict == verdict
    assert verdict == "passed" or "203.0.113.66, but it leads to 203.0.113.10" in check.hint


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        (["203.0.113.80"], "passed"),
        (["198.18.0.66", "203.0.113.80"], "failed"),
        # The inventory says nothing of the other family.
        (["203.0.113.80", "2001:db8:1::80"], "passed"),
        (["2001:db8:1::80"], "failed"),
    ],
)
def test_a_name_outside_leads_nowhere_else(known: list[str], verdict: str) -> None:
    found = {"name": "outside.test", "outcome": "found", "addresses": known}
    expect = Names(outside=("outside.test",), led={"outside.test": "203.0.113.80"}, wire=False)
    checks = judge_resolves(mesh.answer(outside=mesh.seen([found])), mesh.context("resolves"), expect)
    (check,) = [check for check in checks if check.aspect == "outside"]
    assert check.verdict == verdict
    assert verdict == "passed" or f"it leads to {', '.join(known)}: the upstream resolver" in check.hint
