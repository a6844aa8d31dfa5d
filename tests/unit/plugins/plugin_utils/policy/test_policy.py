# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The construct of a policy, one by one: what it lets pass, what it shows, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import (
    Evaluation,
    Node,
    Policy,
    User,
    unknown_names,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy.aliases import Resolver

_USER = User("alice", "alice@example.com", "https://id.example.com/7")


def _node(name: str, number: int, **more: Any) -> Node:
    return Node(name=name, addresses=(f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"), **more)


_ALICE = _node("alice", 1, user=_USER)
_PHONE = _node("phone", 2, user=_USER)
_BOB = _node("bob", 3, user=User("bob"))
_WEB = _node("web", 9, tags=("tag:web",))
_ALL = [_ALICE, _PHONE, _BOB, _WEB]
_TAGS = {"tagOwners": {"tag:web": ["bob@"]}}


def _evaluation(policy: Any, nodes: list[Node] = _ALL) -> Evaluation:
    return Evaluation(Policy.read(policy), nodes)


def _open(policy: Any, nodes: list[Node] = _ALL) -> set[str]:
    kept = set(_evaluation(policy, nodes).forbidden())
    pairs = [(a.name, b.name) for a in nodes for b in nodes if a is not b]
    return {f"{source}>{target}" for source, target in pairs if (source, target) not in kept}


def _acl(src: list[str], dst: list[str], **more: Any) -> dict[str, Any]:
    return {"acls": [{"action": "accept", "src": src, "dst": dst, **more}], **_TAGS}


def _grant(src: list[str], dst: list[str], *ip: str, **more: Any) -> dict[str, Any]:
    return {"grants": [{"src": src, "dst": dst, **({"ip": list(ip)} if ip else {}), **more}], **_TAGS}


@pytest.mark.parametrize("policy", [None, {}, {"groups": {}}, {"acls": None}])
def test_without_rules_everything_passes(policy: object) -> None:
    assert len(_open(policy)) == 12
    assert _evaluation(policy).restricted() == {}


@pytest.mark.parametrize("proto", ["6", "06", "+6", "TCP"])
def test_a_protocol_has_a_name_or_a_number(proto: str) -> None:
    assert _open(_acl(["bob@"], ["tag:web:443"], proto=proto)) == {"bob>web"}


def test_an_empty_list_of_rules_lets_nothing_pass() -> None:
    assert _open({"acls": []}) == set()


@pytest.mark.parametrize(
    ("src", "dst", "expected"),
    [
        (["bob@"], ["tag:web:443"], {"bob>web"}),
        (["bob@"], ["tag:web:+443,0444"], {"bob>web"}),
        (["alice@example.com"], ["bob@:*"], {"alice>bob", "phone>bob"}),
        (["https://id.example.com/7@"], ["bob@:*"], {"alice>bob", "phone>bob"}),
        (["group:staff"], ["server:22"], {"alice>web", "phone>web", "bob>web"}),
        (["100.64.0.1"], ["100.64.0.0/30:*"], {"alice>phone", "alice>bob"}),
        (["autogroup:tagged"], ["autogroup:member:*"], {"web>alice", "web>phone", "web>bob"}),
        (["autogroup:member"], ["autogroup:self:*"], {"alice>phone", "phone>alice"}),
        (["bob@"], ["autogroup:self:*", "tag:web:1"], {"bob>web"}),
        (["*"], ["autogroup:internet:*"], set()),
        (["*"], ["[fd7a:115c:a1e0::1]:*"], {"phone>alice", "bob>alice", "web>alice"}),
        (["*"], ["[fd7a:115c:a1e0::]/126:22"], {f"{a}>{b}" for b in ("alice", "phone", "bob") for a in ("alice", "phone", "bob", "web") if a != b}),
        (["autogroup:danger-all"], ["bob@:*"], {"alice>bob", "phone>bob", "web>bob"}),
        ([" bob@ "], ["tag:web:443"], {"bob>web"}),
        (["nosuch@"], ["*:*"], set()),
    ],
)  # fmt: skip
def test_names(src: list[str], dst: list[str], expected: set[str]) -> None:
    definitions = {"groups": {"group:staff": ["alice@", "gone@", "bob@"]}, "hosts": {"server": "100.64.0.9"}}
    assert _open({**_acl(src, dst), **definitions}) == expected


def test_a_name_of_two_users_means_neither() -> None:
    twins = [_node("one", 1, user=User("eve", number="1")), _node("two", 2, user=User("x", "eve", number="2")), _BOB]
    assert _open(_acl(["eve@"], ["bob@:*"]), twins) == set()
    assert _open(_acl(["x@"], ["bob@:*"]), twins) == {"two>bob"}


def test_keys_in_any_case_are_read() -> None:
    assert _open({"ACLs": [{"Src": ["bob@"], "DST": ["alice@:22"], "#note": "why"}]}) == {"bob>alice", "bob>phone"}


@pytest.mark.parametrize(
    ("rule", "tcp", "udp", "others"),
    [
        (_acl(["*"], ["bob@:22,80-90"]), {22, 80, 90}, {22, 80, 90}, set()),
        (_acl(["*"], ["bob@:*"]), {22, 80, 90, 1}, {22, 80, 90, 1}, set()),
        (_acl(["*"], ["bob@:22"], proto="TCP"), {22}, set(), set()),
        (_acl(["*"], ["bob@:22"], proto="17"), set(), {22}, set()),
        (_acl(["*"], ["bob@:*"], proto="gre"), set(), set(), {"gre"}),
        (_acl(["*"], ["bob@:*"], proto="47"), set(), set(), {"gre"}),
        (_grant(["*"], ["bob@"], "22"), {22}, {22}, set()),
        (_grant(["*"], ["bob@"], "tcp:80-90", "udp:1"), {80, 90}, {1}, set()),
        (_grant(["*"], ["bob@"], "icmp:*"), set(), set(), set()),
        (_grant(["*"], ["bob@"], "47:*", "sctp:22"), set(), set(), {"gre", "sctp"}),
        (_grant(["*"], ["bob@"], "gre:22"), set(), set(), set()),
        (_grant(["*"], ["bob@"], "*"), {22, 80, 90, 1}, {22, 80, 90, 1}, set()),
    ],
)
def test_protocols_and_ports(rule: Any, tcp: set[int], udp: set[int], others: set[str]) -> None:
    evaluation = _evaluation(rule)
    for family in ("ipv4", "ipv6"):
        assert {port for port in (1, 22, 80, 90) if evaluation.decide(_ALICE, _BOB, "tcp", port, family)} == tcp
        assert {port for port in (1, 22, 80, 90) if evaluation.decide(_ALICE, _BOB, "udp", port, family)} == udp
        assert {name for name in ("gre", "sctp") if evaluation.decide(_ALICE, _BOB, name, 22, family)} == others
        assert evaluation.decide(_ALICE, _BOB, "icmp", family=family), (
            "an echo request passes wherever any port is open"
        )


def test_an_address_of_one_family_opens_that_family_alone() -> None:
    evaluation = _evaluation(_acl(["bob@"], ["100.64.0.9:443"]))
    assert evaluation.decide(_BOB, _WEB, "tcp", 443)
    assert not evaluation.decide(_BOB, _WEB, "tcp", 443, "ipv6")
    assert _evaluation(_acl(["bob@"], ["tag:web:443"])).decide(_BOB, _WEB, "tcp", 443, "ipv6")


def test_a_node_without_a_family_sends_none_of_it() -> None:
    old = Node(name="old", user=User("bob"), addresses=("100.64.0.4",))
    evaluation = _evaluation(None, [old, _WEB])
    assert evaluation.decide(old, _WEB, "tcp", 1)
    assert not evaluation.decide(old, _WEB, "tcp", 1, "ipv6")
    assert "no ipv6 address" in evaluation.explain(old, _WEB, "tcp", 1, "ipv6")


def test_capabilities_show_nodes_to_each_other_but_let_nothing_pass() -> None:
    evaluation = _evaluation(_grant(["bob@"], ["tag:web"], app={"example.com/cap": [{}]}))
    assert not evaluation.reaches(_BOB, _WEB)
    assert evaluation.sees(_BOB, _WEB)
    assert not evaluation.sees(_ALICE, _WEB)


def test_tailscales_own_protocol_passes_between_nodes_that_see_each_other() -> None:
    evaluation = _evaluation(_acl(["bob@"], ["tag:web:443"]))
    assert evaluation.decide(_WEB, _BOB, "99")
    assert not evaluation.decide(_ALICE, _WEB, "99")


def test_either_direction_shows_both_nodes() -> None:
    evaluation = _evaluation(_acl(["bob@"], ["tag:web:443"]))
    assert evaluation.sees(_BOB, _WEB)
    assert evaluation.sees(_WEB, _BOB)
    own = _evaluation(_acl(["alice@"], ["autogroup:self:*"]))
    assert own.sees(_ALICE, _PHONE)
    assert not own.sees(_ALICE, _BOB)


def test_subnets_and_exit_nodes_show_their_router() -> None:
    router = replace(_WEB, routes=("10.1.0.0/16",))
    exit_node = replace(_WEB, routes=("0.0.0.0/0", "::/0"))
    lan = _evaluation(_acl(["bob@"], ["10.0.0.0/8:*"]), [_BOB, router])
    assert lan.sees(_BOB, router)
    assert not lan.reaches(_BOB, router)
    internet = _acl(["bob@"], ["autogroup:internet:*"])
    assert _evaluation(internet, [_BOB, exit_node]).sees(_BOB, exit_node)
    assert not _evaluation(internet, [_BOB, router]).sees(_BOB, router)
    behind = _evaluation(_acl(["10.1.2.0/24"], ["bob@:22"]), [_BOB, router])
    assert behind.sees(router, _BOB)
    assert not behind.reaches(router, _BOB)


@pytest.mark.parametrize(("via", "routes", "seen"), [
    ("tag:web", ("10.1.0.0/16",), True),
    ("tag:web", ("10.2.0.0/16",), False),
    ("tag:other", ("10.1.0.0/16",), False),
])  # fmt: skip
def test_via_leads_through_tagged_routers_alone(via: str, routes: tuple[str, ...], seen: bool) -> None:
    policy = _grant(["bob@"], ["10.1.2.0/24"], "*", via=[via]) | {"tagOwners": {"tag:web": [], "tag:other": []}}
    router = replace(_WEB, routes=routes)
    assert _evaluation(policy, [_BOB, router]).sees(_BOB, router) == seen


def test_via_to_the_internet_needs_an_exit_node() -> None:
    policy = _grant(["bob@"], ["autogroup:internet"], "*", via=["tag:web"])
    exit_node = replace(_WEB, routes=("0.0.0.0/0",))
    assert _evaluation(policy, [_BOB, exit_node]).sees(_BOB, exit_node)
    assert not _evaluation(policy).sees(_BOB, _WEB)


def test_any_other_rule_hides_the_router_of_a_via_grant_from_the_source() -> None:
    policy = _grant(["bob@"], ["10.1.2.0/24"], "*", via=["tag:web"]) | {"acls": _acl(["alice@"], ["alice@:22"])["acls"]}
    router = replace(_WEB, routes=("10.1.0.0/16",))
    evaluation = _evaluation(policy, [_ALICE, _BOB, router])
    assert evaluation.sees(router, _BOB)
    assert not evaluation.sees(_BOB, router)


def test_restricted_pairs_and_their_ports() -> None:
    policy = _grant(["bob@"], ["tag:web"], "22", "tcp:80-90", "udp:53")
    assert _evaluation(policy).restricted() == {("bob", "web"): ("tcp:22", "tcp:80-90", "udp:22", "udp:53")}
    assert _evaluation(_grant(["bob@"], ["tag:web"], "22")).restricted() == {("bob", "web"): ("22",)}
    assert _evaluation(_grant(["bob@"], ["tag:web"], "icmp:*")).restricted() == {("bob", "web"): ()}


def test_explanations() -> None:
    evaluation = _evaluation(_acl(["bob@"], ["tag:web:443"], proto="tcp"))
    rule = "acl 1: bob@ -> tag:web:443 (tcp)"
    assert evaluation.explain(_BOB, _WEB, "tcp", 443) == f"{rule} allows tcp 443 from bob to web"
    denied = evaluation.explain(_BOB, _WEB, "tcp", 80)
    assert denied == f"no rule allows tcp 80 from bob to web: {rule} opens only tcp 443"
    assert evaluation.explain(_BOB, _WEB, "udp", 80).endswith(f"{rule} opens no udp")
    assert evaluation.explain(_WEB, _BOB, "icmp") == "no rule allows ipv4 packets from web to bob"
    assert "no policy restricts anything" in _evaluation(None).explain(_WEB, _BOB, "icmp")


@pytest.mark.parametrize(
    "policy",
    [
        ["a list"],
        {"acls": "all"},
        {"acls": [{"action": "deny", "src": ["*"], "dst": ["*:*"]}]},
        {"acls": [{"action": "accept", "src": "alice@", "dst": ["*:*"]}]},
        {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"], "srcPosture": []}]},
        _acl(["no such host"], ["*:*"]),
        _acl(["group:none"], ["*:*"]),
        _acl(["tag:none"], ["*:*"]),
        _acl(["a:b"], ["*:*"]),
        _acl(["autogroup:shared"], ["*:*"]),
        _acl(["autogroup:internet"], ["*:*"]),
        _acl(["*"], ["autogroup:danger-all:*"]),
        _acl(["tag:web"], ["autogroup:self:*"]),
        _acl(["*"], ["no port"]),
        _acl(["*"], ["*:"]),
        _acl(["*"], [":22"]),
        _acl(["*"], ["[100.64.0.1]:22"]),
        _acl(["*"], ["*:0"]),
        _acl(["*"], ["*:70000"]),
        _acl(["*"], ["*:90-80"]),
        _acl(["*"], ["*:-80"]),
        _acl(["*"], ["*:ssh"]),
        _acl(["*"], ["*:22"], proto="icmp"),
        _acl(["*"], ["*:*"], proto="smtp"),
        _acl(["*"], ["*:*"], proto="256"),
        _acl(["*"], ["*:*"], proto="089"),
        _acl(["*"], ["*:*"], proto="0"),
        _acl(["*"], ["*:\u0662\u0662"]),
        _acl(["*"], ["*:" + "9" * 5000]),
        _grant(["*"], ["*"], "06:80"),
        _grant(["*"], ["*"]),
        _grant(["*"], ["*"], "TCP:80"),
        _grant(["*"], ["*"], "80:tcp:1"),
        _grant(["*"], ["0.0.0.0/0"], "*"),
        _grant(["*"], ["autogroup:self"], "*"),
        _grant(["*"], ["autogroup:internet"], "*", app={"example.com/cap": [{}]}),
        _grant(["*"], ["*"], "*", via=["group:web"]),
        _grant(["*"], ["*"], "*", via=["tag:none"]),
        _grant(["*"], ["*"], "*", app=["cap"]),
        {"groups": {"staff": ["alice@"]}},
        {"groups": {"group:a": "alice@"}},
        {"groups": {"group:a": ["alice"]}},
        {"groups": {"group:a": ["group:b"], "group:b": []}},
        {"groups": ["alice@"]},
        {"hosts": {"a": "10.0.0.0/255.0.0.0"}},
        {"hosts": {"a:b": "10.0.0.1"}},
        {"tagOwners": {"tag:1": []}},
        {"tagOwners": {"web": []}},
        {"tagOwners": {"tag:a": ["tag:b"]}},
        {"tagOwners": {"tag:a": ["autogroup:member"]}},
    ],
)
def test_what_headscale_refuses_is_an_error(policy: object) -> None:
    with pytest.raises(BadInput):
        Policy.read(policy)


def test_users_and_tags_that_do_not_exist() -> None:
    policy = {**_acl(["alice@", "nosuch@", "group:a"], ["tag:web:443", "tag:gone:*", "bob@:22"]), "tagOwners": {}}
    policy["groups"] = {"group:a": ["eve@"]}
    found = unknown_names(policy, users=[{"name": "alice"}, {"name": "bob"}], tags={"tag:web"})
    assert found == ["eve@", "nosuch@", "tag:gone"]


def test_a_tagged_node_has_no_user_and_only_approved_routes_count() -> None:
    record = {
        "user": {"name": "alice"},
        "tags": ["tag:web"],
        "ip_addresses": ["100.64.0.9"],
        "available_routes": ["10.0.0.0/8", "10.1.0.0/16"],
        "approved_routes": ["10.1.0.0/16", "10.2.0.0/16"],
    }
    node = Node.read("web", record)
    assert node.user is None
    assert node.routes == ("10.1.0.0/16",)


def test_a_user_is_known_by_each_name_that_headscale_takes() -> None:
    users = [{"name": "jo@"}, {"name": "al@example.com"}, {"name": "kim", "email": "kim@example.com"}]
    known = ["jo@@", "al@example.com", "al@example.com@", "kim@", "kim@example.com", "kim@example.com@"]
    document = {"groups": {"group:all": [*known, "jo@", "al@"]}}
    assert unknown_names(document, users=users, tags=[]) == ["jo@", "al@"]


@pytest.mark.parametrize(
    ("tag", "owned"),
    [("tag:a", True), ("tag:b", True), ("tag:c", True), ("tag:d", False), ("tag:e", False), ("tag:none", False)],
)
def test_a_user_owns_a_tag_by_name_through_a_group_or_through_another_tag(tag: str, owned: bool) -> None:
    owners = {"tag:a": ["alice@"], "tag:b": ["group:all"], "tag:c": ["tag:d", "tag:b"], "tag:d": ["tag:e"]}
    document = {"groups": {"group:all": ["bob@", "alice@"]}, "tagOwners": {**owners, "tag:e": ["tag:d", "bob@"]}}
    alice = User("alice", number="1")
    resolver = Resolver(Policy.read(document).names, [], [alice, User("bob", number="2")])
    assert resolver.owns(alice, tag) is owned


_RENAMED = [("one", 1, "old", "1"), ("two", 2, "new", "1"), ("other", 3, "third", "2")]


@pytest.mark.parametrize(
    ("src", "dst", "passes"),
    [
        ("autogroup:member", "autogroup:self:22", True),
        ("new@", "*:22", True),
        ("old@", "*:22", False),
    ],
)
def test_after_a_rename_users_are_compared_by_id_and_known_by_their_new_name(src: str, dst: str, passes: bool) -> None:
    # The record of a node that was registered before the rename keeps the previous name.
    one, two, other = (_node(name, at, user=User(owner, number=number)) for name, at, owner, number in _RENAMED)
    users = [User("new", number="1"), User("third", number="2")]
    evaluation = Evaluation(Policy.read(_acl([src], [dst])), [one, two, other], users)
    assert evaluation.decide(one, two, "tcp", 22) is evaluation.decide(two, one, "tcp", 22) is passes
    assert not evaluation.decide(other, one, "tcp", 22)


@pytest.mark.parametrize(
    ("targets", "without"),
    [
        (["*"], {"alice", "phone", "bob", "web"}),
        (["tag:web"], {"web"}),
        (["autogroup:member"], {"alice", "phone", "bob"}),
        (["alice@", "100.64.0.3"], {"alice", "phone", "bob"}),
        (["server"], {"web"}),
        (["group:none", "autogroup:self", "tag:none", "", 7, "10.0.0.0/8"], set()),
    ],
)
def test_disable_ipv4_leaves_ipv6_alone(targets: list[Any], without: set[str]) -> None:
    attributes = [{"target": targets, "attr": ["disable-ipv4"]}, {"target": ["*"], "attr": ["magicdns-aaaa"]}]
    policy = {**_acl(["*"], ["*:*"]), "hosts": {"server": "fd7a:115c:a1e0::9"}, "nodeAttrs": attributes}
    evaluation = _evaluation(policy)
    assert {node.name for node in _ALL if evaluation.address(node, "ipv4") is None} == without
    for source in _ALL:
        for target in (node for node in _ALL if node is not source):
            assert evaluation.decide(source, target, "tcp", 22, "ipv6")
            assert evaluation.decide(source, target, "tcp", 22, "ipv4") is not bool(
                {source.name, target.name} & without
            )


def test_disable_ipv4_neither_hides_nodes_nor_closes_their_subnets() -> None:
    router = replace(_WEB, routes=("10.1.0.0/16",))
    nodes = [_BOB, router]
    policy = {
        **_acl(["bob@"], ["100.64.0.9:*", "10.1.0.0/16:*"]),
        "nodeAttrs": [{"target": ["tag:web"], "attr": ["disable-ipv4"]}],
    }
    evaluation = _evaluation(policy, nodes)
    # Headscale's own rules still know the node by its IPv4 address.
    assert evaluation.sees(_BOB, router)
    assert evaluation.forbidden() == [("bob", "web"), ("web", "bob")]
    assert evaluation.decide(_BOB, replace(router, addresses=("10.1.2.3",)), "tcp", 22)
    said = evaluation.explain(_BOB, router, "tcp", 22)
    assert said == "web has no ipv4 address in the mesh, because the policy's nodeAttrs grant it disable-ipv4"


@pytest.mark.parametrize(
    "attributes", [None, 7, "x", {"target": ["*"]}, [7], [{"target": "*", "attr": "disable-ipv4"}]]
)
def test_attributes_of_another_shape_take_nothing_away(attributes: Any) -> None:
    assert Policy.read({**_acl(["*"], ["*:*"]), "nodeattrs": attributes}).without_ipv4 == ()
