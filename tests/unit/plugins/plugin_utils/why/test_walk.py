# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break each step of a path, and check that it is named."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import Answer
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import walk as drawn
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why import walk
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.case import Case, Side
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.members import Members
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.question import Known
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.steps import packets
from doctor import JSON, NOW, answer
from hypothesis import given
from hypothesis import strategies as st

V4, V6 = "100.64.0.{}", "fd7a:115c:a1e0::{}"
USER = {"id": "1", "name": "default"}
OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
ALL_PORTS = {"First": 0, "Last": 65535}


def node(number: int, name: str, **more: Any) -> dict[str, Any]:
    known = {"id": str(number), "name": name, "givenName": name, "nodeKey": f"nodekey:{number}", "online": True, "user": USER,
             "ipAddresses": [V4.format(number), V6.format(number)], "expiry": None}  # fmt: skip
    return {**known, **more}


def side(number: int, other: int) -> dict[str, Any]:
    """Return what is observed on a healthy host."""
    to = [V4.format(other), V6.format(other)]
    me = [V4.format(number), V6.format(number)]
    return {
        "status": {"BackendState": "Running", "TUN": True, "Self": {"TailscaleIPs": me},
                   "Peer": {f"nodekey:{other}": {"Expired": False}}},
        "prefs": {"ShieldsUp": False, "LoggedOut": False, "RouteAll": True},
        "addresses": [{"name": "eth0", "addresses": ["10.0.0.9/24"]}, {"name": "tailscale0", "addresses": [f"{one}/32" for one in me]}],
        "packet_filter": [{"IPProto": [6, 17, 1, 58], "Srcs": ["100.64.0.0/10", "fd7a:115c:a1e0::/48"],
                           "Dsts": [{"Net": "0.0.0.0/0", "Ports": ALL_PORTS}, {"Net": "::/0", "Ports": ALL_PORTS}]}],
        "routes": {"get": {one: {"dev": "tailscale0"} for one in to}, "rules": {"ipv4": [{"table": "52"}], "ipv6": [{"table": "52"}]}},
        "firewall": {"chains": [], "legacy": False},
        "listening": [{"proto": "tcp", "address": "0.0.0.0", "port": 443, "process": {"name": "nginx"}},
                      {"proto": "tcp", "address": "::", "port": 443, "process": {"name": "nginx"}}],
        "files": {},
        "watched": [],
    }  # fmt: skip


def flow(
    direction: str, kind: str, *, back: bool = False, family: int = 4, src: str = "", dst: str = ""
) -> dict[str, Any]:
    """Return packets from node 1 to node 2, or back."""
    one, two = ((V4, V6)[family == 6].format(number) for number in (1, 2))
    here, there = (two, one) if back else (one, two)
    return {"direction": direction, "src": src or here, "dst": dst or there, "kind": kind, "packets": 1}


class Mesh:
    """Everything that is observed for a question between two nodes; healthy, until a test changes it."""

    def __init__(self, target: str = "two", service: str = "tcp/443", *, outcome: str = "connected") -> None:
        """Begin with a healthy mesh."""
        self.question, self.service, self.outcome = target, service, outcome
        self.nodes = [node(1, "one"), node(2, "two")]
        self.policy: Any = OPEN
        self.one, self.two = side(1, 2), side(2, 1)
        self.hidden: set[str] = set()
        self.outcomes: dict[int, str] = {}
        for family in (4, 6):
            self.one["watched"] += [flow("out", "syn", family=family), flow("in", "syn-ack", back=True, family=family)]
            self.two["watched"] += [flow("in", "syn", family=family), flow("out", "syn-ack", back=True, family=family)]

    def silent(self, outcome: str = "timeout") -> Mesh:
        """Have no answer from the target."""
        self.outcome = outcome
        for one in (self.one, self.two):
            one["watched"] = [row for row in one["watched"] if row["kind"] == "syn"]
        return self

    def case(self) -> Case:
        """Return the question with everything that is observed."""
        told = {"one": {"key": "nodekey:1"}, "two": {"key": "nodekey:2"}}
        data = answer(nodes={"nodes": self.nodes}, users={"users": [USER]}, policy={"policy": self.policy})
        server = Server(data, ServerContext(url="https://h"))
        members = Members(server)
        known = Known(clients=told, nodes=self.nodes, leads=members.leads, withheld=members.withheld)
        question = known.ask("one", self.question, self.service)
        rows = [
            {
                "host": host,
                "port": question.service.port,
                "outcome": self.outcomes.get(6 if ":" in host else 4, self.outcome),
            }
            for host in question.target.addresses
        ]
        direct = {"answered": True, "last": {"endpoint": "192.0.2.1:41641"}}
        router = V4.format(2)
        tried = answer(disco={router: direct, V6.format(2): direct}, tsmp={router: {"answered": True}}, **{"try": rows})
        sides = {
            name: Side(end, None if name in self.hidden else answer(**getattr(self, name)))
            for name, end in (("one", question.source), ("two", question.target))
        }
        return Case(
            question=question, server=server, source=sides["one"], target=sides["two"],
            tried=Answer({} if "one" in self.hidden else tried),
        )  # fmt: skip

    def ask(self) -> dict[str, Any]:
        """Return the answer."""
        case = self.case()
        checks = walk.checks(case, walk.walk(case), {"one": "", "two": ""})
        return drawn.as_data([check.as_dict() for check in checks])


def failing(mesh: Mesh, step: str, *words: str) -> None:
    """Check that a step fails, no other one does, and its sentence has these words."""
    found = mesh.ask()
    assert found["failed_step"] == step, found
    assert found["reachable"] is False
    failed = [one["step"] for one in found["steps"] if one["state"] == "failed"]
    assert set(failed) == {step}, failed
    assert all(word in found["headline"] for word in words), found["headline"]


def test_a_healthy_pair_is_reachable_and_every_step_is_observed() -> None:
    found = Mesh().ask()
    assert found["reachable"] is True
    assert {step["state"] for step in found["steps"]} == {"passed"}, found
    assert "1 packet arrived at two on tailscale0" in found["headline"]


@pytest.mark.parametrize("state", ["NeedsLogin", "Running"])
def test_registered(state: str) -> None:
    mesh = Mesh().silent()
    mesh.nodes[1]["expiry"] = "2020-01-01T00:00:00Z"
    failing(mesh, "registered", "the key of two expired on 2020-01-01")
    mesh = Mesh().silent()
    mesh.two["prefs"]["LoggedOut"], mesh.two["status"] = True, {"BackendState": state}
    failing(mesh, "registered", "two is logged out")


def test_registered_when_the_server_lost_the_node() -> None:
    mesh = Mesh().silent()
    mesh.nodes.pop()
    mesh.two["status"]["Self"]["TailscaleIPs"] = [V4.format(2)]
    failing(mesh, "registered", "the server does not know the key of two")


def test_client() -> None:
    mesh = Mesh().silent()
    mesh.two["status"]["BackendState"] = "Stopped"
    failing(mesh, "client", "tailscale is down on two")
    mesh = Mesh().silent()
    mesh.one["status"]["TUN"] = False
    failing(mesh, "client", "one has no network interface")


def test_policy() -> None:
    mesh = Mesh().silent()
    mesh.policy = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:80"]}]}'
    failing(mesh, "policy", "no rule allows tcp 443", "opens only tcp 80")
    mesh = Mesh()
    mesh.policy = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["100.64.0.2:*"]}]}'
    mesh.outcomes[6] = "timeout"
    failing(mesh, "policy", "by IPv6, but does by IPv4", "no rule allows ipv6")


def test_a_policy_for_users_does_not_match_a_node_with_tags() -> None:
    mesh = Mesh().silent()
    mesh.nodes[1]["tags"] = ["tag:srv"]
    name = mesh.nodes[0]["user"]["name"]
    mesh.policy = f'{{"tagOwners": {{"tag:srv": []}}, "acls": [{{"action": "accept", "src": ["{name}@"], "dst": ["{name}@:*"]}}]}}'
    failing(
        mesh,
        "policy",
        "no rule allows ipv4",
        "(rules for users do not match nodes with tags, and no rule names those of two (tag:srv))",
    )


def test_a_policy_that_denies_is_no_cause_while_packets_pass() -> None:
    mesh = Mesh()
    mesh.policy = '{"acls": []}'
    found = mesh.ask()
    assert found["failed_step"] is None
    assert found["reachable"] is True
    assert "but the connection works" in next(one["said"] for one in found["steps"] if one["step"] == "policy")
    assert "; yet no rule allows" in found["headline"]


def test_a_policy_that_cannot_be_read_is_no_cause() -> None:
    mesh = Mesh().silent()
    mesh.policy = "{"
    states = {step["step"]: step["state"] for step in mesh.ask()["steps"]}
    assert states["policy"] == "unknown"
    assert states["firewall"] == "failed"


def test_netmap_and_packet_filter() -> None:
    mesh = Mesh().silent()
    mesh.two["status"]["Peer"] = {}
    failing(mesh, "netmap", "the network map of two has no node one")
    mesh = Mesh().silent()
    mesh.two["prefs"]["ShieldsUp"] = True
    failing(mesh, "packet_filter", "shields are up on two")
    mesh = Mesh().silent()
    mesh.two["packet_filter"][0]["Dsts"] = [{"Net": "0.0.0.0/0", "Ports": {"First": 80, "Last": 80}}]
    failing(mesh, "packet_filter", "out of date")


def test_route() -> None:
    mesh = Mesh().silent()
    lost = {one: {"dev": "eth0"} for one in (V4.format(2), V6.format(2))}
    mesh.one["routes"] = {"get": lost, "rules": {"ipv4": [{"table": "main"}], "ipv6": []}}
    failing(mesh, "route", "sends packets for 100.64.0.2 to eth0", "no policy rule leads to tailscaled's table 52")
    mesh = Mesh().silent()
    for one in (V4.format(1), V6.format(1)):
        mesh.two["routes"]["get"][one] = {"error": "RTNETLINK answers: Network is unreachable"}
    failing(mesh, "route", "two has no route to 100.64.0.1", "takes precedence")


def test_route_of_a_host_without_its_own_address() -> None:
    mesh = Mesh()
    mesh.two["addresses"][1]["addresses"] = [f"{V4.format(2)}/32"]
    found = packets.route(mesh.case(), 6)
    assert found.state == "failed"
    assert f"tailscale0 of two lacks its mesh address {V6.format(2)}" in found.said
    assert "an MTU below 1280" in found.said
    assert packets.route(mesh.case(), 4).state == "passed"


def test_route_to_an_address_that_the_host_has_itself() -> None:
    mesh = Mesh().silent()
    for to in (V4.format(2), V6.format(2)):
        mesh.one["routes"]["get"][to] = {"dev": "lo"}
        mesh.one["addresses"].append({"name": "wg0", "addresses": [f"{to}/24"]})
    failing(mesh, "route", f"wg0 of one has {V4.format(2)} as well, so packets for it stay on that host")


def test_a_target_without_a_network_interface_needs_no_route() -> None:
    mesh = Mesh().silent()
    mesh.two["status"]["TUN"], mesh.two["addresses"], mesh.two["watched"] = False, [], None
    found = mesh.ask()
    assert found["failed_step"] == "connection"
    assert "two has no mesh interface" in str(found["steps"])


def test_sent_and_arrived() -> None:
    mesh = Mesh().silent("prohibited")
    mesh.one["watched"] = []
    failing(mesh, "sent", "no packet got to its tailscale0", "prohibited")
    chain = {"family": "ip", "table": "nat", "name": "late", "hook": "postrouting", "policy": "accept"}
    mesh.one["firewall"]["chains"] = [chain]
    failing(mesh, "sent", "drops what it sends (chains that drop or reject: ip nat late)")
    mesh.outcome, mesh.one["firewall"] = "timeout", {"chains": [], "rewriting": [chain]}
    mesh.one["watched"] = [flow("out", "syn", family=family, src="10.0.0.9") for family in (4, 6)]
    failing(mesh, "sent", "from 10.0.0.9 instead of its mesh address 100.64.0.1", "rewrites the source", "ip nat late")
    mesh = Mesh().silent()
    mesh.two["watched"] = []
    failing(mesh, "arrived", "1 packet left one, and none came out of tailscale0 on two")
    drops = "tailscaled_inbound_dropped_packets_total"
    mesh.two["metrics"] = {
        drops: [{"labels": {"reason": "acl"}, "value": 2}, {"labels": {"reason": "error"}, "value": 9}]
    }
    mesh.two["metrics_after"] = {drops: [{"labels": {"reason": "acl"}, "value": 5}]}
    failing(mesh, "arrived", "dropped 3 packets meanwhile")


def test_firewall() -> None:
    failing(Mesh().silent(), "firewall", "it sent no answer", "`nft` shows no rule")
    mesh = Mesh().silent()
    mesh.two["firewall"]["legacy"] = True
    failing(mesh, "firewall", "the host drops them", "iptables-legacy has rules")
    mesh = Mesh().silent("prohibited")
    for family, code in ((4, 13), (6, 1)):
        mesh.two["watched"].append(flow("out", f"unreachable {code}", back=True, family=family))
    mesh.two["firewall"]["chains"] = [{"family": "inet", "table": "f", "name": "in", "hook": "input", "policy": "drop"}]
    failing(mesh, "firewall", "rejects them (unreachable 13) (chains that drop or reject: inet f in)")
    mesh = Mesh().silent("refused")
    for family in (4, 6):
        mesh.two["watched"].append(flow("out", "reset", back=True, family=family))
    failing(mesh, "firewall", "where a program listens, and were refused")


def test_listener() -> None:
    mesh = Mesh().silent("refused")
    for family in (4, 6):
        mesh.two["watched"].append(flow("out", "reset", back=True, family=family))
    mesh.two["listening"] = [
        {"proto": "tcp", "address": "127.0.0.1", "port": 443},
        {"proto": "udp", "address": "0.0.0.0", "port": 443},
    ]
    failing(mesh, "listener", "open only on 127.0.0.1:443")
    mesh.two["listening"] = [{"proto": "tcp", "address": "0.0.0.0", "port": 80}]
    failing(mesh, "listener", "nothing listens on tcp/443 on two")
    mesh = Mesh().silent()
    for row in mesh.two["listening"]:
        row["queue"] = 129
    failing(mesh, "listener", "nginx on two does not accept connections: 129 wait")


def test_a_program_that_listens_on_one_family_only_is_no_failure() -> None:
    mesh = Mesh()
    mesh.two["listening"].pop()
    mesh.outcomes[6] = "refused"
    found = mesh.ask()
    assert found["reachable"] is True
    assert "not on IPv6" in next(one["said"] for one in found["steps"] if one["step"] == "listener")


def test_connection_when_the_source_drops_the_answer() -> None:
    mesh = Mesh(outcome="timeout")
    failing(mesh, "connection", "came back to one on tailscale0, whose firewall drops it")
    mesh.one["watched"] = [row for row in mesh.one["watched"] if row["direction"] == "out"]
    failing(mesh, "connection", "does not come out of tailscale0 on one")


def test_udp_that_does_not_answer() -> None:
    mesh = Mesh(service="udp/53", outcome="timeout")
    mesh.two["listening"] = [{"proto": "udp", "address": "::", "port": 53}]
    for family in (4, 6):
        mesh.one["watched"].append(flow("out", "datagram", family=family))
        mesh.two["watched"].append(flow("in", "datagram", family=family))
    assert mesh.ask()["reachable"] is True, "no rule of its firewall drops anything"
    mesh.two["firewall"]["chains"] = [{"family": "inet", "table": "f", "name": "in", "hook": "input", "policy": "drop"}]
    found = mesh.ask()
    assert found["reachable"] is None
    assert "whether its firewall drops them is not known" in found["headline"]
    mesh.two["listening"] = []
    failing(mesh, "firewall", "sent no answer")
    for family in (4, 6):
        mesh.two["watched"].append(flow("out", f"unreachable {3 if family == 4 else 4}", back=True, family=family))
    failing(mesh, "listener", "nothing listens on udp/53")


def test_a_target_that_cannot_be_logged_in_to() -> None:
    mesh = Mesh()
    mesh.hidden = {"two"}
    assert mesh.ask()["reachable"] is True
    mesh.silent("refused")
    found = mesh.ask()
    assert found["failed_step"] == "connection"
    assert "nothing listens there on tcp/443, or its firewall rejects it" in str(found["steps"])
    assert "does not answer tcp/443 (refused)" in found["headline"]


def test_without_the_source_nothing_is_claimed() -> None:
    mesh = Mesh().silent()
    mesh.hidden, mesh.two["watched"] = {"one"}, []
    found = mesh.ask()
    assert found["failed_step"] is None
    assert found["reachable"] is None
    assert "one cannot be logged in to" in found["headline"]


def routed(**router: Any) -> Mesh:
    mesh = Mesh("10.9.0.7")
    route = "10.9.0.0/24"
    mesh.nodes[1] |= {"availableRoutes": [route], "approvedRoutes": [route], "subnetRoutes": [route], **router}
    mesh.one["routes"]["get"]["10.9.0.7"] = {"dev": "tailscale0"}
    mesh.one["watched"] = [flow("out", "syn", dst="10.9.0.7")]
    mesh.two["watched"] = [flow("in", "syn", dst="10.9.0.7")]
    return mesh


def test_a_target_behind_a_router() -> None:
    assert routed().ask()["reachable"] is True
    failing(
        routed(subnetRoutes=[]).silent(),
        "subnet",
        "two advertises 10.9.0.0/24, but the server gives the route to no node",
    )
    failing(routed(availableRoutes=[]).silent(), "subnet", "two does not advertise 10.9.0.0/24")
    mesh = routed().silent()
    mesh.one["prefs"]["RouteAll"] = False
    failing(mesh, "subnet", "tailscale set --accept-routes")
    mesh = routed().silent()
    mesh.two["files"] = {"/proc/sys/net/ipv4/ip_forward": {"text": "0\n"}}
    failing(mesh, "firewall", "does not forward packets", "sysctl -w net.ipv4.ip_forward=1")
    mesh = routed().silent()
    mesh.two["try"] = [{"host": "10.9.0.7", "outcome": "connected"}]
    failing(mesh, "firewall", "reaches 10.9.0.7 itself, but forwards no answer")
    mesh.two["try"] = [{"host": "10.9.0.7", "outcome": "refused"}]
    failing(mesh, "firewall", "gets no connection to 10.9.0.7 itself (refused)")


def steered(*tags: str, users: str = "default@") -> Mesh:
    """Return a mesh whose policy routes to the subnet through another router than the server's choice, which is node 3."""
    mesh = routed(subnetRoutes=[], tags=["tag:b"], user=None)
    route = mesh.nodes[1]["approvedRoutes"]
    routes = {"availableRoutes": route, "approvedRoutes": route, "subnetRoutes": route}
    mesh.nodes.append(node(3, "three", tags=["tag:a"], **routes))
    grant = {"src": [users], "dst": ["10.9.0.0/24"], "ip": ["*"], "via": list(tags)}
    mesh.policy = json.dumps({"tagOwners": {"tag:a": [], "tag:b": []}, "grants": [grant]})
    return mesh


def test_a_target_behind_a_router_that_the_policy_names() -> None:
    found = steered("tag:b").ask()
    assert found["reachable"] is True
    assert {step["state"] for step in found["steps"]} <= {"passed", "unknown"}
    subnet = next(one["said"] for one in found["steps"] if one["step"] == "subnet")
    assert subnet == "two serves 10.9.0.0/24 to one, because the policy's via selects routers with tag:b"
    assert steered("tag:a").case().question.target.router == "three"
    assert steered("tag:b", users="someone@").case().question.target.router == "three"


def test_a_router_that_the_policy_names_and_that_fails_is_found() -> None:
    mesh = steered("tag:b").silent()
    mesh.two["files"] = {"/proc/sys/net/ipv4/ip_forward": {"text": "0\n"}}
    failing(mesh, "firewall", "two, which does not forward packets")


def test_a_subnet_to_which_no_router_leads() -> None:
    mesh = routed(tags=["tag:b"], user=None).silent()
    rules = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}
    grant = {"src": ["*"], "dst": ["10.9.0.0/24"], "ip": ["*"], "via": ["tag:a"]}
    mesh.policy = json.dumps({"tagOwners": {"tag:a": [], "tag:b": []}, "grants": [grant], **rules})
    failing(mesh, "subnet", "routes one there through another subnet router or none", "via requires routers with tag:a")


@pytest.mark.parametrize("tag", ["tag:a", "tag:b"])
def test_a_subnet_whose_router_the_server_does_not_use_for_a_reason_that_is_unknown(tag: str) -> None:
    """It has the tag, or the second grant does without."""
    mesh = routed(tags=["tag:b"], user=None, subnetRoutes=[]).silent()
    grant = {"src": ["*"], "dst": ["10.9.0.0/24"], "ip": ["*"]}
    mesh.policy = json.dumps({"tagOwners": {"tag:a": [], "tag:b": []}, "grants": [{**grant, "via": [tag]}, grant]})
    failing(mesh, "subnet", "two advertises 10.9.0.0/24, but the server gives the route to no node or to another one")


@pytest.mark.parametrize(("target", "families"), [(["*"], (6,)), (["autogroup:tagged"], (4, 6))])
def test_a_node_whose_ipv4_address_the_policy_takes_away(target: list[str], families: tuple[int, ...]) -> None:
    attributes = {"nodeAttrs": [{"target": target, "attr": ["disable-ipv4"]}]}
    mesh = Mesh()
    mesh.policy = json.dumps({**json.loads(OPEN), **attributes})
    # Its own address is gone, so its kernel has no route for IPv4.
    mesh.one["routes"]["get"][V4.format(2)] = {"dev": "eth0"}
    mesh.outcomes[4] = "timeout"
    found = mesh.ask()
    assert mesh.case().families == families
    assert (found["reachable"], found["failed_step"]) == ((True, None) if families == (6,) else (False, "route"))
    mesh.one["routes"]["get"][V6.format(2)] = {"dev": "eth0"}
    mesh.silent()
    failing(mesh, "route", "to eth0, not to tailscale0")


@given(st.data())
def test_no_answer_of_a_host_breaks_the_judges(data: st.DataObject) -> None:
    mesh = Mesh()
    for name in ("one", "two"):
        observed = deepcopy(getattr(mesh, name))
        for key in data.draw(st.sets(st.sampled_from(sorted(observed)), max_size=3)):
            observed[key] = data.draw(JSON)
        setattr(mesh, name, observed)
    mesh.nodes[1] |= data.draw(st.dictionaries(st.sampled_from(["expiry", "subnetRoutes", "lastSeen", "online"]), JSON))
    mesh.policy = data.draw(JSON | st.just(OPEN))
    assert mesh.ask()["headline"]
    assert NOW
