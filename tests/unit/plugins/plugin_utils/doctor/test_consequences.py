# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cause has one headline: what follows from it refers to it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import client, finding, mesh, view
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.headline import headline
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.relate import relate
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.view import ClientView
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.path import ExpectedPath, Underlay
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.saturation import Load, blame_load
from doctor import CONTEXT, answer, examine_client, examine_server, node, problems

_NAME = "a.mesh.internal"
_ADDRESSES = [
    {"name": "tailscale0", "addresses": ["100.64.0.1/32"]},
    {"name": "eth0", "addresses": ["10.0.0.10/24"]},
]
_ME = {"TailscaleIPs": ["100.64.0.1"], "DNSName": f"{_NAME}.", "Online": True, "Relay": "lab", "PublicKey": "nodekey:1"}
_PEER = {"TailscaleIPs": ["100.64.0.2"], "Online": True, "PublicKey": "nodekey:2"}
_RELAY = {"HostName": "relay.lab.test", "IPv4": "203.0.113.10"}
_PATH = ExpectedPath(peer=Node(name="b", addresses=("100.64.0.2",)), kind="direct", underlay=Underlay())
_MAGIC = {"MagicDNSEnabled": True, "MagicDNSSuffix": "mesh.internal"}


def _client(**data: Any) -> dict[str, Any]:
    status = {
        "BackendState": "Running",
        "TUN": True,
        "Self": _ME,
        "Peer": {"2": _PEER},
        "CurrentTailnet": _MAGIC,
    }
    return {
        "status": status,
        "prefs": {"ControlURL": "https://headscale.lab.test", "CorpDNS": True},
        "addresses": _ADDRESSES,
        "derpmap": {"Regions": {"1": {"RegionCode": "lab", "Nodes": [_RELAY]}}},
        "resolv_conf": {"nameservers": ["100.100.100.100"]},
        **data,
    }


def _roots(checks: list[Check]) -> set[str]:
    return {check.id for check in checks if check.bad and "because" not in check.evidence}


def _dns(outcome: str) -> dict[str, Any]:
    return {"dns": [{"name": _NAME, "outcome": outcome}], "own_dns": {_NAME: {"answered": True, "rcode": 0}}}


@pytest.mark.parametrize(
    ("chains", "said"),
    [
        ([{"family": "inet", "table": "filter", "name": "input"}], "that drop or reject, inet filter input"),
        ([], "look for eBPF programs"),
        (None, "was not read: the host did not report this observation"),
    ],
)
def test_a_firewall_between_a_host_and_its_own_tailscaled(chains: Any, said: str) -> None:
    read = {} if chains is None else {"firewall": {"chains": chains, "legacy": False}}
    outside = [{"name": "headscale.lab.test", "outcome": "failed"}]
    checks = examine_client(_client(**_dns("timeout"), **read, outside=outside))
    hint = problems(checks)["doctor.firewall"]
    assert "something on this host drops packets on tailscale0" in hint
    assert said in hint
    for check in ("doctor.magic_dns", "doctor.upstream_dns"):
        assert problems(checks)[check] == "because of doctor.firewall"


@pytest.mark.parametrize("own", [None, {_NAME: {"answered": False, "rcode": None}}])
def test_a_resolver_that_does_not_answer_itself_proves_no_firewall(own: Any) -> None:
    data = _client(**{**_dns("timeout"), "own_dns": own})
    assert "doctor.firewall" not in problems(examine_client(data))


def test_a_well_host_passes_packets_to_its_tailscaled() -> None:
    (found,) = [check for check in examine_client(_client(**_dns("answered"))) if check.id == "doctor.firewall"]
    assert found.verdict == "passed"


def _silent(**more: Any) -> dict[str, Any]:
    relay = {"url": "https://relay.lab.test/derp/probe", "outcome": "timeout", "connected": False}
    stun = {"host": "203.0.113.10", "port": 3478, "outcome": "timeout"}
    return _client(
        **{
            "relays": [relay],
            "stun": [stun],
            "outside": [{"name": "headscale.lab.test", "outcome": "failed"}],
            "server": [],
            "disco": {"100.64.0.2": {"answered": False}},
            **more,
        }
    )


def test_a_host_that_nothing_answers_has_one_cause() -> None:
    checks = examine_client(_silent(), expected_paths=(_PATH,))
    assert "doctor.network" in _roots(checks)
    assert not _roots(checks) & {"doctor.relay.https", "doctor.relay.stun", "doctor.upstream_dns", "doctor.path"}
    assert "relay lab/relay.lab.test, the name headscale.lab.test" in problems(checks)["doctor.network"]


@pytest.mark.parametrize(
    "more",
    [
        {"outside": [{"name": "headscale.lab.test", "outcome": "found"}]},
        {"stun": [{"host": "203.0.113.10", "port": 3478, "outcome": "answered"}]},
        {"server": [{"url": "https://headscale.lab.test/health", "outcome": "timeout", "connected": True}]},
        {"relays": [{"url": "https://relay.lab.test/derp/probe", "outcome": "refused"}]},
        {"disco": {"100.64.0.2": {"answered": True, "last": {"endpoint": "192.0.2.1:41641"}}}},
        {"outside": [], "server": []},
    ],
)
def test_one_answer_from_elsewhere_proves_a_network(more: dict[str, Any]) -> None:
    assert "doctor.network" not in problems(examine_client(_silent(**more)))


def test_answers_from_the_hosts_own_network_prove_nothing_about_others() -> None:
    near = {"disco": {"100.64.0.2": {"answered": True, "last": {"endpoint": "10.0.0.11:41641"}}}}
    assert "(nodes in its own network do)" in problems(examine_client(_silent(**near)))["doctor.network"]


@pytest.mark.parametrize(
    ("connected", "because"), [(True, "because of doctor.mtu"), (False, "does not answer in time")]
)
def test_lost_large_packets_explain_a_connection_that_stalls(connected: bool, because: str) -> None:
    row = {"url": "https://relay.lab.test/derp/probe", "outcome": "timeout", "connected": connected}
    lost = {"icmp": {"100.64.0.2": {"received": 3}}, "large": {"100.64.0.2": {"received": 0}}}
    checks = examine_client(_client(relays=[row], **lost), expected_paths=(_PATH,))
    assert because in problems(checks)["doctor.relay.https"]


@pytest.mark.parametrize(
    ("received", "large", "lost"), [(3, 0, True), (2, 0, True), (1, 0, False), (0, 0, False), (3, 1, False)]
)
def test_a_line_that_loses_packets_of_any_size_is_not_blamed_for_large_ones(
    received: int, large: int, lost: bool
) -> None:
    small = {"100.64.0.2": {"sent": 3, "received": received}}
    asked = {"100.64.0.2": {"sent": 10, "received": large}}
    checks = examine_client(_client(icmp=small, large=asked), expected_paths=(_PATH,))
    assert ("doctor.mtu" in problems(checks)) is lost


def test_peers_are_asked_while_a_path_may_change() -> None:
    known = Client(answer(**_client()), ClientContext())
    asked = [*finding.requests(client, known), *view.requests(known)]
    pings = [request for request in asked if request["kind"] == "icmp"]
    assert [request["id"] for request in pings] == ["large", "icmp"]
    assert all(request["until_answered"] for request in pings)
    assert min(request["try_timeout_s"] for request in pings) >= 7


def test_a_client_is_asked_the_same_before_anything_is_known_of_the_server() -> None:
    # It is examined while the server is.
    seen, server = answer(**_client()), Server({}, ServerContext(url="https://headscale.lab.test"))
    before = finding.requests(client, Client(seen, ClientContext()))
    assert {"id": "large", "kind": "icmp", "targets": ["100.64.0.2"]}.items() <= next(
        request for request in before if request["id"] == "large"
    ).items()
    assert before == finding.requests(client, Client(seen, ClientContext(expected_paths=(_PATH,), server=server)))


@pytest.mark.parametrize("stun", ["answered", "timeout"])
def test_blocked_udp_is_claimed_only_where_stun_did_not_answer(stun: str) -> None:
    well = {"url": "https://relay.lab.test/derp/probe", "outcome": "answered", "status": 200}
    data = _client(
        relays=[well, {**well, "url": "https://relay.lab.test/derp", "status": 101}],
        disco={"100.64.0.2": {"answered": True, "last": {"derp": "lab"}}},
        stun=[{"host": "203.0.113.10", "port": 3478, "outcome": stun}],
    )
    data["status"] = {**data["status"], "Self": {**_ME, "Addrs": ["10.0.0.10:41641"]}}
    found = next(check for check in examine_client(data, expected_paths=(_PATH,)) if check.id == "doctor.path")
    assert found.bad
    assert ("hard NAT (`tailscale netcheck` on each)" in found.hint) is (stun == "answered")


def _pinged(**data: Any) -> dict[str, Any]:
    """Return what a client showed whose relay answers, and which pinged a peer."""
    well = {"url": "https://relay.lab.test/derp/probe", "outcome": "answered", "status": 200}
    return _client(
        relays=[well, {**well, "url": "https://relay.lab.test/derp", "status": 101}],
        stun=[{"host": "203.0.113.10", "port": 3478, "outcome": "answered"}],
        **data,
    )


@pytest.mark.parametrize(
    ("kind", "accepted"), [("any", {"direct", "relay", "peer-relay"}), ("direct", {"direct"}), ("relay", {"relay"})]
)
def test_a_path_is_judged_by_what_is_expected_of_it(kind: Any, accepted: set[str]) -> None:
    last = {"direct": {"endpoint": "203.0.113.3:41641"}, "relay": {"derp": "lab"}, "peer-relay": {"peer_relay": "x"}}
    for way in ("direct", "relay", "peer-relay", "none"):
        data = _pinged(disco={"100.64.0.2": {"answered": way != "none", "last": last.get(way)}})
        checks = examine_client(data, expected_paths=(replace(_PATH, kind=kind),))
        (found,) = (check for check in checks if check.id == "doctor.path")
        assert (found.expected, found.observed["path"]) == ({"path": kind}, way)
        assert found.verdict == ("passed" if way in accepted else "failed")
        if found.bad and way == "peer-relay":
            assert found.hint.startswith(f"the path is peer-relay, but {kind} was expected")


@pytest.mark.parametrize(
    ("own", "endpoints", "network", "said"),
    [
        ("10.0.0.10/24", ["10.0.0.10:41641", "203.0.113.3:60123"], "", "(41641 became 60123): it may be a hard NAT"),
        ("10.0.0.10/24", ["10.0.0.10:41641", "203.0.113.3:60123"], "home", "both are in home: check whether"),
        ("203.0.113.9/24", ["203.0.113.9:41641"], "", "UDP is blocked between the two sides"),
    ],
)
def test_a_relayed_path_is_explained_by_what_lies_between(
    own: str, endpoints: list[str], network: str, said: str
) -> None:
    data = _pinged(
        disco={"100.64.0.2": {"answered": True, "last": {"derp": "lab"}}},
        addresses=[_ADDRESSES[0], {"name": "eth0", "addresses": [own]}],
    )
    data["status"] = {**data["status"], "Self": {**_ME, "Addrs": endpoints}}
    hint = problems(examine_client(data, expected_paths=(replace(_PATH, network=network),)))["doctor.path"]
    assert said in hint
    assert ("router" in hint) is ("became" in said)


def _path(source: str, target: str, path: str) -> dict[str, Any]:
    return _check("doctor.path", source, target, observed={"path": path}, hint="see doctor.relay")


def _check(name: str, source: str, target: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": name, "story": "doctor", "assertion": name.split(".")[1], "source": source, "target": target,
        "verdict": "failed", "observed": {}, "evidence": {}, "hint": f"{name} is bad", **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("it does not answer in time", "b: https://h.test: it does not answer in time (doctor.server)"),
        ("the server https://h.test is at 10.0.0.9 for this host", "b: the server https://h.test is at 10.0.0.9 for this host (doctor.server)"),
    ],
)  # fmt: skip
def test_a_headline_names_the_server_of_which_it_speaks(hint: str, said: str) -> None:
    expected = {"url": "https://h.test/health", "status": 200}
    known = _check("doctor.client", "b", verdict="passed")
    assert headline([known, _check("doctor.server", "b", hint=hint, expected=expected)]) == said
    assert headline([known, _check("doctor.server", "b", hint="no answer", expected="a server")]).startswith(
        "b: no answer"
    )


def test_a_client_that_does_not_even_tell_its_state_is_named() -> None:
    checks = [_check("doctor.routes", "server", "b"), _check("doctor.client", "b", verdict="error")]
    assert headline([*checks, _check("doctor.api", "server", verdict="error")]).endswith(
        "; and 1 more: doctor.client (b)"
    )
    checks.append(
        _check("doctor.registration", "server", "b", evidence={"because": {"id": "doctor.client", "source": "b"}})
    )
    assert headline(checks) == "b: doctor.client is bad (doctor.client); and 1 more: doctor.routes (b)"


@pytest.mark.parametrize(("proxy", "because"), [("proxy:3128", True), ("other:3128", False), ("", False)])
def test_an_http_proxy_that_does_not_answer_is_one_cause(proxy: str, because: bool) -> None:
    asked = [("doctor.server", None, "proxy:3128"), ("doctor.relay.https", "lab/relay", proxy)]
    checks = [
        _check(name, "a", target, observed={"outcome": "refused"}, evidence={"proxy": through}, expected={})
        for name, target, through in asked
    ]
    assert (relate(checks)[1]["hint"] == "because of doctor.server") is because


def _taken(*, relay: str, priority: int = 100) -> dict[str, Any]:
    """Return what a host showed whose VPN has a rule that takes every packet without the VPN's own mark."""
    rules = [
        {"priority": 0, "src": "all", "table": "local"},
        {"priority": 5210, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", "table": "main"},
        {"priority": 5270, "src": "all", "table": "52"},
        {"not": None, "priority": priority, "src": "all", "fwmark": "0xca6c", "table": "51820"},
        {"priority": 32766, "src": "all", "table": "main"},
    ]
    through = {"dev": "vpn0", "table": "51820"}
    get = {"100.64.0.2": through, "203.0.113.10": {**through, "table": relay} if relay else {"dev": "eth0"}}
    rules.sort(key=lambda rule: int(str(rule["priority"])))
    return {"mesh_routes": {"get": get, "rules": {"ipv4": rules, "ipv6": []}}}


def test_a_vpn_that_takes_every_packet_is_one_cause() -> None:
    checks = examine_client(_silent(**_taken(relay="51820")), expected_paths=(_PATH,))
    assert "doctor.network" not in _roots(checks)
    found = problems(checks)
    assert found["doctor.network"] == "because of doctor.kernel_route"
    assert found["doctor.kernel_route"].endswith(
        "a rule of another program, as of a VPN, leads to its table 51820 (priority 100) before tailscaled's rule (priority "
        "5270): give it a number above 5270, or remove it (`ip rule del priority 100 && ip rule add not fwmark 0xca6c table 51820 "
        "priority 5300`, and have that program do the same when it starts)"
    )


@pytest.mark.parametrize("more", [{"src": "10.0.0.0", "srclen": 24}, {"iif": "eth0"}, {"suppress_prefixlen": 0}])
def test_a_rule_that_selects_more_than_a_mark_is_not_written_again(more: dict[str, Any]) -> None:
    taken = _taken(relay="51820")
    taken["mesh_routes"]["rules"]["ipv4"][1].update(more)
    hint = problems(examine_client(_silent(**taken), expected_paths=(_PATH,)))["doctor.kernel_route"]
    assert hint.endswith("give it a number above 5270, or remove it")


@pytest.mark.parametrize("taken", [_taken(relay=""), _taken(relay="53"), _taken(relay="51820", priority=6000)])
def test_a_rule_that_takes_only_a_part_does_not_explain_a_lost_network(taken: dict[str, Any]) -> None:
    checks = examine_client(_silent(**taken), expected_paths=(_PATH,))
    assert _roots(checks) >= {"doctor.network", "doctor.kernel_route"}


def test_a_rule_behind_that_of_tailscaled_is_not_blamed() -> None:
    hint = problems(examine_client(_silent(**_taken(relay="51820", priority=6000)), expected_paths=(_PATH,)))
    assert "restart tailscaled" in hint["doctor.kernel_route"]


def test_a_path_refers_to_a_lost_network_whatever_took_that_away() -> None:
    because = {"because": {"id": "doctor.kernel_route", "source": "b"}}
    checks = [
        _path("a", "b", "none"),
        _check("doctor.network", "b", evidence=because),
        _check("doctor.kernel_route", "b"),
    ]
    assert relate(checks)[0]["hint"] == "because of doctor.network on b"


@pytest.mark.parametrize(("online", "because"), [(True, True), (False, False)])
def test_an_exit_node_without_a_network_passes_nothing_on(online: bool, because: bool) -> None:
    checks = [_check("doctor.exit_node", "a", "b", observed={"online": online}), _check("doctor.network", "b")]
    assert relate(checks)[0]["hint"].startswith("because of doctor.network on b") is because


def test_an_exit_node_refers_to_the_forwarding_that_is_off_there() -> None:
    checks = [_check("doctor.exit_node", "a", "b", observed={"online": True}), _check("doctor.routes.forwarding", "b")]
    assert relate(checks)[0]["hint"] == "because of doctor.routes.forwarding on b"


def test_relayed_paths_that_share_one_host_are_one_cause() -> None:
    checks = [_path(one, two, "relay") for one, two in ("ab", "ba", "bc", "cb")]
    assert [check["hint"] for check in relate(checks)] == [
        "because of doctor.path on b", "see doctor.relay", "because of doctor.path", "because of doctor.path on b",
    ]  # fmt: skip
    well = [_check("doctor.client", name, verdict="passed") for name in "abc"]
    assert headline(relate([*checks, *well])) == "b: see doctor.relay (doctor.path)"
    for others in (("ab", "cd", "bc"), ("ab", "ac"), ("ab", "ba")):
        paths = [_path(one, two, "relay") for one, two in others]
        assert {check["hint"] for check in relate(paths)} == {"see doctor.relay"}


@pytest.mark.parametrize(
    ("cause", "path", "because"),
    [
        ("doctor.client", "none", True),
        ("doctor.network", "none", True),
        ("doctor.relay.stun", "relay", True),
        ("doctor.relay.stun", "none", False),
        ("doctor.client", "direct", False),
        ("doctor.magic_dns", "none", False),
    ],
)
def test_a_path_to_a_peer_refers_to_what_is_wrong_there(cause: str, path: str, because: bool) -> None:
    checks = [_path("a", "b", path), _check(cause, "b"), _path("a", "c", path)]
    first, _second, third = relate(checks)
    assert first["hint"] == (f"because of {cause} on b" if because else "see doctor.relay")
    assert third["hint"] == "see doctor.relay"
    assert checks[0]["hint"] == "see doctor.relay", "the checks of the tasks stay as they are"
    assert ("more" in headline(relate(checks[:2]))) is not because


def _blocked(*pairs: tuple[str, str], dropping: str = "", rewriting: str = "") -> list[Check]:
    numbers = {"a": 1, "b": 2, "c": 3}
    known = {name: [f"100.64.0.{number}" for other, number in numbers.items() if other != name] for name in numbers}
    views = tuple(
        ClientView(
            name=name, key=f"nodekey:{number}", state="Running", online=True,
            answered=dict.fromkeys(known[name], True),
            echoed={entry: (name, "abc"[int(entry[-1]) - 1]) not in pairs for entry in known[name]},
            dropping=(f"inet {name}s in",) if name in dropping else (),
            rewriting=(f"ip {name}s nat",) if name in rewriting else (),
        )
        for name, number in numbers.items()
    )  # fmt: skip
    nodes = [node(number, name) for name, number in numbers.items()]
    return [check for check in examine_server({"nodes": {"nodes": nodes}}, views=views) if check.bad]


def test_the_one_client_that_all_blocked_pairs_share_is_the_cause() -> None:
    checks = _blocked(("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"))
    roots = [check for check in checks if "because" not in check.evidence]
    assert [(check.id, check.target) for check in roots] == [("doctor.policy.reach", "b")]
    assert "(`nft list ruleset`) on b" in roots[0].hint
    assert {check.hint for check in checks} - {roots[0].hint} == {"because of doctor.policy.reach of b"}
    assert headline([check.as_dict() for check in checks]).startswith("b: ")


@pytest.mark.parametrize(
    ("dropping", "said"),
    [("", ""), ("ab", " (chains that drop or reject, b: inet bs in)"), ("a", "")],
)
def test_the_chains_of_the_hosts_in_question_alone_are_named(dropping: str, said: str) -> None:
    checks = _blocked(("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), dropping=dropping)
    root = next(check for check in checks if "because" not in check.evidence)
    assert root.hint.endswith(f"(`nft list ruleset`) on b{said}")
    both = _blocked(("a", "b"), dropping=dropping)
    assert ("a: inet as in" in both[0].hint) is ("a" in dropping)


def test_a_rule_that_rewrites_addresses_is_named_where_nothing_drops() -> None:
    root = _blocked(("b", "a"), ("b", "c"), rewriting="ab")[0]
    assert "a rule that drops or rewrites packets" in root.hint
    assert root.hint.endswith(" on b (chains that rewrite addresses, b: ip bs nat: exclude tailscale0 there)")
    assert "rewrite" not in _blocked(("b", "a"), ("b", "c"), rewriting="b", dropping="b")[0].hint


def test_pairs_that_share_no_client_have_a_cause_each() -> None:
    checks = _blocked(("a", "b"), ("b", "c"), ("c", "a"))
    assert all("because" not in check.evidence and "on both hosts" in check.hint for check in checks)


@pytest.mark.parametrize("logged_out", [True, False])
def test_the_expired_key_of_a_client_that_was_logged_out(logged_out: bool) -> None:
    bad = {"client": {"id": "doctor.client", "source": "b", "hint": "it is logged out"}}
    views = (
        ClientView(name="a", key="nodekey:1", state="Running", online=True),
        ClientView(name="b", state="NeedsLogin", logged_out=logged_out, bad=bad),
    )
    nodes = [node(1, "a"), node(2, "b", online=False, expiry="2020-01-01T00:00:00Z")]
    checks = examine_server({"nodes": {"nodes": nodes}}, views=views, clients=("a", "b"))
    hints = {check.id: check.hint for check in checks if check.bad and check.target == "b"}
    assert (hints["doctor.expiry"] == "because of doctor.client on b") is logged_out
    assert hints["doctor.registration"] == "because of doctor.client on b"


def test_a_client_without_a_server_is_not_asked_for_it() -> None:
    status = {"BackendState": "NeedsLogin", "Self": {"PublicKey": "nodekey:0"}}
    assert _roots(examine_client(_client(status=status, prefs={"LoggedOut": True}, derpmap=None))) <= {"doctor.client"}


@pytest.mark.parametrize(
    ("observed", "evidence", "blamed"),
    [({"outcome": "timeout"}, {}, True), ({"outcome": "refused"}, {}, False),
     ({"outcome": "timeout"}, {"because": {"id": "doctor.network", "source": "a"}}, False)],
)  # fmt: skip
def test_slowness_is_not_claimed_of_a_saturated_machine(
    observed: dict[str, str], evidence: dict[str, Any], blamed: bool
) -> None:
    check = CONTEXT.check(False, expected={}, observed=observed, hint="it does not answer in time", evidence=evidence)
    blame_load(check, Load(slowdown=5.0, said="load 30 on 2 cores"))
    assert check.hint.startswith("the machine was saturated") is blamed


def test_a_probe_answer_without_a_resolver_is_no_finding() -> None:
    assert answer()["observations"] == {}
    assert "doctor.firewall" not in {check.id for check in examine_client(_client())}


def _lookup(own: str, outside: str, inside: dict[str, Any]) -> dict[str, Any]:
    return _client(
        dns=[{"name": _NAME, "outcome": "answered", "answers": [{"value": "100.64.0.1"}]}],
        own_name=[{"name": _NAME, "outcome": own}],
        outside=[{"name": "headscale.lab.test", "outcome": outside}],
        own_dns={_NAME: {"answered": True, "rcode": 0}, "headscale.lab.test": inside},
    )


def test_a_lookup_that_never_asks_tailscaled_is_one_cause() -> None:
    checks = examine_client(_lookup("not-found", "not-found", {"answered": True, "rcode": 0}))
    assert problems(checks)["doctor.upstream_dns"] == "because of doctor.magic_dns"


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ({"answered": True, "rcode": 0}, "although tailscaled resolves it"),
        ({"answered": True, "rcode": 2}, "its upstream resolvers"),
        ({"answered": False, "rcode": None, "error": "timeout"}, "its upstream resolvers"),
    ],
)
def test_upstream_resolvers_are_blamed_only_if_tailscaled_does_not_resolve(inside: dict[str, Any], said: str) -> None:
    checks = examine_client(_lookup("found", "not-found", inside))
    assert said in problems(checks)["doctor.upstream_dns"]


def test_names_that_are_lost_are_counted() -> None:
    rows = [{"name": name, "outcome": "timeout"} for name in ("headscale.lab.test", "outside.lab.test")]
    data = _client(outside=rows, resolv_conf={"nameservers": ["203.0.113.199"]})
    said = problems(examine_client(data, outside=("outside.lab.test",)))["doctor.upstream_dns"]
    assert said.startswith("headscale.lab.test, outside.lab.test do not resolve, and the host queries 203.0.113.199")
    said = problems(examine_client({**data, "outside": rows[:1]}))["doctor.upstream_dns"]
    assert said.startswith("headscale.lab.test does not resolve, and")


def test_a_server_without_magic_dns_leaves_a_host_without_a_resolver() -> None:
    data = _client(resolv_conf={"nameservers": []}, outside=[{"name": "headscale.lab.test", "outcome": "not-found"}])
    data["status"] = {**data["status"], "CurrentTailnet": {"MagicDNSEnabled": False}}
    checks = examine_client(data, domain="mesh.internal")
    assert problems(checks)["doctor.upstream_dns"] == "because of doctor.magic_dns"
    assert "MagicDNS is off" in problems(checks)["doctor.magic_dns"]
    alone = problems(examine_client(data))
    assert "/etc/resolv.conf names no server, and MagicDNS is off on the server" in alone["doctor.upstream_dns"]
    assert "doctor.magic_dns" not in alone


def test_a_client_that_cannot_log_in_refers_to_the_name_that_it_misses() -> None:
    said = "You are logged out. The last login error was: fetch control key: failed to resolve headscale.lab.test"
    status = {"BackendState": "NoState", "Self": {}, "Health": [said]}
    data = _client(
        status=status,
        resolv_conf={"nameservers": ["192.0.2.1"]},
        outside=[{"name": "headscale.lab.test", "outcome": "not-found"}],
        server=[{"url": "https://headscale.lab.test/health", "outcome": "no-name"}],
    )
    found = problems(examine_client(data))
    assert found["doctor.client"] == "because of doctor.upstream_dns"
    assert found["doctor.server"] == "because of doctor.upstream_dns"


@pytest.mark.parametrize(("online", "lost"), [((False, False), True), ((False, True), False)])
def test_a_server_that_was_replaced_refuses_its_clients_and_the_api_key(online: tuple[bool, bool], lost: bool) -> None:
    views = tuple(
        ClientView(name=name, key=f"nodekey:{name}", state="Running", online=up, server_answers=True)
        for name, up in zip("ab", online, strict=True)
    )
    data = answer()["observations"] | {"nodes": None}
    found = [check for check in examine_server(data, views=views, clients=("a", "b")) if check.id == "doctor.identity"]
    assert found == [], "without a reason, nothing is known"
    error = {"ok": False, "error": {"message": "https://h refuses the API key: it is wrong"}}
    server = Server({"observations": {"nodes": error}}, ServerContext(url="https://h", views=views))
    made = [check for check in finding.judge(mesh, server, CONTEXT) if check.id == "doctor.identity"]
    assert bool(made) is lost
    if lost:
        client = _check("doctor.client", "a", hint="the client has no connection")
        api = {**_check("doctor.api", CONTEXT.source, hint="refuses the API key"), "verdict": "error"}
        related = relate([client, api, made[0].as_dict()])
        assert [check["hint"] for check in related[:2]] == [
            f"because of doctor.identity on {CONTEXT.source}",
            "because of doctor.identity",
        ]
        assert "refuses the API key" in headline(related)


_RULE = {"IPProto": [1, 58], "Srcs": ["100.64.0.0/10"], "Dsts": [{"Net": "100.64.0.1/32"}]}


@pytest.mark.parametrize(
    ("rules", "refuses"),
    [
        ([_RULE], ()),
        ([{**_RULE, "Srcs": ["100.64.0.3/32"]}], ("100.64.0.2",)),
        ([{**_RULE, "Dsts": [{"Net": "100.64.0.9/32"}]}], ("100.64.0.2",)),
        ([], ("100.64.0.2",)),
        (None, ()),
        (["no rule", {"Srcs": "all", "Dsts": [None]}], ("100.64.0.2",)),
    ],
)
def test_the_sources_that_a_packet_filter_refuses(rules: Any, refuses: tuple[str, ...]) -> None:
    seen = Client(answer(**_client(packet_filter=rules)), ClientContext())
    assert tuple(ClientView.of("a", seen).refuses) == refuses


@pytest.mark.parametrize("refuses", [("100.64.0.1",), ()])
def test_a_packet_filter_that_is_older_than_the_policy(refuses: tuple[str, ...]) -> None:
    views = (
        ClientView(
            name="a", key="nodekey:1", state="Running", own=("100.64.0.1",), answered={"100.64.0.2": True},
            echoed={"100.64.0.2": False},
        ),
        ClientView(name="b", key="nodekey:2", state="Running", own=("100.64.0.2",), refuses=refuses),
    )  # fmt: skip
    nodes = {"nodes": {"nodes": [node(1, "a"), node(2, "b")]}}
    hint = problems(examine_server(nodes, views=views))["doctor.policy.reach"]
    assert ("the packet filter of tailscaled on b does not" in hint) is bool(refuses)
    assert ("nft list ruleset" in hint) is (not refuses)


@pytest.mark.parametrize(("said", "ignores"), [("1\n", ("ipv4",)), ("0\n", ()), (None, ())])
def test_a_host_that_answers_no_echo_requests(said: str | None, ignores: tuple[str, ...]) -> None:
    path = "/proc/sys/net/ipv4/icmp_echo_ignore_all"
    seen = Client(answer(**_client(echo={path: {"text": said}})), ClientContext())
    assert tuple(ClientView.of("b", seen).ignores_echo) == ignores
    views = (
        ClientView(
            name="a", key="nodekey:1", state="Running", answered={"100.64.0.2": True}, echoed={"100.64.0.2": False}
        ),
        ClientView(name="b", key="nodekey:2", state="Running", ignores_echo=ignores),
    )
    found = problems(examine_server({"nodes": {"nodes": [node(1, "a"), node(2, "b")]}}, views=views))
    assert ("doctor.policy.reach" in found) is (not ignores)


def test_a_firewall_of_the_host_is_named_where_the_kernel_refuses_to_send() -> None:
    stun = {"host": "203.0.113.10", "port": 3478, "outcome": "prohibited"}
    well = {"url": "https://relay.lab.test/derp/probe", "outcome": "prohibited", "from": "local"}
    found = problems(examine_client(_client(stun=[stun], relays=[well])))
    for check in ("doctor.relay.stun", "doctor.relay.https"):
        assert "this host's own firewall refuses to send" in found[check]


def _routed(**routes: str) -> dict[str, Any]:
    got = {entry.replace("_", ".") if "_" in entry else entry: {"dev": device} for entry, device in routes.items()}
    data = _client(**_dns("timeout"), mesh_routes={"get": got})
    peer = {**_PEER, "TailscaleIPs": ["100.64.0.2", "fd7a:115c:a1e0::2"]}
    me = {**_ME, "TailscaleIPs": ["100.64.0.1", "fd7a:115c:a1e0::1"]}
    data["status"] = {**data["status"], "Peer": {"2": peer}, "Self": me}
    return data


def test_a_route_that_is_wrong_for_one_address_family_is_no_firewall() -> None:
    routes = {"100.64.0.2": "eth0", "fd7a:115c:a1e0::2": "tailscale0", "100.100.100.100": "eth0"}
    found = problems(examine_client(_routed(**routes)))
    assert "100.64.0.2 through eth0" in found["doctor.kernel_route"]
    assert "fd7a" not in found["doctor.kernel_route"]
    assert "doctor.firewall" not in found
    assert found["doctor.magic_dns"] == "because of doctor.kernel_route"


def test_a_name_that_something_else_answers() -> None:
    data = _lookup("found", "found", {"answered": True, "rcode": 0})
    data["own_name"][0]["addresses"] = ["192.0.2.77"]
    assert "resolves its own name to 192.0.2.77" in problems(examine_client(data))["doctor.magic_dns"]


@pytest.mark.parametrize(
    ("resolver", "local", "nsswitch", "said"),
    [
        (
            "100.100.100.100",
            None,
            "hosts: files",
            "/etc/nsswitch.conf lists no name server as a source of hosts (files)",
        ),
        ("100.100.100.100", None, "hosts: files dns", "programs on this host do not (no address): their lookup"),
        ("127.0.0.53", ("timeout", ""), "hosts: files", "its own resolver 127.0.0.53, which does not answer (timeout)"),
        (
            "127.0.0.53",
            ("answered", ""),
            "hosts: files dns",
            "127.0.0.53 answers NXDOMAIN for this node's own name a.mesh.internal",
        ),
        ("127.0.0.53", ("answered", "192.0.2.7"), "hosts: files dns", "127.0.0.53 answers 192.0.2.7 for"),
        ("127.0.0.53", ("answered", "100.64.0.1"), "hosts: files", "lists no name server"),
        ("127.0.0.53", None, "", "their lookup does not get to tailscaled in time"),
        ("192.0.2.1", None, "hosts: files", "the host asks 192.0.2.1 and not tailscaled"),
    ],
)
def test_what_keeps_a_host_from_a_name_that_tailscaled_knows_is_observed(
    resolver: str, local: tuple[str, str] | None, nsswitch: str, said: str
) -> None:
    data = _lookup("not-found", "found", {"answered": True, "rcode": 0})
    data["own_name"][0]["error"] = "no address"
    data |= {"resolv_conf": {"nameservers": [resolver]}, "files": {"/etc/nsswitch.conf": {"text": nsswitch}}}
    if local:
        given = [{"value": local[1]}] if local[1] else []
        data["local_dns"] = [{"name": _NAME, "outcome": local[0], "rcode": "NXDOMAIN", "answers": given}]
    assert said in problems(examine_client(data))["doctor.magic_dns"]


def test_what_concerns_the_whole_path_does_not_explain_one_address_family() -> None:
    bad = {"client": {"id": "doctor.client", "source": "b", "hint": "no connection to the control server"}}
    both = {"100.64.0.2": True, "fd7a:115c:a1e0::2": False}
    views = (
        ClientView(name="a", key="nodekey:1", state="Running", answered={"100.64.0.2": True}, echoed=both),
        ClientView(name="b", key="nodekey:2", state="Running", bad=bad),
    )
    nodes = [
        node(number, name, ipAddresses=[f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"])
        for number, name in ((1, "a"), (2, "b"))
    ]
    hint = problems(examine_server({"nodes": {"nodes": nodes}}, views=views))["doctor.policy.reach"]
    assert "the policy lets it reach b (ipv6)" in hint


@pytest.mark.parametrize(
    ("observed", "blamed"),
    [
        ({"blocked": ["b"], "open": []}, True),
        ({"blocked": ["b", "c (ipv4)"], "open": []}, True),
        ({"blocked": ["b (ipv4)", "c (ipv4)"], "open": []}, False),
        ({"blocked": [], "open": ["b"]}, False),
    ],
)
def test_packets_that_pass_are_no_matter_of_load(observed: dict[str, Any], blamed: bool) -> None:
    context = replace(CONTEXT, assertion="policy")
    check = context.check(False, aspect="reach", expected={}, observed=observed, hint="the policy denies it")
    blame_load(check, Load(slowdown=5.0, said="load 30 on 2 cores"))
    assert check.hint.startswith("the machine was saturated") is blamed


@pytest.mark.parametrize(
    ("target", "said"),
    [("*", "does not forward it"), ("autogroup:internet", "does not forward it"), ("0.0.0.0/0", "does not forward it"),
     ("100.64.0.2", "add `autogroup:internet:*`")],
)  # fmt: skip
def test_an_exit_node_that_the_policy_opens_is_not_closed_by_it(target: str, said: str) -> None:
    rule = {"action": "accept", "src": ["*"], "dst": [f"{target}:*"]}
    policy = {"policy": json.dumps({"acls": [rule]})}
    server = Server(answer(policy=policy), ServerContext())
    data = _client(prefs={"ExitNodeID": "2"}, through_exit=[{"connected": False}], around_exit=[{"connected": True}])
    data["status"] = {**data["status"], "Peer": {"2": {**_PEER, "ID": "2", "HostName": "b", "ExitNodeOption": True}}}
    assert said in problems(examine_client(data, server=server))["doctor.exit_node"]


@pytest.mark.parametrize(
    ("sources", "target", "address", "said"),
    [
        (
            ["group:admin"],
            "autogroup:internet:*",
            "203.0.113.10",
            "which the policy does not let this node (bob@) use for the internet",
        ),
        (["group:admin"], "*:*", "203.0.113.10", "which the policy does not let this node (bob@) use for the internet"),
        (["group:admin", "bob@"], "autogroup:internet:*", "203.0.113.10", "which does not forward it"),
        (["bob@"], "autogroup:internet:80", "203.0.113.10", "which the policy does not let this node (bob@) use"),
        (["bob@"], "203.0.113.0/24:*", "203.0.113.10", "which does not forward it"),
        (["bob@"], "autogroup:internet:*", "", "which does not forward it"),
        (["bob@"], "*:*", "10.0.0.5", "which does not forward it"),
        (["bob@"], "10.0.0.0/8:*", "10.0.0.5", "which does not forward it"),
        (["bob@"], "198.51.100.0/24:*", "10.0.0.5", "which the policy does not let this node (bob@) use"),
        (["bob@"], "198.51.100.0/24:*", "", "which the policy does not let this node (bob@) use"),
    ],
)
def test_an_exit_node_that_the_policy_opens_to_others_alone(
    sources: list[str], target: str, address: str, said: str
) -> None:
    users = [{"id": "1", "name": "bob"}, {"id": "2", "name": "alice"}]
    nodes = [
        node(1, "a", user=users[0]),
        node(2, "b", user=users[1], approvedRoutes=["0.0.0.0/0"], availableRoutes=["0.0.0.0/0"]),
    ]
    rule = {"action": "accept", "src": sources, "dst": [target]}
    policy = {"policy": json.dumps({"groups": {"group:admin": ["alice@"]}, "acls": [rule]})}
    seen = answer(policy=policy, nodes={"nodes": nodes}, users={"users": users})
    rows = {
        "through_exit": [{"connected": False, "address": address}],
        "around_exit": [{"connected": True, "address": address}],
    }
    data = _client(prefs={"ExitNodeID": "2"}, **rows)
    data["status"] = {**data["status"], "Peer": {"2": {**_PEER, "ID": "2", "HostName": "b", "ExitNodeOption": True}}}
    hint = problems(examine_client(data, server=Server(seen, ServerContext())))["doctor.exit_node"]
    assert said in hint
    assert "could not tell" not in hint


@pytest.mark.parametrize("policy", ["autogroup:internet:*", ""])
@pytest.mark.parametrize(
    ("around", "blamed"),
    [
        ({"10.0.0.5": True, "192.168.1.10": True}, False),
        ({"10.0.0.5": True, "203.0.113.10": False}, False),
        ({"10.0.0.5": True, "203.0.113.10": True}, True),
    ],
)
def test_an_exit_node_is_not_blamed_for_private_addresses_that_the_internet_does_not_include(
    around: dict[str, bool], blamed: bool, policy: str
) -> None:
    rule = {"action": "accept", "src": ["*"], "dst": [policy]}
    nodes = [node(1, "a"), node(2, "b", approvedRoutes=["0.0.0.0/0"], availableRoutes=["0.0.0.0/0"])]
    seen = {"policy": {"policy": json.dumps({"acls": [rule]})}} if policy else {}
    server = Server(answer(nodes={"nodes": nodes}, users={"users": [{"id": "1"}]}, **seen), ServerContext())
    rows = {
        "through_exit": [{"connected": False, "address": address} for address in around],
        "around_exit": [{"connected": connected, "address": address} for address, connected in around.items()],
    }
    data = _client(prefs={"ExitNodeID": "2"}, **rows)
    data["status"] = {**data["status"], "Peer": {"2": {**_PEER, "ID": "2", "HostName": "b", "ExitNodeOption": True}}}
    (found,) = [check for check in examine_client(data, server=server) if check.id == "doctor.exit_node"]
    assert found.verdict == ("failed" if blamed else "skipped")
    assert ("does not forward it" if blamed else "was not seen: only 10.0.0.5") in found.hint


def test_a_policy_that_was_not_seen_may_close_an_exit_node() -> None:
    data = _client(prefs={"ExitNodeID": "2"}, through_exit=[{"connected": False}], around_exit=[{"connected": True}])
    data["status"] = {**data["status"], "Peer": {"2": {**_PEER, "ID": "2", "HostName": "b", "ExitNodeOption": True}}}
    assert (
        "and that the policy grants this node autogroup:internet (meshctl could not tell)"
        in problems(examine_client(data))["doctor.exit_node"]
    )


def test_an_old_packet_filter_follows_from_a_server_that_is_not_reached() -> None:
    bad = {"server": {"id": "doctor.server", "source": "b", "hint": "it does not answer in time"}}
    lost = {"answered": {"100.64.0.2": True}, "echoed": {"100.64.0.2": False}}
    one = ClientView(name="a", key="nodekey:1", state="Running", own=("100.64.0.1",), **lost)
    nodes = {"nodes": {"nodes": [node(1, "a"), node(2, "b")]}}
    for refuses, because in ((("100.64.0.1",), True), ((), False)):
        two = ClientView(name="b", key="nodekey:2", state="Running", refuses=refuses, bad=bad)
        hint = problems(examine_server(nodes, views=(one, two)))["doctor.policy.reach"]
        assert (hint == "because of doctor.server on b") is because


_OWN6 = "fd7a:115c:a1e0::1"


@pytest.mark.parametrize(
    ("held", "up", "files", "words"),
    [
        (["100.64.0.1/32", f"{_OWN6}/128"], True, {}, ""),
        (["100.64.0.1/32", f"{_OWN6}/128"], False, {}, "tailscale0 is down"),
        (["100.64.0.1/32"], True, {"disable_ipv6": "1\n"}, "IPv6 is switched off on tailscale0"),
        (["100.64.0.1/32"], True, {"mtu": "900\n"}, "has an MTU of 900, and IPv6 needs 1280"),
        (["100.64.0.1/32"], True, {"mtu": "1280\n", "disable_ipv6": "0\n"}, f"lacks the node's address {_OWN6}"),
        ([], True, {}, f"no interface has the addresses of the node (100.64.0.1, {_OWN6})"),
    ],
)
def test_the_addresses_that_the_kernel_has(held: list[str], up: bool, files: dict[str, str], words: str) -> None:
    paths = {"disable_ipv6": "/proc/sys/net/ipv6/conf/tailscale0/disable_ipv6", "mtu": "/sys/class/net/tailscale0/mtu"}
    data = _client(interface={paths[name]: {"text": said} for name, said in files.items()})
    data["status"]["Self"] = {**data["status"]["Self"], "TailscaleIPs": ["100.64.0.1", _OWN6]}
    data["addresses"] = [{"name": "tailscale0", "type": "none", "up": up, "addresses": held}]
    found = next((hint for name, hint in problems(examine_client(data)).items() if "interface" in name), "")
    assert bool(found) is bool(words)
    assert words in found


@pytest.mark.parametrize(
    ("missing", "cmdline", "said"),
    [
        (True, "quiet ipv6.disable=1", "remove ipv6.disable=1 from the kernel's command line (/proc/cmdline), and reboot"),
        (True, "quiet", "load the kernel's module ipv6"),
        (False, "quiet ipv6.disable=1", "restart tailscaled, which sets it up again"),
    ],
)  # fmt: skip
def test_a_kernel_without_ipv6_is_no_matter_of_tailscaled(missing: bool, cmdline: str, said: str) -> None:
    gone = {"error": "No such file or directory"}
    files = {
        "/proc/sys/net/ipv6/conf/all/disable_ipv6": gone if missing else {"text": "0\n"},
        "/proc/sys/net/ipv6/conf/tailscale0/disable_ipv6": gone,
        "/proc/cmdline": {"text": f"{cmdline}\n"},
    }
    data = _client(interface=files)
    data["status"]["Self"] = {**data["status"]["Self"], "TailscaleIPs": ["100.64.0.1", _OWN6]}
    hint = problems(examine_client(data))["doctor.interface.ipv6"]
    assert said in hint
    assert ("runs without IPv6 (/proc/sys/net/ipv6/conf/all/disable_ipv6 does not exist)" in hint) is missing


@pytest.mark.parametrize(("mode", "says"), [("file", True), ("database", False)])
def test_a_policy_file_that_headscale_has_not_read(mode: str, says: bool) -> None:
    views = tuple(
        ClientView(name=name, key=f"nodekey:{number}", state="Running", own=(f"100.64.0.{number}",),
                   answered={f"100.64.0.{3 - number}": True}, echoed={f"100.64.0.{3 - number}": True})
        for number, name in ((1, "a"), (2, "b"))
    )  # fmt: skip
    config = {"path": "c", "text": f"server_url: https://h\npolicy: {{mode: {mode}}}\n"}
    policy = {"policy": '{"acls": [{"action": "accept", "src": ["100.64.0.9"], "dst": ["*:*"]}]}'}
    data = {"nodes": {"nodes": [node(1, "a"), node(2, "b")]}, "policy": policy, "config": config}
    seen = Server(answer(users={"users": []}, **data), ServerContext(url="https://h", views=views))
    again = Server.read({**seen.as_fact(), "source": "server"}, seen.known)
    found = problems(finding.judge(mesh, again, CONTEXT))["doctor.policy.reach"]
    assert ("`kill -HUP $(pidof headscale)`" in found) is says
    assert "packets pass" in found
    assert "mesh_expect" not in found, "what passes is what is expected"


def test_an_address_of_a_peer_that_the_host_has_itself() -> None:
    data = _client()
    data["status"]["Peer"] = {"2": {**_PEER, "HostName": "b"}}
    data["addresses"] = [
        *data["addresses"],
        {"name": "wg0", "type": "none", "up": True, "addresses": ["100.64.0.2/24"]},
    ]
    found = problems(examine_client(data))
    assert "wg0 has 100.64.0.2, which is b in the mesh" in found["doctor.interface.taken"]
