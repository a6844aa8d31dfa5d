# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare whole checks with the golden file: every word that people and programs read in a report.

After an intended change run `PYTHONPATH=tests/support python tests/unit/plugins/plugin_utils/judge/test_judge_golden.py` and review the diff.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.connected import Connected, judge_connected
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.http import Http, judge_http
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.rejoins import Rejoins, judge_rejoins

GOLDEN = Path(__file__).with_name("golden") / "checks.json"
SILENT = {
    "sent": 3,
    "received": 0,
    "rtt_ms": [],
    "errors": [{"error": "host-prohibited", "from": "10.0.0.1"}],
    "lost": 3,
}
TWO4, TWO6 = mesh.TWO.addresses
OFF = "Stopped"


def _http(outcome: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "url": "http://two/",
            "outcome": outcome,
            "status": None,
            "body": "",
            "address": TWO4,
            "timings": {"total_ms": 1},
            **more,
        }
    ]


def _registered(**more: Any) -> dict[str, Any]:
    found = mesh.registered_nodes()
    found["nodes"][0].update(more)
    return found


def _status(**own: Any) -> dict[str, Any]:
    found = mesh.status()
    found["Self"].update(own)
    return found


def _peer(**more: Any) -> dict[str, Any]:
    found = mesh.status()
    found["Peer"]["nodekey:2"].update(more)
    return found


def _wire(**more: Any) -> dict[str, Any]:
    return {**mesh.wire(), **{key: mesh.seen(value) for key, value in more.items()}}


def _relayed() -> dict[str, Any]:
    flows = mesh.wire()["capture"]["data"]["flows"] + [
        mesh.flow("eth0", "192.168.1.10", "203.0.113.10", proto="tcp", dport=443, packets=9),
        mesh.flow("eth0", "203.0.113.10", "192.168.1.10", proto="tcp", direction="in", packets=100),
        mesh.flow("tailscale0", "100.64.0.1", "100.64.0.2", proto="tcp", packets=1000),
    ]
    disco = {peer.addresses[0]: mesh.pinged(derp="lab") for peer in mesh.PEERS}
    capture = {**mesh.wire()["capture"]["data"], "flows": flows}
    return _wire(disco=disco, capture=capture)


def _sockets(*addresses: str, port: int = 80, proto: str = "tcp") -> list[dict[str, Any]]:
    return [
        {"proto": proto, "address": known, "port": port, "process": {"pid": 7, "name": "nginx"}} for known in addresses
    ]


def _tcp(outcome: str, by: str = "") -> list[dict[str, Any]]:
    return [{"host": "10.0.0.10", "port": 22, "outcome": outcome, "from": by}]


def _one_silent_family(name: str) -> dict[str, Any]:
    return {name: {**mesh.echoed(TWO4, *mesh.THREE.addresses), TWO6: SILENT}}


# For each judge: observations in place of the healthy ones.
CHANGES: dict[str, list[dict[str, Any]]] = {
    "reachable": [
        _one_silent_family("icmp"),
        {**_one_silent_family("icmp"), "status": mesh.status(), "disco": {TWO6: mesh.pinged(derp="lab")},
         "tsmp": {TWO6: {"answered": True, "last": {"derp": "lab"}}}},
        {"icmp": {**mesh.echoed(*mesh.MESH), TWO4: {"sent": 3, "received": 3, "rtt_ms": [60, 70.12345, 80], "errors": []},
                  TWO6: {"sent": 3, "received": 3, "rtt_ms": [60, 70, 80], "errors": []}},
         "disco": {TWO4: mesh.pinged(derp="lab")}},
        {"icmp": {}},
        {"icmp": mesh.echoed(*mesh.MESH, received=2)},
    ],
    "reachable.steady": [
        {"steady": mesh.echoed(*mesh.MESH, sent=7, received=5)},
        {"steady": {}},
        {"large": {}},
        {"large": mesh.echoed(*mesh.MESH, received=0)},
    ],
    "addressed": [
        {"addresses": [{"name": "eth0", "addresses": ["192.168.1.9/24"]}], "routes": {"routes": []}},
        {"addresses": [{"name": "eth0", "addresses": ["192.168.1.10/24", "10.0.0.9/24"]}],
         "routes": {"routes": [{"dst": "10.0.0.0/24", "gateway": "x"}]}},
        {"addresses": {}, "routes": {}},
    ],
    "connected": [
        {"status": {**mesh.status(), "BackendState": OFF, "Health": ["down"]}},
        {"status": _status(Online=False)},
        {"status": _status(TailscaleIPs=["100.64.0.9"])},
        {"status": _peer(Online=False, ID="2", LastSeen="x", Relay="lab")},
        {"status": _peer(Expired=True)},
        {"status": _peer(TailscaleIPs=["100.64.0.2"])},
        {"status": {**mesh.status(), "Peer": {}}},
    ],
    "registered": [
        {"nodes": _registered(online=False)},
        {"nodes": _registered(expiry="2020-01-01T00:00:00Z")},
        {"nodes": _registered(user={"name": "other"}, tags=["tag:x"])},
        {"nodes": _registered(id="", ipAddresses=[])},
        {"nodes": _registered(nodeKey="nodekey:9")},
        {"nodes": _registered(name="two", givenName="two-1")},
        {"nodes": {"nodes": []}},
    ],
    "path": [
        {"disco": {TWO4: mesh.pinged(derp="lab"), "100.64.0.3": mesh.pinged("10.0.0.99:1")}, "status": mesh.status()},
        {"disco": {TWO4: mesh.pinged(), "100.64.0.3": mesh.pinged(ENDPOINT := "10.0.0.11:41643")}, "status": mesh.status()},
        {"disco": {TWO4: {**mesh.pinged(derp="lab"), "last": {"peer_relay": "100.64.0.3:7"}}, "100.64.0.3": mesh.pinged(ENDPOINT)}},
    ],
    "rejoins": [
        {"status": _status(ID="7"), "icmp": {**mesh.echoed(*mesh.MESH), TWO4: SILENT}},
        {"status": {**mesh.status(), "BackendState": OFF}},
        {"status": _status(TailscaleIPs=["100.64.0.9"])},
        {"icmp": mesh.echoed(TWO4)},
    ],
    "encrypted": [
        {"wire": _relayed()},
        {"wire": _wire(disco={TWO4: mesh.pinged("203.0.113.99:41642"), "100.64.0.3": mesh.pinged(ENDPOINT)})},
        {"wire": _wire(capture={**mesh.wire()["capture"]["data"], "dropped": 2})},
        {"wire": _wire(capture={**mesh.wire()["capture"]["data"], "during": {"pings": mesh.seen(mesh.pings(received=2))}}),
         "status": {**mesh.status(), "BackendState": OFF}},
        {"wire": _wire(metrics_after={"tailscaled_outbound_packets_total": mesh.metrics(12.0)})},
        {"wire": _wire(metrics_after={})},
        {"wire": _wire(capture={**mesh.wire()["capture"]["data"], "flows": mesh.wire()["capture"]["data"]["flows"][2:]})},
    ],
    "isolated": [
        {"icmp": mesh.echoed("10.0.0.10", TWO4), "tcp": _tcp("connected", "10.0.0.10")},
        {"icmp": {"10.0.0.10": SILENT, **mesh.echoed(TWO4, received=1)}, "tcp": _tcp("refused", "10.0.0.10")},
        {"icmp": {"10.0.0.10": {**SILENT, "errors": []}, **mesh.echoed(TWO4, received=1)}, "tcp": _tcp("timeout")},
        {"icmp": {"10.0.0.10": {**SILENT, "errors": []}, **mesh.echoed(TWO4, received=0)}, "tcp": _tcp("timeout")},
        {"icmp": {"10.0.0.10": mesh.refused(), **mesh.echoed(TWO4)}, "tcp": _tcp("timeout")},
        {"icmp": {"10.0.0.10": mesh.refused(), **mesh.echoed(TWO4)}, "tcp": _tcp("reset", "10.0.0.10")},
        {"icmp": {"10.0.0.10": mesh.refused(), **mesh.echoed(TWO4)}, "tcp": _tcp("reset", "10.0.0.10"),
         "watched": {"flows": mesh.rejected(62)}},
        {"icmp": {"10.0.0.10": mesh.refused("10.0.0.10"), **mesh.echoed(TWO4)}, "tcp": _tcp("host-unreachable", "10.0.0.10")},
        {"icmp": {}, "tcp": [{"host": "10.0.0.10", "port": 23, "outcome": "refused"}, {"host": "x", "port": 22, "outcome": "refused"}]},
    ],
    "unreachable": [
        {"icmp": {**mesh.echoed(TWO4, received=1), TWO6: SILENT}, "status": {"BackendState": OFF}},
        {"icmp": mesh.echoed(TWO4, received=0)},
        {"icmp": {TWO4: SILENT, TWO6: {"sent": 3, "received": None}}},
        {"icmp": {TWO4: SILENT, TWO6: {"sent": 3, "received": -1}}},
        {"icmp": {TWO4: SILENT, TWO6: {"sent": 0, "received": 0}}},
    ],
    "listening": [
        {"listening": _sockets("0.0.0.0", "100.64.0.1")},
        {"listening": _sockets("::")},
        {"listening": _sockets("192.168.1.10", "100.64.0.1")},
        {"listening": _sockets("100.64.0.1", proto="udp")},
        {"listening": _sockets("100.64.0.1", port=81)},
        {"listening": []},
    ],
    "http": [
        {"http": _http("refused", error="connection refused", **{"from": TWO4})},
        {"http": _http("timeout"), "status": {**mesh.status(), "BackendState": OFF}},
        {"http": _http("no-name", error="unknown")},
        {"http": _http("tls", error="bad certificate"), "status": mesh.status()},
        {"http": _http("answered", status=500, body="x" * 300)},
        {"http": _http("answered", status=200, body="hello", address="100.64.0.9")},
        {"http": _http("answered", status=200, body="other")},
        {"http": []},
    ],
    "resolves": [
        {"dns": []},
        {"dns": [{**row, "duration_ms": 1500.0} for row in mesh.dns()]},
        {"dns": [mesh.asked(row["name"], row["type"], rcode="SERVFAIL") for row in mesh.dns()]},
        {"getaddrinfo": [mesh.looked_up("gone.mesh.internal", "100.64.0.9"), mesh.looked_up("outside.test")]},
        {"getaddrinfo": []},
        {"lookups": {**mesh.lookups(), "flows": []}},
        {"lookups": {**mesh.lookups(), "dropped": 1}},
        {"lookups": {**mesh.lookups(), "flows": [mesh.flow("eth0", "192.168.1.10", "192.0.2.1", dport=53, marked=2)]}},
        {"files": {}},
    ],
    "propagates": [
        {"getaddrinfo": [mesh.looked_up("two.mesh.internal"), mesh.looked_up("gone.mesh.internal", "100.64.0.9")]},
        {"icmp": mesh.echoed("100.64.0.9", received=1)},
        {"icmp": {"100.64.0.9": {"sent": 0, "received": 0}}},
        {"icmp": {"100.64.0.9": {"sent": 2, "received": None}}},
        {"icmp": {"100.64.0.9": {"sent": 2, "received": -1}}},
        {"dns": [mesh.asked("gone.mesh.internal", "A", rcode="SERVFAIL")]},
    ],
}  # fmt: skip


Judged = Callable[[], list[Check]]


def _of(judge: Callable[[Any], list[Check]], answer: Any, change: dict[str, Any]) -> Judged:
    changed = deepcopy(answer)
    changed["observations"].update({key: mesh.seen(value) for key, value in change.items()})
    return lambda: judge(changed)


def _answers() -> Iterator[tuple[str, Judged]]:
    for name, (answer, judge) in mesh.CASES.items():
        yield f"{name}: healthy", _of(judge, answer, {})
        yield f"{name}: nothing", _of(judge, {"observations": {}}, {})
        for number, change in enumerate(CHANGES[name]):
            yield f"{name}: {number}", _of(judge, answer, change)
    yield from _other_expectations()


def _other_expectations() -> Iterator[tuple[str, Judged]]:
    """Yield what depends on what was expected, not on what was seen."""
    for outcome in ("refused", "unreachable"):
        expect = Http(urls=("http://two/",), outcome=outcome, aspect="physical")
        for seen in ("answered", "refused", "timeout", "net-unreachable", "broken"):
            answer = mesh.answer(http=mesh.seen(_http(seen, status=200, error="why", **{"from": "10.0.0.1"})))
            yield f"http {outcome}: {seen}", partial(judge_http, answer, mesh.context("http"), expect)
    for late in (30.0, 30.1):
        back = Rejoins(before=mesh.ONE, peers=mesh.PEERS, aspect="link", budget_s=30)
        answer = mesh.CASES["rejoins"][0]
        yield f"rejoins after {late}", partial(judge_rejoins, answer, mesh.context("rejoins"), back, elapsed_s=late)
    offline = Connected(own=None, peers=mesh.PEERS, offline=("two",))
    for status in (mesh.status(), _peer(Online=False)):
        answer = mesh.answer(status=mesh.seen(status))
        name = f"connected, two is offline: {status['Peer']['nodekey:2']['Online']}"
        yield name, partial(judge_connected, answer, mesh.context("connected"), offline)


def _plain(judged: Judged) -> list[dict[str, Any]]:
    """Return checks without what is the same for each check of a story."""
    same = ("story", "source", "duration_ms")
    checks = [{key: value for key, value in check.as_dict().items() if key not in same} for check in judged()]
    plain: list[dict[str, Any]] = json.loads(json.dumps(checks))
    return plain


JUDGED = dict(_answers())


@cache
def _golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", list(JUDGED))
def test_checks_are_what_they_were(name: str) -> None:
    assert _plain(JUDGED[name]) == _golden()[name]


def test_the_golden_file_has_nothing_else() -> None:
    assert set(_golden()) == set(JUDGED)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    # A line for each check, so that a difference can be read.
    entries = [
        f"{json.dumps(name)}: [\n"
        + ",\n".join(json.dumps(check, ensure_ascii=False) for check in _plain(judged))
        + "\n]"
        for name, judged in JUDGED.items()
    ]
    GOLDEN.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")
