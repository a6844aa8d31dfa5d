# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes and exit nodes become one row each: who sends, through which router, to which network."""

from __future__ import annotations

from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, model, routes
from report_builder import Builder


def _check(name: str, source: str, target: str, verdict: str = "passed", **more: Any) -> dict[str, Any]:
    return Builder().check(name, source, target, verdict=verdict, **more)


CHECKS = [
    _check("us6.served.advertised", "server", "two", expected={"prefix": "10.0.0.0/24"}),
    _check("us6.served.approved", "server", "three", expected={"prefix": "10.0.0.0/24"}),
    _check("us6.served.approved", "server", "two", expected={"prefix": "0.0.0.0/0"}),
    _check("us6.served.serving", "server", "10.0.0.0/24", observed={"routers": ["three"]}),
    _check("us6.routed.route", "one", "nas", expected={"prefix": "10.0.0.0/24", "into": "the mesh"}),
    _check("us6.routed.icmp", "one", "nas", "failed", hint="the router three does not forward packets"),
    _check("us6.routed.route.stopped", "one", "nas", expected={"prefix": "10.0.0.0/24", "into": "the mesh"}),
    _check("us6.egress.address", "one", "web"),
    _check("us6.egress.leak.down", "one", "two"),
]


def _report(checks: list[dict[str, Any]]) -> model.Report:
    builder = Builder()
    builder.task(checks)
    return builder.report()


def test_every_network_has_a_row() -> None:
    report = _report(CHECKS)
    network, outside = routes.ways(report)
    assert (network.prefix, network.target, network.verdict) == ("10.0.0.0/24", "nas", "failed")
    assert [(part.name, part.verdict) for part in network.users] == [("one", "failed")]
    assert [(part.name, part.note) for part in network.routers] == [("three", "serves"), ("two", "")]
    assert [(part.name, part.verdict) for part in network.stages] == [("in use", "failed"), ("stopped", "passed")]
    assert routes.line(network) == "10.0.0.0/24 through three or two"
    assert (outside.prefix, outside.target) == (routes.INTERNET, "web")
    assert [part.name for part in outside.routers] == ["two"]
    page = html.render(report)
    assert "Routes and exit nodes" in page
    assert '<span class="hop passed">three <em>serves</em></span>' in page


def test_a_host_in_two_networks_has_two_rows() -> None:
    more = [
        _check("us6.routed.route", "one", "nas", family="ipv6", expected={"prefix": "fd00:b::/64"}),
        _check("us6.routed.icmp", "one", "nas", family="ipv6"),
    ]
    first, second, _outside = routes.ways(_report([*CHECKS, *more]))
    assert [(way.prefix, way.target, way.verdict) for way in (first, second)] == [
        ("10.0.0.0/24", "nas", "failed"),
        ("fd00:b::/64", "nas", "passed"),
    ]


def test_what_an_exit_node_says_of_itself_belongs_to_the_way_outside() -> None:
    more = [_check("us6.forwards.forwarding", "two", "internet", "failed", evidence={"prefix": "::/0"})]
    outside = routes.ways(_report([*CHECKS, *more]))[-1]
    assert (outside.prefix, outside.target, outside.verdict) == (routes.INTERNET, "web", "failed")
    assert [(part.name, part.verdict) for part in outside.routers] == [("two", "failed")]


def test_what_is_part_of_a_network_belongs_to_it_and_refused_routes_lead_nowhere() -> None:
    more = [
        _check("us6.served.approved.auto", "server", "two", expected={"prefix": "10.0.0.20/32", "approved": True}),
        _check(
            "us6.served.approved.others", "server", "two", expected={"prefix": "198.51.100.0/24", "approved": False}
        ),
    ]
    network, _outside = routes.ways(_report([*CHECKS, *more]))
    assert network.prefix == "10.0.0.0/24"
    assert [part.name for part in network.stages] == ["in use", "stopped", "auto"]
    wrong = _check(
        "us6.served.approved.others",
        "server",
        "two",
        "failed",
        expected={"prefix": "198.51.100.0/24", "approved": False},
    )
    assert [way.prefix for way in routes.ways(_report([*CHECKS, wrong]))] == [
        "10.0.0.0/24",
        "198.51.100.0/24",
        "internet",
    ]


def test_a_report_without_routes_has_no_picture_of_them() -> None:
    report = _report([])
    assert routes.ways(report) == []
    assert "Routes and exit nodes" not in html.render(report)
