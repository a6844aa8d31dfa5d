# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about a client, from observations."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import client, control, finding
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.client import magic_dns, routes
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.relays import read_relays
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.view import ClientView
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.path import ExpectedPath, Underlay
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.saturation import slow
from doctor import CONTEXT, JSON, answer, examine_client, node, problems
from hypothesis import given
from hypothesis import strategies as st

_WELL = {"outcome": "answered", "status": 200, "body": '{"status":"pass"}'}


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"outcome": "answered", "status": 101}, "passed"),
        ({"outcome": "answered", "status": 426, "headers": {"server": "nginx"}}, "failed"),
        ({"outcome": "refused"}, "skipped"),
    ],
)
def test_a_proxy_in_front_of_a_relay(row: dict[str, Any], verdict: str) -> None:
    relay = {"HostName": "relay.example.com", "IPv4": "203.0.113.9", "DERPPort": 8443, "STUNPort": -1}
    seen = {
        "status": {"Self": {}},
        "derpmap": {"Regions": {"1": {"RegionCode": "home", "Nodes": [relay]}}},
        "relays": [{"url": "https://relay.example.com:8443/derp", **row}],
    }
    (found,) = [check for check in examine_client(seen) if check.id == "doctor.relay.upgrade"]
    assert found.verdict == verdict
    assert verdict != "failed" or "nginx in front of the relay" in found.hint


@pytest.mark.parametrize(
    ("health", "upgrade", "trouble"),
    [
        (_WELL, {"outcome": "answered", "status": 101}, ""),
        ({**_WELL, "body": "<HTML>"}, {"outcome": "answered", "status": 101}, "a page of HTML instead of headscale"),
        ({**_WELL, "status": 403, "body": ""}, None, "answers 403 with something else"),
        ({"outcome": "answered", "status": 500}, {"outcome": "answered", "status": 101}, "the server answers 500"),
        (
            _WELL,
            {"outcome": "answered", "status": 426},
            "does not forward the upgrade",
        ),
        (_WELL, {"outcome": "timeout"}, "does not answer in time"),
        ({"outcome": "handshake", "error": "internal error"}, None, "TLS handshake fails"),
        ({"outcome": "tls", "error": "unknown authority"}, None, "add its CA"),
        ({"outcome": "tls", "error": "certificate has expired"}, None, "this host's clock"),
        (None, {"outcome": "refused"}, "nothing listens there"),
        (None, None, "not even the resolver"),
    ],
)
def test_problems_of_a_server_that_a_host_sees(health: Any, upgrade: Any, trouble: str) -> None:
    known = {"/health": health, "/ts2021": upgrade}
    rows = [row and {"url": f"https://h{path}", **row} for path, row in known.items()]
    said = control.trouble(rows, "https://h")
    assert trouble in said
    assert bool(said) is bool(trouble)


_OBSERVATIONS = [
    "status",
    "prefs",
    "derpmap",
    "dns_config",
    "resolv_conf",
    "forwarding",
    "server",
    "relays",
    "stun",
    "own_name",
    "outside",
    "dns",
    "disco",
]


@given(st.dictionaries(st.sampled_from(_OBSERVATIONS), JSON))
def test_no_answer_makes_a_finding_raise_or_pass_by_accident(data: dict[str, Any]) -> None:
    checks = examine_client(data, server_url="https://h")
    assert not {check.id for check in checks if check.verdict == "passed"} & {
        "doctor.client", "doctor.server", "doctor.proxy", "doctor.derp_map", "doctor.magic_dns", "doctor.server_url",
    }  # fmt: skip
    assert all(check.hint for check in checks if check.verdict != "passed")


@given(st.dictionaries(st.sampled_from(["status", "prefs", "derpmap", "dns_config", "resolv_conf"]), JSON))
def test_no_first_answer_makes_the_requests_raise(data: dict[str, Any]) -> None:
    asked = finding.requests(client, Client(answer(**data), ClientContext()))
    assert len({request["id"] for request in asked}) == len(asked), "each observation has its own name"


def test_a_client_without_tailscaled_is_one_finding() -> None:
    checks = finding.judge(client, Client({}, ClientContext()), CONTEXT, only="client")
    assert [(check.id, check.verdict) for check in checks] == [("doctor.client", "error")]
    assert "start tailscaled" in checks[0].hint


def test_a_host_that_does_not_answer_is_not_taken_for_one_without_tailscaled() -> None:
    silent = Client({"failure": {"type": "hung", "message": "no answer from the host"}}, ClientContext())
    checks = finding.judge(client, silent, CONTEXT, only="client")
    assert checks[0].hint == "no answer from the host: check the host's load, its disk and its Python"


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("no_tailscaled", "start tailscaled on this host"), ("no_socket", "restart tailscaled, which makes it again")],
)
def test_a_tailscaled_without_its_socket_is_not_started_but_restarted(kind: str, remedy: str) -> None:
    seen = {"observations": {"status": {"ok": False, "error": {"type": kind, "message": "nothing listens"}}}}
    checks = finding.judge(client, Client(seen, ClientContext()), CONTEXT, only="client")
    assert remedy in checks[0].hint


def test_a_host_without_python_gets_no_other_remedy() -> None:
    silent = Client({"failure": {"type": "no_python", "message": "install Python 3.8 or later"}}, ClientContext())
    checks = finding.judge(client, silent, CONTEXT, only="client")
    assert checks[0].hint == "install Python 3.8 or later"


@pytest.mark.parametrize("said", ["authkey expired", "authkey already used", "invalid pre auth key"])
def test_a_client_whose_preauthkey_is_refused(said: str) -> None:
    health = [f"You are logged out. The last login error was: {said}"]
    status = {"BackendState": "NeedsLogin", "Self": {}, "Health": health}
    seen = Client(answer(status=status, prefs={"LoggedOut": False, "ControlURL": "https://h"}), ClientContext())
    checks = finding.judge(client, seen, CONTEXT, only="client")
    assert f"{said}: the server refuses its preauthkey" in checks[0].hint
    assert ClientView.of("a", seen).logged_out, "it does not come back with its former key"
    seen = Client(answer(status={**status, "Health": []}, prefs={"LoggedOut": False}), ClientContext())
    assert not ClientView.of("a", seen).logged_out


def _client(status: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    """Return the observations of a client that is in the mesh and well."""
    own = {
        "PublicKey": "nodekey:1",
        "Online": True,
        "TailscaleIPs": ["100.64.0.1"],
        "DNSName": "a.mesh.",
        "Relay": "lab",
    }
    known = {"BackendState": "Running", "TUN": True, "Self": own, "Peer": {}, **(status or {})}
    links = [
        {"name": "eth0", "addresses": ["10.0.0.10/24"]},
        {"name": "tailscale0", "addresses": ["100.64.0.1/32"]},
    ]
    return {"status": known, "prefs": {"CorpDNS": True}, "addresses": links, **data}


def _peer(**more: Any) -> dict[str, Any]:
    return {"ID": "2", "HostName": "b", "TailscaleIPs": ["100.64.0.2"], "Online": True, "ExitNodeOption": True, **more}


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (None, "which the server does not show to this node"),
        (_peer(Online=False), "which is offline"),
        (_peer(ExitNodeOption=False), "which is not approved as an exit node"),
        (_peer(), "which does not forward it"),
    ],
)
def test_exit_nodes_that_do_not_work(peer: dict[str, Any] | None, words: str) -> None:
    found = problems(
        examine_client(
            _client(
                {"Peer": {"2": peer} if peer else {}},
                prefs={"ExitNodeID": "2"},
                through_exit=[{"connected": False}],
                around_exit=[{"connected": True}],
                outside=[{"name": "example.com", "outcome": "failed"}],
            ),
            outside=("example.com",),
        )
    )
    assert words in found["doctor.exit_node"]
    assert "`tailscale set --exit-node=`" in found["doctor.exit_node"]
    assert found["doctor.upstream_dns"] == "because of doctor.exit_node"


@pytest.mark.parametrize(("device", "verdicts"), [("tailscale0", {"passed"}), ("eth0", {"failed"}), ("", set())])
def test_packets_that_the_kernel_sends_elsewhere(device: str, verdicts: set[str]) -> None:
    data = _client({"Peer": {"2": _peer()}}, mesh_routes={"get": {"100.64.0.2": {"dev": device} if device else {}}})
    checks = [check for check in examine_client(data) if check.id == "doctor.kernel_route"]
    assert {check.verdict for check in checks} == verdicts
    assert all("100.64.0.2 through eth0, and not through tailscale0" in check.hint for check in checks if check.bad)


@pytest.mark.parametrize("more", [{"Expired": True}, {"Online": False}])
def test_the_route_to_a_node_that_tailscaled_does_not_trust_proves_nothing(more: dict[str, Any]) -> None:
    elsewhere = {"100.64.0.2": {"dev": "eth0"}}
    data = _client({"Peer": {"2": _peer(**more)}}, mesh_routes={"get": elsewhere})
    assert "doctor.kernel_route" not in problems(examine_client(data))
    other = _peer(ID="3", HostName="c", TailscaleIPs=["100.64.0.3"])
    found = {**elsewhere, "100.64.0.3": {"dev": "tailscale0"}}
    data = _client({"Peer": {"2": _peer(), "3": other}}, mesh_routes={"get": found})
    assert "doctor.kernel_route" not in problems(examine_client(data)), "one of several"


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"error": "RTNETLINK answers: Invalid argument"}, "100.64.0.2 nowhere (blackhole, unreachable or prohibit)"),
        ({"dev": "eth0"}, "100.64.0.2 through eth0, and not through tailscale0"),
        ({"error": "RTNETLINK answers: Network is unreachable"}, ""),
    ],
)
def test_a_route_that_leads_one_reachable_node_astray(route: dict[str, Any], said: str) -> None:
    peers = {"2": _peer(), "3": _peer(ID="3", HostName="c", TailscaleIPs=["100.64.0.3"])}
    seen = {"disco": {"100.64.0.2": {"answered": True}}, "icmp": {"100.64.0.2": {"received": 0, "sent": 3}}}
    kernel = {"get": {"100.64.0.2": route, "100.64.0.3": {"dev": "tailscale0"}}}
    found = problems(examine_client(_client({"Peer": peers}, mesh_routes=kernel, **seen)))
    assert said in found.get("doctor.kernel_route", "") if said else "doctor.kernel_route" not in found
    # Without echo requests that were lost, this may be a node that tailscaled does not trust.
    assert "doctor.kernel_route" not in problems(examine_client(_client({"Peer": peers}, mesh_routes=kernel)))


@pytest.mark.parametrize(
    ("keys", "because"), [((1, 2), "doctor.derp_map"), ((1,), "doctor.registration"), ((2,), "doctor.registration")]
)
def test_a_node_that_the_server_does_not_know_explains_silence(keys: tuple[int, ...], because: str) -> None:
    server = Server(answer(nodes={"nodes": [node(key, f"n{key}") for key in keys]}), ServerContext())
    peer = ExpectedPath(peer=Node(name="b", addresses=("100.64.0.2",)), kind="direct", reason="", underlay=Underlay())
    data = _client({"Peer": {"2": _peer(PublicKey="nodekey:2")}}, disco={"100.64.0.2": {"answered": False}})
    checks = examine_client(data, server=server, expected_paths=(peer,))
    found = next(check for check in checks if check.id == "doctor.path")
    assert found.bad
    assert found.evidence.get("because", {}).get("id") == because


def test_an_exit_node_is_not_blamed_for_what_is_unreachable_without_it_too() -> None:
    nowhere = [{"connected": False}]
    data = _client({"Peer": {"2": _peer()}}, prefs={"ExitNodeID": "2"}, through_exit=nowhere, around_exit=nowhere)
    assert "doctor.exit_node" not in problems(examine_client(data))


@pytest.mark.parametrize(
    ("device", "route", "verdicts"),
    [
        ("tailscale0", "10.0.0.0/16", {"failed"}),
        ("eth0", "10.0.0.0/16", {"passed"}),
        ("tailscale0", "10.9.0.0/16", {"passed"}),
    ],
)
def test_a_network_of_the_host_that_is_routed_into_the_mesh(device: str, route: str, verdicts: set[str]) -> None:
    data = _client({"Peer": {"2": _peer(PrimaryRoutes=[route])}}, own_routes={"get": {"10.0.0.254": {"dev": device}}})
    checks = examine_client(data)
    assert {check.verdict for check in checks if check.id == "doctor.own_subnet"} == verdicts
    advised = any("--accept-routes`" in check.hint for check in checks if check.id == "doctor.routes.accepted")
    assert advised is (route == "10.9.0.0/16"), "never advise to accept a route that covers the host's own network"


_NO_FILE = {"error": "No such file or directory"}


@pytest.mark.parametrize(
    ("advertised", "ipv4", "ipv6", "verdict", "said"),
    [
        (["10.9.0.0/24"], "1", "0", "passed", ""),
        (["10.9.0.0/24"], "2", "0", "passed", ""),
        (["10.9.0.0/24"], "0", "1", "failed", "it advertises 10.9.0.0/24 but does not forward IPv4 packets: `sysctl -w net.ipv4.ip_forward=1`,"),
        (["fd00:9::/64"], "0", "1", "passed", ""),
        (["0.0.0.0/0", "::/0"], "1", "0", "failed", "it advertises ::/0 but does not forward IPv6 packets: `sysctl -w net.ipv6.conf.all.forwarding=1`,"),
        (["0.0.0.0/0", "::/0"], "0", "0", "failed", "`sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`"),
        # A kernel without IPv6.
        (["0.0.0.0/0", "::/0"], "1", None, "passed", ""),
        (["0.0.0.0/0", "::/0"], "0", None, "failed", "`sysctl -w net.ipv4.ip_forward=1`"),
        (["fd00:9::/64"], "1", None, "failed", "it advertises fd00:9::/64, but its kernel has no IPv6"),
        # The host's own addresses.
        (["10.0.0.10/32"], "0", "0", "skipped", "takes no forwarding"),
        (["10.0.0.11/32", "10.0.0.10/32"], "0", "0", "failed", "it advertises 10.0.0.11/32 but"),
        (["10.0.0.0/24"], "0", "0", "failed", "does not forward IPv4 packets"),
    ],
)  # fmt: skip
def test_a_router_whose_kernel_does_not_forward(
    advertised: list[str], ipv4: str, ipv6: str | None, verdict: str, said: str
) -> None:
    files = {
        "/proc/sys/net/ipv4/ip_forward": {"text": f"{ipv4}\n"},
        "/proc/sys/net/ipv6/conf/all/forwarding": _NO_FILE if ipv6 is None else {"text": f"{ipv6}\n"},
    }
    found = _forwarding(prefs={"AdvertiseRoutes": advertised}, forwarding=files)
    assert found.verdict == verdict
    assert said in found.hint


@pytest.mark.parametrize(
    ("by_interface", "verdict", "said"),
    [
        ({"eth0": "1", "tailscale0": "1"}, "passed", ""),
        ({"eth0": "0", "tailscale0": "0"}, "failed", "does not forward IPv4 packets: `sysctl -w net.ipv4.ip_forward=1`"),
        ({"eth0": "1", "tailscale0": "0"}, "failed", "`sysctl -w net/ipv4/conf/tailscale0/forwarding=1`"),
        ({"eth0": "0", "tailscale0": "1"}, "skipped", "is on for tailscale0, and off for eth0"),
    ],
)  # fmt: skip
def test_forwarding_that_is_switched_on_by_interface_is_not_off(
    by_interface: dict[str, str], verdict: str, said: str
) -> None:
    files = {
        f"/proc/sys/net/ipv4/conf/{name}/forwarding": {"text": f"{value}\n"} for name, value in by_interface.items()
    }
    asked = routes.requests(Client(answer(**_client()), ClientContext()))[0]["paths"]
    assert set(files) <= set(asked)
    found = _forwarding(
        prefs={"AdvertiseRoutes": ["10.9.0.0/24"]},
        forwarding={"/proc/sys/net/ipv4/ip_forward": {"text": "0\n"}, **files},
    )
    assert (found.verdict, said in found.hint) == (verdict, True)


def _forwarding(status: dict[str, Any] | None = None, **data: Any) -> Check:
    return next(check for check in examine_client(_client(status, **data)) if check.id == "doctor.routes.forwarding")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ({}, "the host did not report this observation"),
        ({"forwarding": {"/proc/sys/net/ipv4/ip_forward": {"error": "Permission denied"}}}, "ip_forward: Permission denied"),
        ({"forwarding": {"/proc/sys/net/ipv4/ip_forward": _NO_FILE}}, "ip_forward: No such file"),
    ],
)  # fmt: skip
def test_a_kernel_whose_forwarding_was_not_read_is_not_said_to_lack_it(read: dict[str, Any], said: str) -> None:
    found = _forwarding(prefs={"AdvertiseRoutes": ["10.9.0.0/24"]}, **read)
    assert found.verdict == "error"
    assert said in found.hint


def test_a_tailscaled_without_a_device_forwards_by_itself() -> None:
    files = {"/proc/sys/net/ipv4/ip_forward": {"text": "0"}}
    found = _forwarding({"TUN": False}, prefs={"AdvertiseRoutes": ["10.9.0.0/24"]}, forwarding=files)
    assert (found.verdict, "userspace-networking" in found.hint) == ("skipped", True)


def test_what_follows_from_a_stopped_client_refers_to_it() -> None:
    found = problems(examine_client(_client({"BackendState": "Stopped"}, derpmap={"Regions": {}})))
    assert "tailscale up" in found["doctor.client"]
    assert found["doctor.derp_map"] == found["doctor.magic_dns"] == "because of doctor.client"


def test_a_relay_is_asked_as_clients_ask_it() -> None:
    node = {"HostName": "203.0.113.9", "CertName": "sha256-raw:ab", "InsecureForTests": True, "STUNPort": -1}
    (relay,) = read_relays({"Regions": {"1": {"Nodes": [{**node, "IPv4": "none", "IPv6": "2001:db8::1"}]}}}, home="")
    (page,) = relay.pages(url=relay.url)
    assert page["sha256"] == "ab"
    assert page["insecure"] is True
    assert (page["connect"], page["family"]) == ("2001:db8::1", 6)
    assert page["user_agent"].startswith("Go-http-client/")
    assert relay.stun_port < 0


def test_a_map_without_stun_is_a_fault_only_where_an_address_is_missing() -> None:
    regions = {"Regions": {"1": {"RegionCode": "lab", "Nodes": [{"HostName": "relay", "STUNPort": -1}]}}}
    for endpoints, bad in ((["10.0.0.10:41641"], True), (["10.0.0.10:41641", "203.0.113.3:41641"], False)):
        data = _client(derpmap=regions)
        data["status"]["Self"]["Addrs"] = endpoints
        assert ("doctor.derp_map.stun" in problems(examine_client(data))) is bad


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("Tailscale could not connect to the 'Lab' relay server. Your Internet connection might be down.", True),
        (
            "Tailscale could not connect to the relay server with ID '901'. Your Internet connection might be down.",
            True,
        ),
        ("Tailscale could not connect to the 'Frankfurt' relay server. Your Internet connection might be down.", False),
        ("Tailscale could not establish an encrypted connection with 'relay': likely intercepted connection", False),
    ],
)
def test_a_relay_that_refuses_admission(said: str, refused: bool) -> None:
    region = {"RegionID": 901, "RegionCode": "lab", "RegionName": "Lab", "Nodes": [{"HostName": "relay"}]}
    derp = {"Regions": {"901": region}}
    rows = [{"url": "https://relay/derp", "outcome": "answered", "status": 101}]
    found = problems(examine_client(_client({"Health": [said]}, derpmap=derp, relays=rows)))
    assert ("doctor.relay.admission" in found) is refused


_OWNED = '{"groups": {"group:admin": ["alice@"]}, "tagOwners": {"tag:a": ["bob@"], "tag:b": ["group:admin"], "tag:c": ["tag:b"]}}'


def _tags(requested: list[str], granted: tuple[str, ...] = (), policy: str | None = _OWNED, **owner: Any) -> str:
    """Return why tags were not granted to the node of alice, or one with tags, on a server with this policy."""
    data = _client(prefs={"AdvertiseTags": requested})
    data["status"]["Self"]["Tags"] = list(granted)
    alice = {"user": {"id": "1", "name": "alice"}}
    seen: dict[str, Any] = {"nodes": {"nodes": [node(7, "a", nodeKey="nodekey:1", **(owner or alice))]}}
    seen["users"] = {"users": [alice["user"], {"id": "2", "name": "bob"}]}
    seen |= {} if policy is None else {"policy": {"policy": policy}}
    server = Server(answer(**seen), ServerContext())
    return problems(examine_client(data, server=server)).get("doctor.tags", "")


@pytest.mark.parametrize(
    ("tag", "policy", "said"),
    [
        ("tag:a", _OWNED, "tag:a, because the policy gives it to bob@ and this node belongs to alice: change tagOwners; or set"),
        ("tag:d", _OWNED, "tag:d, because the policy has no tagOwners for it: add them"),
        ("tag:a", "", "tag:a, because the policy has no tagOwners for it"),
        ("tag:a", None, "the reason is unknown, because the policy was not read (the host did not report this observation)"),
        ("tag:a", '{"tagOwners": 1}', "the reason is unknown, because the policy was not read (tagOwners"),
        ("tag:b", _OWNED, "the reason is unknown: the policy gives it to group:admin, so this node, which belongs to alice, is now allowed"),
        ("tag:c", _OWNED, "the reason is unknown: the policy gives it to tag:b, so this node, which belongs to alice, is now allowed the tag"),
        ("tag:a", '{"tagOwners": {"tag:a": ["alice@"]}}', "is now allowed the tag; join again without a preauthkey"),
        ("tag:a", '{"tagOwners": {"tag:a": ["tag:b"], "tag:b": ["tag:a"]}}', "gives it to tag:b and this node belongs to alice"),
    ],
)  # fmt: skip
def test_tags_that_were_not_granted_have_a_reason_that_was_seen(tag: str, policy: str | None, said: str) -> None:
    assert said in _tags([tag], policy=policy)


def test_without_a_server_the_reason_for_a_missing_tag_is_unknown() -> None:
    hint = problems(examine_client(_client(prefs={"AdvertiseTags": ["tag:a"]})))["doctor.tags"]
    assert "did not grant tag:a, and the reason is unknown, because the policy was not read: " in hint
    assert "`" not in hint


def test_the_command_for_a_missing_tag_keeps_those_that_were_granted() -> None:
    partly = _tags(["tag:a", "tag:b", "tag:d"], ("tag:b",), tags=["tag:b"])
    assert "`headscale nodes tag -i 7 -t tag:a,tag:b`" in partly, "the policy does not define tag:d"
    assert "the reason is unknown: the policy gives it to bob@, and a node with tags has no user" in partly
    assert "which it does not request" not in partly
    retagged = _tags(["tag:a"], ("tag:x",), tags=["tag:x"])
    assert (
        "the server gives this node tag:x, which it does not request, and the reason is unknown: first find out"
        in retagged
    )
    assert "`headscale nodes tag -i 7 -t tag:a,tag:x`" in retagged
    assert "-t 'tag:a,tag:x; reboot'`" in _tags(["tag:a"], ("tag:x; reboot",), tags=["tag:x; reboot"])
    assert "the server lists tag:a for this node" in _tags(["tag:a"], tags=["tag:a"])
    assert not _tags(["tag:a"], ("tag:a", "tag:x"))


def test_a_resolver_inside_the_mesh_is_named() -> None:
    data = _client(
        {"Peer": {"2": _peer()}},
        dns_map={"Resolvers": [{"Addr": "100.64.0.2"}], "Routes": {"corp.example.": [{"Addr": "10.0.0.250"}]}},
        resolv_conf={"nameservers": ["100.100.100.100"]},
        outside=[{"name": "example.com", "outcome": "failed"}],
    )
    data["split 10.0.0.250"] = [{"name": "corp.example", "outcome": "timeout"}]
    found = problems(examine_client(data, outside=("example.com",)))
    assert (
        "100.64.0.2, which is b in this mesh; if b uses the mesh's DNS settings, it queries itself"
        in found["doctor.upstream_dns"]
    )
    assert "10.0.0.250 of corp.example" in found["doctor.split_dns"]


@pytest.mark.parametrize(
    ("answers", "rcode", "said"),
    [
        ([{"value": "10.9.9.9"}], "NOERROR", "to 10.9.9.9 and not to its mesh addresses, as an entry of that name in dns.extra_records"),
        ([], "NXDOMAIN", "tailscaled answers NXDOMAIN for this node's own name"),
        (None, "", "tailscaled's own resolver 100.100.100.100 does not answer"),
    ],
)  # fmt: skip
def test_a_resolver_that_answers_wrongly_is_not_said_to_be_silent(answers: Any, rcode: str, said: str) -> None:
    row = {
        "name": "a.mesh",
        "outcome": "timeout" if answers is None else "answered",
        "answers": answers,
        "rcode": rcode,
    }
    data = _client({"CurrentTailnet": {"MagicDNSEnabled": True}}, dns=[row], prefs={"CorpDNS": True})
    assert said in problems(examine_client(data))["doctor.magic_dns"]


def test_a_server_whose_health_page_alone_is_late_has_a_hint() -> None:
    rows = [{"url": "https://h/ts2021", "outcome": "answered", "status": 101}]
    data = _client(prefs={"ControlURL": "https://h"}, server=rows, outside=[{"name": "h", "outcome": "found"}])
    assert "was not fetched in time, although another page" in problems(examine_client(data))["doctor.server"]


@pytest.mark.parametrize("rows", [[], [{"url": "https://h/ts2021", "outcome": "answered", "status": 101}]])
def test_pages_that_come_too_late_may_be_the_machines_fault(rows: list[dict[str, Any]]) -> None:
    data = _client(prefs={"ControlURL": "https://h"}, server=rows, outside=[{"name": "h", "outcome": "found"}])
    found = next(check for check in examine_client(data) if check.id == "doctor.server")
    assert (found.verdict, slow(found)) == ("error", True)


def test_a_node_without_an_ipv4_address_has_its_resolver_elsewhere() -> None:
    own = {
        "PublicKey": "nodekey:1",
        "Online": True,
        "TailscaleIPs": ["fd7a:115c:a1e0::1"],
        "DNSName": "a.mesh.",
        "Relay": "lab",
    }
    links = [{"name": "tailscale0", "addresses": ["fd7a:115c:a1e0::1/128"]}]
    answers = [{"name": "a.mesh", "outcome": "answered", "answers": [{"value": "fd7a:115c:a1e0::1"}]}]
    data = _client(
        {"Self": own, "CurrentTailnet": {"MagicDNSEnabled": True}}, addresses=links, dns=answers,
        own_name=[{"name": "a.mesh", "outcome": "found", "addresses": ["fd7a:115c:a1e0::1"]}],
        resolv_conf={"nameservers": ["fd7a:115c:a1e0::53"]},
    )  # fmt: skip
    assert "doctor.magic_dns" not in problems(examine_client(data))
    known = Client(answer(**data), ClientContext())
    (asked,) = [request for request in magic_dns.requests(known) if request["kind"] == "dns"]
    assert (asked["server"], asked["queries"]) == ("fd7a:115c:a1e0::53", [{"name": "a.mesh", "type": "AAAA"}])
    assert known.asks_tailscaled
