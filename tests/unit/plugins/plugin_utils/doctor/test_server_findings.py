# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about the server and the mesh, from observations."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import finding, urls
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import server as control
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.keys import FORMER, REMOVED
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.headline import headline
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.view import ClientView
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from doctor import CONFIG, CONTEXT, JSON, NOW, answer, examine_server, node, problems
from hypothesis import given
from hypothesis import strategies as st


def _checks(*nodes: dict[str, Any], **known: Any) -> list[Check]:
    return examine_server({"nodes": {"nodes": list(nodes)}}, **known)


def _configured(text: str) -> str:
    found = examine_server({"nodes": {"nodes": [node(1, "a")]}, "config": {"path": "config.yaml", "text": text}})
    return problems(found).get("doctor.config", "")


@pytest.mark.parametrize(
    ("url", "trouble"),
    [
        ("https://headscale.example.com", False),
        ("https://headscale.example.com:8443", False),
        ("http://192.168.1.5:8080", False),
        ("http://127.0.0.1:8080", False),
        ("http://localhost:8080", False),
        ("http://172.20.0.1:8080", False),
        ("http://172.32.0.1:8080", True),
        ("http://203.0.113.2:8080", True),
        ("http://headscale.example.com:8080", True),
        ("headscale.example.com", True),
        ("ftp://headscale.example.com", True),
        ("http://[", True),
    ],
)
def test_server_urls_that_clients_lose(url: str, trouble: bool) -> None:
    assert bool(urls.problem(url)) is trouble


def test_names_within_a_domain() -> None:
    assert urls.within("headscale.example.com", "example.com")
    assert urls.within("Example.com.", "example.com")
    assert not urls.within("notexample.com", "example.com")


def test_a_healthy_server_has_no_findings() -> None:
    assert problems(_checks(node(1, "a"), node(2, "b"))) == {}


def test_expiry_dates() -> None:
    assert "doctor.expiry" in problems(_checks(node(1, "a", expiry="2020-01-01T00:00:00Z")))
    assert problems(_checks(node(1, "a", expiry="0001-01-01T00:00:00Z"))) == {}, "zero means never"


def test_two_nodes_of_one_name() -> None:
    found = problems(_checks(node(1, "a"), node(2, "a", givenName="a-1", online=False)))
    assert "1, 2 all have the host name a" in found["doctor.names"]


@pytest.mark.parametrize(
    ("online", "said"),
    [
        ((True, True), "all are online, so rename one on its machine (`tailscale set --hostname=NAME`)"),
        ((True, False), "rename one on its machine (`tailscale set --hostname=NAME`), or delete what is stale of those that are offline, 2 ("),
        ((False, False), "or delete what is stale of those that are offline, 1, 2 (`headscale nodes delete -i ID`)"),
    ],
)  # fmt: skip
def test_no_node_that_is_online_is_to_be_deleted_for_its_name(online: tuple[bool, bool], said: str) -> None:
    nodes = (node(1, "a", online=online[0]), node(2, "a", givenName="a-1", online=online[1]))
    hint = problems(_checks(*nodes))["doctor.names"]
    assert said in hint
    assert ("nodes delete" in hint) is (not all(online))


def test_two_nodes_of_one_host_name_that_were_renamed() -> None:
    assert problems(_checks(node(1, "phone"), node(2, "phone", givenName="kitchen"))) == {}


def test_a_number_that_remains_after_a_name_became_free() -> None:
    checks = _checks(node(1, "laptop", givenName="laptop-1"), node(2, "web-2"), node(3, "other"))
    names = {check.target: check for check in checks if check.id == "doctor.names"}
    assert {name: check.verdict for name, check in names.items()} == {
        "laptop-1": "skipped",
        "web-2": "passed",
        "other": "passed",
    }
    assert "headscale nodes rename -i 1 laptop" in names["laptop-1"].hint


def test_online_is_compared_with_the_nodes_that_answer() -> None:
    view = ClientView(name="a", key="nodekey:1", answered={"100.64.0.2": True, "100.64.0.3": False})
    checks = _checks(node(1, "a"), node(2, "b", online=False), node(3, "c"), views=(view,))
    found = {check.target: check.verdict for check in checks if check.id == "doctor.online"}
    assert found == {"b": "failed", "c": "failed"}, "no client pinged a"


def _asked(
    answered: dict[str, bool], *, online: bool, bad: dict[str, str] | None = None, examined: bool = True
) -> dict[str | None, Check]:
    """Return the checks of whether clients reach the node x; each reaches all others."""
    nodes = [node(number, name) for number, name in enumerate(answered, start=1)]
    views = tuple(
        ClientView(
            name=name, key=f"nodekey:{number}", state="Running",
            answered={"100.64.0.9": answered[name], **{f"100.64.0.{other}": True for other in range(1, len(nodes) + 1) if other != number}},
            bad={finding: {"id": f"doctor.{finding.split()[0]}", "source": name, "hint": "why"}
                 for finding, where in (bad or {}).items() if where == name},
        )
        for number, name in enumerate(answered, start=1)
    )  # fmt: skip
    views += (ClientView(name="x", key="nodekey:9", state="Running"),) if examined else ()
    checks = _checks(*nodes, node(9, "x", online=online), views=views)
    return {check.target: check for check in checks if check.id.startswith("doctor.online")}


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize(
    ("answered", "reached"),
    [((True, True), True), ((False, False), False), ((True, True, False), True), ((True, False), None), ((False, True, False), None)],
)  # fmt: skip
def test_one_client_does_not_decide_whether_another_node_answers(
    answered: tuple[bool, ...], reached: bool | None, online: bool
) -> None:
    found = _asked(dict(zip("abc", answered, strict=False)), online=online)
    if reached is None:
        assert found["x"].verdict == "skipped"
        assert (found[None].id, found[None].verdict) == ("doctor.online.agree", "failed")
        assert found[None].observed == {"disputed": ["x"]}
    else:
        assert found["x"].verdict == ("passed" if reached is online else "failed")
        assert found[None].verdict == "passed"
    assert all(found[other].verdict == "passed" for other in "ab")


@pytest.mark.parametrize("online", [True, False])
def test_a_phone_that_falls_asleep_is_no_dispute(online: bool) -> None:
    found = _asked({"a": True, "b": False}, online=online, examined=False)
    assert (found["x"].verdict, found[None].verdict) == ("skipped", "passed")


def test_clients_that_disagree_are_named() -> None:
    hint = _asked({"a": False, "b": False, "liar": True}, online=False)[None].hint
    assert "x, which the server shows offline (last seen ), answers liar, but not a, b" in hint
    assert "or a client reports a wrong result" in hint


@pytest.mark.parametrize(
    ("bad", "verdict", "hint"),
    [
        ({"path of x": "a"}, "failed", "because of doctor.path on a"),
        ({"path of x": "b"}, "failed", "clients disagree"),
        ({"network": "a"}, "passed", ""),
        ({"network": "b"}, "failed", "clients disagree"),
    ],
)
def test_a_dispute_with_a_cause_is_a_consequence(bad: dict[str, str], verdict: str, hint: str) -> None:
    found = _asked({"a": False, "b": True}, online=True, bad=bad)
    assert (found[None].verdict, found[None].hint[: len(hint)]) == (verdict, hint)
    assert found["x"].verdict == ("passed" if verdict == "passed" else "skipped"), (
        "a reaches no node, as it says itself"
    )


def _with(*names: str) -> str:
    """Return what is said of a configuration that has these settings, as a host tells of those that only matter by name."""
    config = yaml.safe_load(CONFIG)
    for name in names:
        inner = config
        *path, last = name.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = "set"
    return _configured(json.dumps(config))


@pytest.mark.parametrize("setting", [*REMOVED, *FORMER])
def test_settings_that_were_removed(setting: str) -> None:
    assert setting in _with(setting)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["oidc.expiry"], "oidc.expiry was removed, and Headscale refuses to start with it: use node.expiry"),
        (["dns_config.use_username_in_magic_dns"], "refuses to start"),
        (["acl_policy_path"], "refuses to start"),
        (["acl_policy_path", "policy.path"], "acl_policy_path was removed, and Headscale ignores it: use policy.path"),
        (["dns_config.extra_records"], "refuses to start"),
        (["dns_config.extra_records", "dns.extra_records"], "and Headscale ignores it"),
        (["dns_config.base_domain"], "dns_config.base_domain was removed, and Headscale ignores it: use dns.base_domain"),
        (["ephemeral_node_inactivity_timeout"], "is deprecated: use node.ephemeral.inactivity_timeout"),
        (["ip_prefixes"], "does not know ip_prefixes, and ignores it: use prefixes.v4 and prefixes.v6"),
        (["use_username_in_magic_dns"], "does not know use_username_in_magic_dns, and ignores it"),
    ],
)  # fmt: skip
def test_a_removed_setting_keeps_headscale_from_starting_only_where_it_does(names: list[str], said: str) -> None:
    found = _with(*names)
    assert said in found
    assert ("refuses" in found) is ("refuses" in said)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"derp": {"server": {"enabled": "true"}}, "dns": {"nameservers": {"global": "1.1.1.1"}}}, ""),
        ({"derp": {"urls": "https://controlplane.tailscale.com/derpmap/default"}, "dns": {"override_local_dns": "false"}}, ""),
        ({"derp": {"paths": "/etc/headscale/derp.yaml"}, "dns": {"override_local_dns": "no"}}, ""),
        ({"derp": {"server": {"enabled": "yes"}}, "dns": {"override_local_dns": False}}, "no relay is configured"),
        ({"derp": {"paths": ["x"]}, "dns": {"override_local_dns": "true"}}, "override_local_dns is on"),
    ],
)  # fmt: skip
def test_values_are_read_as_headscale_reads_them(config: dict[str, Any], words: str) -> None:
    found = _configured(json.dumps({"server_url": "https://h", **config}))
    assert words in found if words else not found


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"derp": {"urls": ["https://maps.example.com"]}, "dns": {"override_local_dns": False}}, "does not start"),
        ({"derp": {}, "dns": {"override_local_dns": False}}, "no relay"),
        ({"derp": {"server": {"enabled": True}}, "dns": {}}, "override_local_dns"),
        ({"derp": {"paths": ["x"]}, "dns": {"base_domain": "h", "override_local_dns": False}}, "the server's own name"),
    ],
)
def test_configurations_with_a_trap(config: dict[str, Any], words: str) -> None:
    assert words in _configured(json.dumps({"server_url": "https://h", **config}))


@pytest.mark.parametrize("port", ["", ":8443"])
def test_a_domain_with_the_servers_name_is_a_finding_here_only_if_headscale_refuses_it(port: str) -> None:
    url = f"https://h.example.com{port}"
    text = f"{CONFIG.replace('https://h', url)}".replace("dns: {", "dns: {base_domain: example.com, ")
    data = {"nodes": {"nodes": []}, "config": {"path": "c", "text": text}}
    found = problems(examine_server(data, url=url)).get("doctor.config", "")
    assert ("h.example.com, and headscale refuses to start" in found) is (not port)
    assert bool(found) is (not port)


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ('reading policy from path \\"\\": open : no such file or directory', True),
        ("loading ACL from database: acl policy not found", True),
        ('reading policy from path \\"/etc/p.hujson\\": open /etc/p.hujson: no such file or directory', False),
        ("database is locked", False),
    ],
)
def test_a_server_without_a_policy_is_told_from_one_that_cannot_read_it(said: str, known: bool) -> None:
    message = f'https://h answered 500 to /api/v1/policy: {{"code":2,"message":"{said}","details":[]}}'
    observed = answer(nodes={"nodes": [node(1, "a")]}, users={"users": []})
    observed["observations"]["policy"] = {"ok": False, "error": {"type": "refused", "message": message}}
    server = Server(observed, ServerContext(url="https://h"))
    checks = {check.id: check for check in finding.judge(control, server, CONTEXT)}
    assert ("doctor.api" not in checks) is known
    assert (server.policy[0] is not None) is known


def test_a_configuration_with_a_url_that_clients_lose() -> None:
    data = {
        "nodes": {"nodes": []},
        "config": {"path": "c", "text": CONFIG.replace("https://h", "http://h.example.com")},
    }
    assert "port 443" in problems(examine_server(data, url="http://h.example.com"))["doctor.config"]


def test_routes() -> None:
    checks = _checks(
        node(1, "a", availableRoutes=["10.0.0.0/24", "10.1.0.0/24"], approvedRoutes=["10.1.0.0/24", "10.2.0.0/24"]),
        node(2, "standby", availableRoutes=["10.3.0.0/24"], approvedRoutes=["10.3.0.0/24"]),
        node(
            3, "primary", availableRoutes=["10.3.0.0/24"], approvedRoutes=["10.3.0.0/24"], subnetRoutes=["10.3.0.0/24"]
        ),
    )
    found = {check.target: check for check in checks if check.id == "doctor.routes"}
    said = "10.2.0.0/24 is approved but not advertised: `tailscale set --advertise-routes=10.0.0.0/24,10.1.0.0/24,10.2.0.0/24` there"
    assert f"{said}, or take the approval back: `headscale nodes approve-routes -i 1 -r 10.1.0.0/24`" in found["a"].hint
    # Approving replaces what was approved.
    assert "approve-routes -i 1 -r 10.0.0.0/24,10.1.0.0/24,10.2.0.0/24`" in found["a"].hint
    assert found["a"].observed == {
        "not_approved": ["10.0.0.0/24"],
        "not_advertised": ["10.2.0.0/24"],
        "not_served": ["10.1.0.0/24"],
    }
    assert {found["standby"].verdict, found["primary"].verdict} == {"passed"}


def test_an_exit_node_that_is_no_longer_offered() -> None:
    (check,) = [
        check for check in _checks(node(1, "a", approvedRoutes=["0.0.0.0/0", "::/0"])) if check.id == "doctor.routes"
    ]
    assert (
        "`tailscale set --advertise-exit-node` there, or take the approval back: `headscale nodes approve-routes -i 1 -r ''`"
        in check.hint
    )


_PAIR = {"nodes": {"nodes": [node(1, "a"), node(2, "b", user={"id": "7", "name": "old"})]}}


def _views(**more: Any) -> tuple[ClientView, ClientView]:
    """Return two clients; tailscaled on b answers a, and its host does not."""
    known: dict[str, Any] = {
        "answered": {"100.64.0.2": True},
        "echoed": {"100.64.0.2": False},
        "state": "Running",
        **more,
    }
    return ClientView(name="a", key="nodekey:1", **known), ClientView(name="b", key="nodekey:2", state="Running")


def _policy(rules: str) -> dict[str, Any]:
    return {**_PAIR, "policy": {"policy": f'{{"acls": [{rules}]}}'}}


def _reach(checks: list[Check]) -> Check:
    return next(check for check in checks if check.id == "doctor.policy.reach" and check.target == "a")


def test_a_firewall_is_not_claimed_where_it_was_not_seen() -> None:
    hint = _reach(examine_server(_PAIR, views=_views())).hint
    assert "tailscaled there answers, but echo requests do not" in hint
    assert "a firewall on" not in hint


def test_packets_that_are_lost_in_part_are_no_firewall() -> None:
    lossy = _views(partly={"fd7a:115c:a1e0::2": "1 of 3"})
    views = (lossy[0], replace(lossy[1], own=("100.64.0.2", "fd7a:115c:a1e0::2")))
    hint = _reach(examine_server(_PAIR, views=views)).hint
    assert "only some were answered (1 of 3 at fd7a:115c:a1e0::2): packets are lost on the way" in hint
    assert "nft" not in hint


def test_a_node_with_tags_has_no_user() -> None:
    rule = {"action": "accept", "src": ["old@"], "dst": ["old@:*", "tag:used:*"]}
    policy = {"policy": json.dumps({"tagOwners": {"tag:used": ["old@"], "tag:srv": ["old@"]}, "acls": [rule]})}
    for tag, said in (("tag:srv", True), ("tag:used", False)):
        nodes = [node(1, "a", user={"id": "7", "name": "old"}), node(2, "b", tags=[tag])]
        data = {"policy": policy, "nodes": {"nodes": nodes}, "users": {"users": [{"id": "7", "name": "old"}]}}
        hint = _reach(examine_server(data, views=_views(echoed={}))).hint
        assert ("no rule names those of b (tag:srv)" in hint) is said


def test_a_policy_that_denies_explains_silence() -> None:
    rule = '{"action": "accept", "src": ["100.64.0.2"], "dst": ["100.64.0.1:*"]}'
    assert "lets it reach no other node" in _reach(examine_server(_policy(rule), views=_views())).hint


def test_no_rule_at_all_is_a_fault_although_no_node_sees_another() -> None:
    checks = examine_server(_policy(""), views=_views(answered={}, echoed={}))
    assert "lets it reach no other node" in _reach(checks).hint


def test_addresses_of_one_family_are_judged_by_that_family() -> None:
    nodes = [node(n, name, ipAddresses=[f"100.64.0.{n}", f"fd7a:115c:a1e0::{n}"]) for n, name in ((1, "a"), (2, "b"))]
    rule = '{"action": "accept", "src": ["*"], "dst": ["fd7a:115c:a1e0::2:22"]}'
    data = {**_policy(rule), "nodes": {"nodes": nodes}}
    views = _views(echoed={"100.64.0.2": False, "fd7a:115c:a1e0::2": True})
    assert _reach(examine_server(data, views=views)).observed == {
        "blocked": [],
        "open": [],
        "not_as_expected": ["b (ipv4)"],
    }


@pytest.mark.parametrize(
    ("attributes", "blocked"),
    [([], ["b (ipv4)"]), ([{"target": ["*"], "attr": ["disable-ipv4"]}], []), ([{"target": ["7.7.7.7"], "attr": ["disable-ipv4"]}], ["b (ipv4)"])],
)  # fmt: skip
def test_a_family_that_the_policy_takes_away_is_not_expected(attributes: list[Any], blocked: list[str]) -> None:
    nodes = [node(n, name, ipAddresses=[f"100.64.0.{n}", f"fd7a:115c:a1e0::{n}"]) for n, name in ((1, "a"), (2, "b"))]
    rule = {"action": "accept", "src": ["*"], "dst": ["*:*"]}
    policy = {"policy": json.dumps({"acls": [rule], "nodeAttrs": attributes})}
    views = _views(answered={"fd7a:115c:a1e0::2": True}, echoed={"100.64.0.2": False, "fd7a:115c:a1e0::2": True})
    data = {"nodes": {"nodes": nodes}, "policy": policy}
    assert _reach(examine_server(data, views=views)).observed == {"blocked": blocked, "open": [], "not_as_expected": []}
    views = _views(answered={"fd7a:115c:a1e0::2": True}, echoed={"fd7a:115c:a1e0::2": False})
    assert _reach(examine_server(data, views=views)).verdict == "failed"


def test_users_are_joined_by_id_and_unknown_ones_explain_the_rest() -> None:
    rule = '{"action": "accept", "src": ["*"], "dst": ["old@:*"]}'
    data = {**_policy(rule), "users": {"users": [{"id": "7", "name": "new"}]}}
    checks = examine_server(data, views=_views())
    assert "old@" in problems(checks)["doctor.policy.names"]
    assert _reach(checks).hint == "because of doctor.policy.names"


def test_unknown_names_explain_only_what_they_can() -> None:
    rules = '{"action": "accept", "src": ["ghost@"], "dst": ["100.64.0.1:*"]}'
    hint = _reach(examine_server(_policy(rules), views=_views())).hint
    assert "because of" not in hint, "even if ghost@ were a user, a would not reach b"


def test_unknown_names_of_auto_approvers() -> None:
    policy = '{"autoApprovers": {"routes": {"10.42.0.0/16": ["ghost@"]}, "exitNode": ["phantom@"]}}'
    found = problems(examine_server({**_PAIR, "policy": {"policy": policy}}))
    assert "ghost@, phantom@" in found["doctor.policy.names"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            {"nodeAttrs": [{"target": ["ghost@"], "attr": ["funnel"]}]},
            "headscale does not start again with this policy, because nodeAttrs name users that do not exist, directly or through a "
            "group (ghost@): correct",
        ),
        (
            {"tests": [{"src": "ghost@", "accept": ["*:22"]}]},
            "headscale refuses this policy when it is set again, because tests name",
        ),
        (
            {"autoApprovers": {"exitNode": ["ghost@"]}},
            "headscale accepts ghost@ although this user does not exist, and rules that name it match no node: correct",
        ),
        (
            {"autoApprovers": {"exitNode": ["ghost@", "phantom@"]}},
            "headscale accepts ghost@, phantom@ although these users do not exist, and rules that name them match no node",
        ),
        (
            {"autoApprovers": {"exitNode": ["ghost@", "tag:gone"]}},
            "headscale accepts ghost@, tag:gone although these names do not exist",
        ),
    ],
)
def test_what_headscale_does_with_a_user_that_is_gone(policy: dict[str, Any], said: str) -> None:
    found = problems(examine_server({**_PAIR, "policy": {"policy": json.dumps(policy)}}))["doctor.policy.names"]
    assert found.startswith(said)
    assert "ghost@" in found
    for user in ("a@", "b@"):
        known = json.dumps(policy).replace("ghost@", user).replace("phantom@", user).replace("tag:gone", user)
        users = {"users": [{"id": "7", "name": user.removesuffix("@")}]}
        checks = examine_server({**_PAIR, "users": users, "policy": {"policy": known}})
        assert "doctor.policy.names" not in problems(checks)


def test_a_user_that_only_node_attributes_name_explains_no_closed_path() -> None:
    rule = {"action": "accept", "src": ["100.64.0.9"], "dst": ["*:*"]}
    policy = {"acls": [rule], "nodeAttrs": [{"target": ["ghost@"], "attr": ["disable-ipv4"]}]}
    checks = examine_server({**_PAIR, "policy": {"policy": json.dumps(policy)}}, views=_views())
    assert "doctor.policy.names" in problems(checks)
    assert "because of" not in _reach(checks).hint
    policy["acls"] = [{**rule, "src": ["phantom@"]}]
    checks = examine_server({**_PAIR, "policy": {"policy": json.dumps(policy)}}, views=_views())
    assert _reach(checks).hint == "because of doctor.policy.names"


def test_a_clients_own_finding_explains_what_others_see_of_it() -> None:
    tun = {"tun": {"id": "doctor.tun", "source": "a", "hint": "no TUN"}}
    checks = examine_server(_PAIR, views=_views(bad=tun))
    assert _reach(checks).hint == "because of doctor.tun on a"


def test_an_expired_node_is_one_cause() -> None:
    nodes = [node(1, "a"), node(2, "b", expiry="2020-01-01T00:00:00Z")]
    views = (
        ClientView(name="a", key="nodekey:1", state="Running", online=True, answered={"100.64.0.2": False}),
        ClientView(name="b", key="nodekey:2", state="NeedsLogin"),
    )
    checks = examine_server({"nodes": {"nodes": nodes}}, views=views)
    roots = {check.id for check in checks if check.bad and "because" not in check.evidence}
    assert roots == {"doctor.expiry"}
    said = headline([check.as_dict() for check in checks])
    assert said.startswith("b: its key has expired: `headscale nodes expire --disable -i 2`")


@pytest.mark.parametrize("errors", [[], ["message authentication failed"]])
def test_a_lost_key_is_claimed_only_with_evidence(errors: list[str]) -> None:
    view = ClientView(name="a", key="nodekey:1", state="Running", server_answers=True, server_key="mkey:1")
    found = problems(examine_server({"nodes": {"nodes": [node(1, "a")]}}, views=(view,), key_errors=errors))
    assert ("noise key" in found.get("doctor.identity", "")) is bool(errors)


def test_two_hosts_with_one_key() -> None:
    views = tuple(ClientView(name=name, key="nodekey:1", state="Running") for name in ("a", "b"))
    assert "a and b have the same node key" in problems(_checks(node(1, "a"), views=views))["doctor.keys"]


@pytest.mark.parametrize("names", [("liar", "db", "web"), ("db", "liar", "web")])
def test_a_client_with_the_key_of_another_says_nothing_about_it(names: tuple[str, ...]) -> None:
    keys = {"liar": "nodekey:1", "db": "nodekey:1", "web": "nodekey:2"}
    views = tuple(
        ClientView(name=name, key=keys[name], state="Running", dns_name=f"{name}.mesh", answered={"100.64.0.1": name == "liar"})
        for name in names
    )  # fmt: skip
    checks = _checks(node(1, "db"), node(2, "web"), views=views)
    assert "doctor.names" not in problems(checks)
    online = next(check for check in checks if check.id == "doctor.online" and check.target == "db")
    assert (online.verdict, online.evidence["tried"]) == ("failed", ["web"])
    reach = {check.target: check for check in checks if check.id == "doctor.policy.reach"}
    assert {name: check.verdict for name, check in reach.items()} == {"db": "error", "liar": "error", "web": "passed"}
    assert reach["db"].hint == "because of doctor.keys"


def test_two_users_of_one_name() -> None:
    users = {"users": [{"id": "1", "name": "default"}, {"id": "2", "name": "default", "provider": "oidc"}]}
    assert (
        "the users 1, 2 are all called default" in problems(examine_server({**_PAIR, "users": users}))["doctor.users"]
    )


def test_prefixes() -> None:
    config = CONFIG + "prefixes: {v4: 100.99.98.0/24, v6: fd00::/64}\n"
    found = problems(examine_server({**_PAIR, "config": {"path": "c", "text": config}}))["doctor.prefixes"]
    assert "prefixes has fd00::/64" in found
    assert "a (100.64.0.1), b (100.64.0.2) is outside of 100.99.98.0/24" in found


_LOG = [
    "2026-11-28 18:15:46.05  2026-11-28T18:15:46Z INF Headscale stopped",
    "2026-11-28 18:15:47.07  2026-11-28T18:15:47Z INF Opening database database=sqlite3 path=db.sqlite",
    "2026-11-28 18:15:48.69  Error: initializing: no such file",
    "2026-11-28 18:15:49.07  2026-11-28T18:15:49Z INF Opening database database=sqlite3 path=db.sqlite",
]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (_LOG, "does not start; the last error in its log: initializing: no such file"),
        (_LOG[:1], "is not running; the last line in its log: INF Headscale stopped"),
        ([*_LOG, _LOG[0]], "is not running"),
    ],
)
def test_a_server_that_does_not_run_tells_why_in_its_log(lines: list[str], words: str) -> None:
    checks = examine_server({"nodes": None, "log": {"from": "file", "lines": lines}, "listening": []})
    found = problems(checks)
    assert words in found["doctor.start"]
    assert found["doctor.api"] == "because of doctor.start"
    listens = [{"port": 443, "process": {"name": "headscale"}}]
    assert "doctor.start" not in problems(examine_server({"log": {"lines": lines}, "listening": listens}))


def test_a_configuration_that_is_broken_is_a_fault() -> None:
    found = problems(examine_server({**_PAIR, "config": {"path": "config.yaml", "text": "a: 1\nb: [c"}}))
    assert "config.yaml:2: the file is not valid YAML" in found["doctor.config"]


def test_a_database_that_another_process_locks() -> None:
    text = CONFIG + "database: {type: sqlite, sqlite: {path: /db}}\n"
    locks = [{"pid": 7, "name": "headscale"}, {"pid": 8, "name": "sqlite3"}]
    found = problems(examine_server({**_PAIR, "config": {"path": "c", "text": text}, "locks": locks}))
    assert "sqlite3 (pid 8) keeps /db locked" in found["doctor.database"]
    assert "headscale (pid" not in found["doctor.database"]


def test_a_client_that_is_too_old_and_two_servers_under_one_name() -> None:
    views = (
        ClientView(name="a", key="nodekey:1", version="1.78.1", server_key="mkey:1"),
        ClientView(name="b", key="nodekey:2", version="1.90.0", server_key="mkey:2"),
    )
    bad = problems(_checks(node(1, "a"), node(2, "b"), views=views))
    assert "before 1.80" in bad["doctor.upgrade.client"]
    assert "two machines" in bad["doctor.identity"]


_RULE_OF_USERS = '{"action": "accept", "src": ["a@"], "dst": ["b@:*"]}'


def test_without_an_answer_the_api_is_the_finding() -> None:
    assert set(problems(examine_server({}))) == {"doctor.api"}


@pytest.mark.parametrize(
    ("unread", "words"), [("users", "the users was not examined"), ("policy", "the policy was not examined")]
)
def test_what_the_api_did_not_tell_is_not_unknown_to_the_server(unread: str, words: str) -> None:
    """A request that times out, as while the database is locked, says nothing about the names of a policy."""
    config = CONFIG + "database: {type: sqlite, sqlite: {path: /db}}\n"
    data = {**_policy(_RULE_OF_USERS), unread: None, "config": {"path": "config.yaml", "text": config}}
    assert words in problems(examine_server(data))["doctor.api"]
    assert set(problems(examine_server(data))) == {"doctor.api"}
    locked = examine_server({**data, "locks": [{"name": "python3", "pid": 7}]})
    assert problems(locked)["doctor.api"] == "because of doctor.database"


@given(
    st.dictionaries(
        st.sampled_from(["nodes", "users", "preauthkeys", "apikeys", "modes", "policy", "web", "config"]), JSON
    )
)
def test_no_answer_makes_a_finding_of_the_server_raise(data: dict[str, Any]) -> None:
    for check in examine_server(data, clients=("a",)):
        assert check.verdict in ("passed", "failed", "skipped", "error")


# --- hardening


_QUIET = (
    "server_url: https://h\nlisten_addr: 127.0.0.1:443\nmetrics_listen_addr: 127.0.0.1:9090\nderp: {paths: [d.yaml]}\n"
)
_QUIET += "dns: {override_local_dns: false}\nnoise: {private_key_path: /k}\nunix_socket: /s\n"
_RULE = '{"acls": [{"action": "accept", "src": ["a@"], "dst": ["b@:22"]}]}'


def _ago(days: float) -> str:
    return datetime.fromtimestamp(NOW - days * 86400, tz=UTC).isoformat()


def _hardening(severity: str = "info", **data: Any) -> dict[str, str]:
    """Return the hints about what could be attacked, by aspect."""
    observed = {
        "nodes": {"nodes": [node(1, "a")]},
        "config": {"path": "c", "text": _QUIET},
        "policy": {"policy": _RULE},
        **data,
    }
    users = {"users": {"users": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]}}
    found = problems(examine_server({**users, **observed}, min_severity=severity))
    return {name.partition("hardening.")[2]: hint for name, hint in found.items() if "hardening" in name}


def test_a_server_that_is_hardened_has_one_check_that_passed() -> None:
    assert _hardening() == {}
    checks = examine_server({"nodes": {"nodes": [node(1, "a")]}}, min_severity="medium")
    assert [check.verdict for check in checks if check.id == "doctor.hardening"] == ["passed"]


@pytest.mark.parametrize(
    ("aspect", "severity", "data", "words"),
    [
        ("metrics", "medium", {"config": {"path": "c", "text": _QUIET.replace("127.0.0.1:9090", ":9090")}}, "in c:3"),
        ("log.debug", "low", {"config": {"path": "c", "text": _QUIET + "log: {level: trace}"}}, "write info"),
        ("tls.listener", "low", {"config": {"path": "c", "text": _QUIET.replace("127.0.0.1:443", ":80")}}, "without TLS"),
        ("trusted_proxies.broad", "medium", {"config": {"path": "c", "text": _QUIET + "trusted_proxies: [10.0.0.0/8]"}}, "10.0.0.0/8"),
        ("files", "high", {"modes": {"/k": {"mode": "644"}}}, "`chmod o= /k`"),
        ("files", "high", {"modes": {"/s": {"mode": "777"}}}, "administer headscale"),
        ("preauthkey", "medium", {"preauthkeys": {"preAuthKeys": [{"id": "7", "reusable": True}]}}, "expire --id 7"),
        ("preauthkey", "low", {"preauthkeys": {"preAuthKeys": [{"id": "7", "createdAt": _ago(40), "expiration": _ago(-9)}]}}, "40 days"),
        ("api_key", "medium", {"apikeys": {"apiKeys": [{"id": "3", "expiration": _ago(-2)}]}}, "2.0 days"),
        ("api_key", "medium", {"apikeys": {"apiKeys": [{"id": "3"}]}}, "never expires"),
        ("unseen", "low", {"nodes": {"nodes": [node(4, "old", online=False, lastSeen=_ago(200))]}}, "nodes delete -i 4"),
        ("policy", "low", {"policy": {"policy": ""}}, "no policy"),
        ("policy", "low", {"policy": {"policy": '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'}}, "every node"),
    ],
)  # fmt: skip
def test_what_could_be_attacked(aspect: str, severity: str, data: dict[str, Any], words: str) -> None:
    assert words in _hardening(severity, **data)[aspect]
    higher = {"low": "medium", "medium": "high"}.get(severity)
    if higher:
        assert aspect not in _hardening(higher, **data)


@pytest.mark.parametrize(
    "data",
    [
        {"modes": {"/k": {"mode": "640"}, "/s": {"mode": "770"}}},
        {"modes": {"/k": {"mode": "rwx"}, "/s": {"error": "no"}}},
        {"preauthkeys": {"preAuthKeys": [{"id": "7", "reusable": True, "expiration": _ago(1)}, {"id": "8", "used": True}]}},
        {"preauthkeys": {"preAuthKeys": [{"id": "7", "createdAt": _ago(40), "expiration": _ago(-9)}]},
         "nodes": {"nodes": [node(1, "a", preAuthKey={"id": "7"})]}},
        {"apikeys": {"apiKeys": [{"id": "3", "expiration": _ago(-80)}, {"id": "4", "expiration": _ago(80)}]}},
        {"nodes": {"nodes": [node(1, "a", lastSeen=_ago(200)), node(2, "b", online=False, lastSeen=_ago(20))]}},
    ],
)  # fmt: skip
def test_what_is_no_finding(data: dict[str, Any]) -> None:
    assert _hardening(**data) == {}


def test_what_could_be_attacked_is_never_the_headline_of_another_fault() -> None:
    checks = [check.as_dict() for check in examine_server({
        "nodes": {"nodes": [node(1, "a", expiry=_ago(1))]}, "modes": {"/k": {"mode": "644"}}, "config": {"path": "c", "text": _QUIET},
    })]  # fmt: skip
    assert "key has expired" in headline(checks)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("failed SASL auth: FATAL: password authentication failed (SQLSTATE 28P01)", "database.postgres.pass"),
        ('server error: FATAL: database "x" does not exist (SQLSTATE 3D000)', "create that database"),
        (
            "failed to connect to `user=h database=h`: hostname resolving error: lookup db",
            "correct database.postgres.host",
        ),
        ("failed to connect to `user=h database=h`: 10.0.0.1:5432 (db): dial error: refused", "start PostgreSQL"),
        ("database is locked (5) (SQLITE_BUSY)", "SQLite database locked"),
        ("listen tcp :443: bind: address already in use", "stop the program that has the port"),
        ("attempt to write a readonly database (8)", "mount that writable"),
        ("FATAL: sorry, too many clients already (SQLSTATE 53300)", "raise its max_connections"),
        (
            "ERROR: cannot execute CREATE TABLE in a read-only transaction (SQLSTATE 25006)",
            "that is no standby in database.postgres.host",
        ),
        ("getting DERPMap: invalid character '<' looking for beginning of value", "correct derp.urls"),
        ("open /etc/headscale/derp.yaml: no such file or directory", "restore that file"),
    ],
)
def test_the_reason_why_headscale_does_not_start_has_a_remedy(said: str, remedy: str) -> None:
    seen = {"nodes": None, "listening": [], "log": {"from": "log", "lines": [f"Error: {said}"]}}
    assert remedy in problems(examine_server(seen))["doctor.start"]


def test_a_client_that_told_nothing_is_not_called_unregistered() -> None:
    silent = {"id": "doctor.client", "source": "two", "hint": "no answer from the host"}
    views = (ClientView(name="one", key="nodekey:1", state="Running"), ClientView(name="two", bad={"client": silent}))
    checks = examine_server({"nodes": {"nodes": [node(1, "one")]}}, clients=("one", "two"), views=views)
    found = next(check for check in checks if check.id == "doctor.registration" and check.target == "two")
    assert found.evidence["because"] == {"id": "doctor.client", "source": "two"}


def test_a_node_whose_client_is_stopped_is_not_called_unreachable_as_well() -> None:
    stopped = {"id": "doctor.client", "source": "two", "hint": "start tailscaled"}
    views = (
        ClientView(name="one", key="nodekey:1", state="Running", answered={"100.64.0.2": False}),
        ClientView(name="two", bad={"client": stopped}),
    )
    checks = examine_server({"nodes": {"nodes": [node(1, "one"), node(2, "two")]}}, clients=("one", "two"), views=views)
    bad = [check for check in checks if check.bad]
    assert {check.id for check in bad} == {"doctor.online", "doctor.registration"}
    assert all(check.evidence["because"]["id"] == "doctor.client" for check in bad)


def test_a_configuration_that_is_not_examined_is_no_fault() -> None:
    said = examine_server({**_PAIR, "config": {"path": "config.yaml", "text": 'a: "{{ b }}"'}})
    (found,) = [check for check in said if check.id == "doctor.config"]
    assert found.verdict == "skipped"
    assert "was not examined: the file config.yaml, line 1, contains Jinja" in found.hint


def _log(*words: str) -> dict[str, Any]:
    return {"lines": [f"2025-11-29T09:03:{number * 6:02}Z {word}" for number, word in enumerate(words)]}


_OPENED, _ENDED = "INF Opening database", "INF Headscale stopped"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ([_OPENED] * 4, "3 times in the last 5 minutes"),
        ([_OPENED, "panic: boom"] * 4, "its log has panic: boom"),
        ([_OPENED, _ENDED] * 5, ""),
        ([_OPENED, "Error: no database"] * 5, ""),
        ([_OPENED] * 3, ""),
        ([*[_OPENED] * 4, "INF on", "INF on", "INF on", "INF on", "INF on"], ""),
    ],
    ids=["killed", "panics", "restarted", "does not start", "seldom", "over"],
)
def test_a_server_that_ends_again_and_again(log: list[str], words: str) -> None:
    said = problems(examine_server({**_PAIR, "log": _log(*log)})).get("doctor.start", "")
    assert words in said
    assert bool(said) is bool(words)


def test_a_version_that_was_not_told_is_nobody_elses() -> None:
    silent = examine_server({**_PAIR, "web": [{"url": "https://h/version", "outcome": "timeout"}]})
    (found,) = [check for check in silent if check.id == "doctor.upgrade.server"]
    assert found.verdict == "skipped"
    assert "it does not answer in time" in found.hint


def test_two_nodes_of_one_address() -> None:
    found = problems(_checks(node(1, "a"), node(2, "b", ipAddresses=["100.64.0.1", "fd7a:115c:a1e0::2"])))
    assert "a and b both have 100.64.0.1" in found["doctor.addresses"]
    assert "`headscale nodes delete -i 2`" in found["doctor.addresses"]
    assert "doctor.addresses" not in problems(_checks(node(1, "a"), node(2, "b")))


@pytest.mark.parametrize(
    ("kind", "web", "words"),
    [
        ("postgres", "answered", "its page /version answers, so its database may keep it waiting, which was not seen (ask PostgreSQL what"),
        ("sqlite", "answered", "(read headscale's log)"),
        ("postgres", "timeout", "The read operation timed out: the server's records were not examined"),
    ],
)  # fmt: skip
def test_an_api_that_alone_does_not_answer(kind: str, web: str, words: str) -> None:
    seen = answer(
        web=[{"url": "https://h/version", "outcome": web}],
        config={"path": "c", "text": f"{CONFIG}database: {{type: {kind}}}\n"},
    )
    seen["observations"]["nodes"] = {
        "ok": False,
        "error": {"type": "timeout", "message": "The read operation timed out"},
    }
    checks = finding.judge(control, Server(seen, ServerContext(url="https://h")), CONTEXT)
    assert words in problems(checks)["doctor.api"]


def _map(*nodes: dict[str, Any], code: str = "lab") -> dict[str, Any]:
    return {"Regions": {"901": {"RegionID": 901, "RegionCode": code, "Nodes": list(nodes)}}}


_RELAY = {"HostName": "relay.lab.test", "IPv4": "203.0.113.10", "STUNPort": 3478}
_SECOND = {"HostName": "relay-2.lab.test", "IPv4": "203.0.113.11", "IPv6": "2001:db8::11", "CertName": "sha256-raw:ab"}


@pytest.mark.parametrize(
    ("one", "two", "differing"),
    [
        (_map(_RELAY), _map(_RELAY), []),
        (_map(_RELAY, _SECOND), _map(_SECOND, _RELAY), []),
        (_map(_RELAY), _map({**_RELAY, "HostName": "old.lab.test", "IPv4": "203.0.113.99"}), ["lab"]),
        (_map(_RELAY), _map({**_RELAY, "STUNPort": 3479}), ["lab"]),
        (_map(_RELAY, _SECOND), _map(_RELAY, {**_SECOND, "IPv6": "2001:db8::12"}), ["lab"]),
        (_map(_RELAY), _map(_RELAY, code="old"), ["lab", "old"]),
        (_map({**_RELAY, "HostName": "\ud800" * 99}), _map(_RELAY), ["lab"]),
        (_map(_RELAY), {"Regions": [1]}, None),
        (_map(_RELAY), {"Regions": {"1": {"Nodes": {"x": [1]}}, "2": None}}, ["", "lab"]),
    ],
)
def test_maps_of_relays_are_compared_by_where_the_relays_are(one: Any, two: Any, differing: list[str] | None) -> None:
    views = tuple(
        ClientView.read(name, ClientView.of(name, Client(answer(derpmap=known), ClientContext())).as_fact())
        for name, known in (("a", one), ("b", two))
    )
    found = [check for check in _checks(node(1, "a"), views=views) if check.id == "doctor.derp_map.same"]
    if differing is None:
        assert not found
        return
    assert found[0].bad is bool(differing)
    assert f"different relays in {', '.join(differing)}:" in found[0].hint or not differing
    assert max(len(str(known)) for known in found[0].observed.values()) < 200
