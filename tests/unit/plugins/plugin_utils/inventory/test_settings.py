# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables of an inventory that cannot be meant are one sentence before anything is built."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt_inventory
import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.modules.user import _check_name
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.resolved import Settings
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.settings import (
    check_settings,
    checked_names,
    slips,
)
from hypothesis import given
from hypothesis import strategies as st
from project import ROOT
from sample import examples

Read = tuple[dict[str, dict[str, Any]], dict[str, list[str]]]


def read(name: str) -> Read:
    """Return hosts and groups of an inventory without patterns."""
    whole = libvirt_inventory.read(name)
    hosts: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {"all": []}

    def walk(name: str, group: dict[str, Any] | None, inherited: dict[str, Any]) -> Iterator[str]:
        shared = {**inherited, **((group or {}).get("vars") or {})}
        for host, own in ((group or {}).get("hosts") or {}).items():
            hosts[host] = {**hosts.get(host, {}), **shared, **(own or {})}
            yield host
        for child, inner in ((group or {}).get("children") or {}).items():
            groups[child] = [*groups.get(child, []), *walk(child, inner, shared)]
            yield from groups[child]

    groups["all"] = list(dict.fromkeys(walk("all", whole, {})))
    # What templates make of a value is Ansible's affair.
    plain = {
        host: {name: value for name, value in own.items() if "{{" not in str(value)} for host, own in hosts.items()
    }
    return plain, groups


_SEED = read("lab")


def seed() -> Read:
    return copy.deepcopy(_SEED)


@pytest.mark.parametrize("path", sorted((ROOT / "inventory").rglob("*.yml")), ids=lambda path: path.stem)
def test_every_inventory_that_comes_along_is_right(path: Path) -> None:
    hosts, groups = read(path)
    check_settings(hosts, groups)
    assert list(slips(hosts)) == []


BAD: list[tuple[str, Any, str]] = [
    ("mesh_allow_disruptive", "perhaps", "mesh_allow_disruptive is 'perhaps': write true or false"),
    ("mesh_manage", "sure", "mesh_manage is 'sure': write true or false"),
    ("mesh_backend", "docker", "mesh_backend is 'docker': write one of lab, libvirt, hosts"),
    ("mesh_server_url", "headscale.lab.test", "mesh_server_url is 'headscale.lab.test': write a URL such as https://"),
    ("mesh_server_url", 443, "mesh_server_url is 443: write a URL"),
    ("mesh_server_url", "https://headscale.lab.test:99999", "write a URL"),
    ("mesh_server_url", "https://[::1", "write a URL"),
    ("mesh_server_url", "", "mesh_server_url is missing: write the URL at which clients reach the server"),
    ("mesh_server_url", "http://headscale.lab.test", "a lab's server uses HTTPS, without a path; write https://headscale.lab.test"),
    ("mesh_server_url", "https://headscale.lab.test/hs", "a lab's server uses HTTPS, without a path"),
    ("mesh_server_url", "https://other.lab.test", "headscale-server has no such name: write one of its mesh_names (headscale.lab.test), or add other.lab.test to them"),
    ("mesh_server_url", "https://headscale.lab.test:8443", "the router of headscale-server does not forward tcp port 8443: clients would not reach the server; add {port: 8443}"),
    ("mesh_domain", "mesh internal", "mesh_domain is 'mesh internal': write a DNS name such as mesh.internal"),
    ("mesh_domain", 7, "mesh_domain is 7: write a DNS name"),
    ("mesh_domain", "", "mesh_domain is '': write a DNS name"),
    ("mesh_domain", "lab.test", "mesh_domain is 'lab.test', and contains the server's name headscale.lab.test: clients would not"),
    ("mesh_domain", "headscale.lab.test", "clients would not reach the server"),
    ("mesh_user", "", "mesh_user is '': write a text"),
    ("mesh_user", ["a"], "mesh_user is ['a']: write a text"),
    ("mesh_user", "1abc", "mesh_user is '1abc': write a letter and then letters, digits or '-._', and at most one '@'"),
    ("mesh_user", "a", "write a letter and then"),
    ("mesh_user", "my user", "write a letter and then"),
    ("mesh_user", "a@b@c", "at most one '@'"),
    ("mesh_service_name", "../../etc", "mesh_service_name is '../../etc': write a service's plain name, of letters, digits and '_-.@'"),
    ("mesh_service_name", ".hidden", "write a service's plain name"),
    ("mesh_service_name", "-x", "write a service's plain name"),
    ("mesh_service_name", "a b", "write a service's plain name"),
    ("mesh_service_name", "web\n", "write a service's plain name"),
    ("mesh_service_name", "", "write a service's plain name"),
    ("mesh_service_name", 7, "write a service's plain name"),
    ("mesh_api_key_file", "", "mesh_api_key_file is '': write the absolute path of the file that holds the API key"),
    ("mesh_api_key_file", ["/a"], "mesh_api_key_file is ['/a']: write the absolute path"),
    ("mesh_api_key_file", "keys/meshctl", "mesh_api_key_file is '***': write the absolute path"),
    ("mesh_tailscaled_socket", "tailscaled.sock", "mesh_tailscaled_socket is 'tailscaled.sock': write an absolute path such as /var/run"),
    ("mesh_tailscaled_socket", 5, "write an absolute path"),
    ("mesh_tailscaled_socket", "/run/b.sock", "mesh_tailscaled_socket is '/run/b.sock', and a lab's tailscaled listens at the usual place: remove it"),
    ("mesh_ca_path", ["/etc/ca.pem"], "mesh_ca_path is ['/etc/ca.pem']: write the path of a file with certificates"),
    ("mesh_service_body", ["Welcome"], "mesh_service_body is ['Welcome']: write a text"),
    ("mesh_fail_late", "perhaps", "mesh_fail_late is 'perhaps': write true or false"),
    ("mesh_release_url_headscale", "mirror", "mesh_release_url_headscale is 'mirror': write a URL such as https://"),
    ("mesh_release_url_tailscale", "file:///srv/mirror", "write a URL such as https://"),
    ("mesh_libvirt", "debian", "mesh_libvirt is 'debian': write a mapping, as in {image: debian}"),
    ("mesh_key_expiration", "soon", "mesh_key_expiration is 'soon': write a duration such as 24h or 1h30m"),
    ("mesh_key_expiration", "-5h", "write a duration"),
    ("mesh_key_expiration", "0s", "write a duration"),
    ("mesh_key_expiration", 24, "mesh_key_expiration is 24: write a duration"),
    ("mesh_policy", "allow all", "mesh_policy is 'allow all': write a policy of Headscale"),
    ("mesh_policy", ["acls"], "write a policy of Headscale"),
    ("mesh_policy", {"acl": []}, "mesh_policy: unknown key 'acl'; did you mean acls?"),
    ("mesh_policy", {"akls": []}, "mesh_policy: unknown key 'akls'; did you mean acls?"),
    ("mesh_policy", {"tagOwner": {}}, "did you mean tagOwners?"),
    ("mesh_policy", {"postures": {}}, "mesh_policy: unknown key 'postures'; Headscale knows groups, hosts, tagOwners, acls,"),
    ("mesh_policy", '{"acls": [], /* ours */ "acl": [],}', "mesh_policy: unknown key 'acl'; did you mean acls?"),
    ("mesh_policy", {"acls": {}}, "mesh_policy: acls is {}: write a list"),
    ("mesh_policy", {"groups": []}, "mesh_policy: groups is []: write a mapping"),
    ("mesh_policy", {"randomizeClientPort": "yes"}, "mesh_policy: randomizeClientPort is 'yes': write true or false"),
    ("mesh_domain", "Mesh.Internal", "mesh_domain is 'Mesh.Internal': write it in lower case: mesh.internal"),
    ("mesh_domain", "mesh.internal.", "mesh_domain is 'mesh.internal.': write it without the dot at the end: mesh.internal"),
    ("mesh_database", "postgres", "mesh_database is '***': write {type: sqlite}, or {type: postgres} with host, port, name"),
    ("mesh_database", {"type": "mysql"}, "mesh_database is {'type': 'mysql'}: write {type: sqlite}"),
    ("mesh_database", {"type": "sqlite", "host": "db"}, "write {type: sqlite}, or {type: postgres}"),
    ("mesh_database", {"type": "postgres", "password": "x"}, "mesh_database is {'type': 'postgres', 'password': '***'}: write"),
    ("mesh_database", {"type": "postgres", "port": "5432"}, "write {type: sqlite}, or {type: postgres}"),
    ("mesh_database", {"type": "postgres", "password_file": "pass"}, "write {type: sqlite}, or {type: postgres}"),
    ("mesh_manage", None, "mesh_manage is null: write true or false"),
    ("mesh_user", True, "mesh_user is true: write a text"),
    ("mesh_canaries", [None], "mesh_canaries is [null]: write a list"),
    ("mesh_latency_budget_ms", "fast", "mesh_latency_budget_ms is 'fast': write a number above zero"),
    ("mesh_latency_budget_ms", -1, "write a number above zero"),
    ("mesh_latency_budget_ms", 0, "write a number above zero"),
    ("mesh_latency_budget_ms", float("nan"), "write a number above zero"),
    ("mesh_latency_budget_ms", True, "write a number above zero"),
    ("mesh_loss_budget_percent", 101, "write a number from 0 to 100"),
    ("mesh_rejoin_budget_s", "30s", "write a number above zero"),
    ("mesh_propagation_budget_s", [30], "write a number above zero"),
    ("mesh_resolution_budget_ms", None, "write a number above zero"),
    ("mesh_expiry_warning_days", -1, "write a number of days"),
    ("mesh_patience", "much", "mesh_patience is 'much': write a number from 1 to 60"),
    ("mesh_patience", 0, "write a number from 1 to 60"),
    ("mesh_deadline_s", "never", "write a number of seconds"),
    ("mesh_path", "derp", "mesh_path is 'derp': write one of auto, direct, relay, any"),
    ("mesh_canary", "client-node-9", "mesh_canary is 'client-node-9': write one of client-node-1, client-node-2, client-node-3"),
    ("mesh_canary", "headscale-server", "write one of client-node-1"),
    ("mesh_canaries", "client-node-1", "mesh_canaries is 'client-node-1': write a list, as in [client-node-1]"),
    ("mesh_canaries", ["nobody"], "mesh_canaries names 'nobody', which is not a host of the inventory: it has headscale-server, relay"),
    ("mesh_service_host", "relay", "mesh_service_host is 'relay': write one of client-node-1"),
    ("mesh_service_port", 70000, "write a port from 1 to 65535"),
    ("mesh_service_port", "http", "write a port from 1 to 65535"),
    ("mesh_service_status", 20, "write an HTTP status"),
    ("mesh_resolved_families", ["ipv5"], "write a list, of ipv4, ipv6 or both"),
    ("mesh_outside_names", "outside.lab.test", "write a list, of DNS names"),
    ("mesh_expect", [{"from": "nobody", "to": "all", "reach": False}], "entry 1 of mesh_expect, from: nobody is neither a host nor a group"),
    ("mesh_expect", {"from": "all"}, "mesh_expect is {'from': 'all'}: write a list"),
    ("ansible_connection", "local", "host headscale-server: ansible_connection is 'local', which does not connect to the lab 'seed': write meshctl.headscale.netns"),
    ("ansible_connection", "meshctl.headscale.nets", "does not connect to the lab"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_a_variable_that_cannot_be_meant(name: str, value: Any, message: str) -> None:
    hosts, groups = seed()
    with pytest.raises(BadInput) as caught:
        check_settings({host: {**own, name: value} for host, own in hosts.items()}, groups)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nginx", "nginx.service", "web@1", "_x", "a-b_c.d", "1"])
def test_a_service_s_name(name: str) -> None:
    hosts, groups = seed()
    check_settings({host: {**own, "mesh_service_name": name} for host, own in hosts.items()}, groups)


@pytest.mark.parametrize(
    "name", ["default", "al", "Ünal", "a@b", "a.b-c_d", "", "a", "1a", "_a", "a b", "a@b@c", "a@@", "ab\n", "a/b"]
)
def test_the_module_user_has_the_same_rule(name: str) -> None:
    hosts, groups = seed()
    with contextlib.ExitStack() as refused:
        try:
            _check_name(name)
        except BadInput:
            refused.enter_context(pytest.raises(BadInput))
        check_settings({host: {**own, "mesh_user": name} for host, own in hosts.items()}, groups)


@pytest.mark.parametrize(
    "policy",
    [
        {"ACLs": [], "tag_owners": {}, "ssh": None},
        {"groups": {}, "hosts": {}, "autoApprovers": {}, "grants": [], "tests": [], "sshTests": []},
        '{"acls": [], /* nothing */}',
        {"randomizeClientPort": True},
    ],
)
def test_a_policy_that_headscale_reads(policy: Any) -> None:
    hosts, groups = seed()
    check_settings({host: {**own, "mesh_policy": policy} for host, own in hosts.items()}, groups)


def test_only_a_lab_brings_its_own_postgresql() -> None:
    hosts, groups = seed()
    database = {"type": "postgres"}
    check_settings({host: {**own, "mesh_database": database} for host, own in hosts.items()}, groups)
    own = {"mesh_manage": True, "mesh_server_url": "https://h.example.com", "mesh_database": database}
    with pytest.raises(
        BadInput, match=r"mesh_database is .*, and has no host: .* add the host, which is 127\.0\.0\.1 for one"
    ):
        check_settings({"server": own}, {"headscale": ["server"], "clients": []})
    check_settings(
        {"server": {**own, "mesh_database": {**database, "host": "db"}}}, {"headscale": ["server"], "clients": []}
    )


def test_a_probe_of_routers_ends_before_the_next() -> None:
    hosts, groups = seed()

    def check(**own: float | str) -> None:
        check_settings({host: {**known, **own} for host, known in hosts.items()}, groups)

    check(mesh_router_probe_interval_s=10, mesh_router_probe_timeout_s="9.5")
    check(mesh_router_probe_timeout_s=3.5)
    with pytest.raises(BadInput, match=r"timeout_s is 3, and mesh_router_probe_interval_s is 3: write a timeout"):
        check(mesh_router_probe_interval_s=3)
    with pytest.raises(BadInput, match=r"mesh_router_probe_timeout_s is 5, and mesh_router_probe_interval_s is 4"):
        check(mesh_router_probe_timeout_s="5")
    with pytest.raises(BadInput, match=r"mesh_router_probe_interval_s is 1: write a number of seconds, 2 or more"):
        check(mesh_router_probe_interval_s=1)


@pytest.mark.parametrize(
    ("own", "probes", "budget"),
    [
        ({"mesh_backend": "lab"}, (4, 3), 37),
        ({"mesh_backend": "libvirt"}, (10, 5), 45),
        ({}, (10, 5), 45),
        ({"mesh_backend": "lab", "mesh_router_probe_interval_s": "20"}, (20, 3), 53),
        ({"mesh_failover_budget_s": 7, "mesh_router_probe_interval_s": 20}, (20, 5), 7),
    ],
)
def test_the_budget_of_a_failover_follows_the_server_s_probes(
    own: dict[str, Any], probes: tuple[float, float], budget: float
) -> None:
    known = Settings(own.get)
    assert (known["router_probe_interval_s"], known["router_probe_timeout_s"]) == probes
    assert known["failover_budget_s"] == budget


def test_the_domain_and_policy_of_one_s_own_server_are_its_own_affair() -> None:
    own = {"mesh_domain": "Mesh.Internal", "mesh_policy": {"acl": []}}
    check_settings({"server": own}, {"headscale": ["server"], "clients": []})


def test_a_user_of_one_s_own_server_has_any_name() -> None:
    check_settings({"server": {"mesh_user": "1 user"}}, {"headscale": ["server"], "clients": []})


def test_paths_of_own_hosts_may_begin_at_home_and_lead_anywhere() -> None:
    own = {
        "mesh_api_key_file": "~/.config/headscale_api_key",
        "mesh_ca_path": "",
        "mesh_tailscaled_socket": "/run/b.sock",
    }
    check_settings({"server": own}, {"headscale": ["server"], "clients": []})


def test_a_host_is_named_where_it_alone_is_wrong() -> None:
    hosts, groups = seed()
    hosts["client-node-2"]["mesh_node_name"] = "über node"
    with pytest.raises(BadInput, match=r"^host client-node-2: mesh_node_name is 'über node': write letters"):
        check_settings(hosts, groups)


@pytest.mark.parametrize("left_out", ["mesh_names", "ansible_connection"])
def test_a_relay_needs(left_out: str) -> None:
    hosts, groups = seed()
    del hosts["relay"][left_out]
    with pytest.raises(BadInput, match=f"^host relay.*{left_out}"):
        check_settings(hosts, groups)


def test_a_way_into_the_lab_that_was_forgotten() -> None:
    hosts, groups = seed()
    for own in hosts.values():
        del own["ansible_connection"]
    with pytest.raises(BadInput) as caught:
        check_settings(hosts, groups)
    assert str(caught.value) == (
        "host headscale-server: ansible_connection is not set, and nothing connects to the lab 'seed': "
        "write ansible_connection: meshctl.headscale.netns"
    )


def test_a_backend_that_was_forgotten() -> None:
    hosts, groups = seed()
    for own in hosts.values():
        del own["mesh_backend"]
    with pytest.raises(BadInput, match=r"^mesh_backend is not set: write mesh_backend: lab$"):
        check_settings(hosts, groups)
    for own in hosts.values():
        del own["ansible_connection"]
    with pytest.raises(BadInput, match=r"^mesh_backend is not set: write mesh_backend: lab, or libvirt for"):
        check_settings(hosts, groups)


def test_a_server_behind_a_router_is_published() -> None:
    hosts, groups = seed()
    del hosts["headscale-server"]["mesh_publish"]
    with pytest.raises(BadInput, match=r"does not forward tcp port 443: .*; add \{port: 443\} to its mesh_publish"):
        check_settings(hosts, groups)
    for own in hosts.values():
        own["mesh_subnets"]["subnet-a"]["nat"] = "none"
    check_settings(hosts, groups)


def test_own_hosts_may_leave_everything_out() -> None:
    check_settings(
        {"server": {}, "one": {"mesh_server_url": ""}}, {"headscale": ["server"], "clients": ["one"], "all": []}
    )


def test_values_of_the_command_line_are_texts() -> None:
    hosts, groups = seed()
    given = {"mesh_latency_budget_ms": "20", "mesh_allow_disruptive": "False", "mesh_service_port": "8080"}
    check_settings({host: {**own, **given} for host, own in hosts.items()}, groups)


def test_virtual_machines_are_not_this_machine() -> None:
    hosts, groups = read("libvirt")
    hosts["client-node-1"]["ansible_connection"] = "local"
    with pytest.raises(BadInput, match=r"does not connect to the lab '[a-z-]+': write ansible\.builtin\.ssh"):
        check_settings(hosts, groups)


def test_slips_of_the_pen() -> None:
    hosts = {"one": {"mesh_latency_buget_ms": 5, "mesh_mine": 1, "mesh_nodes": {}}}
    assert list(slips(hosts)) == [
        "the inventory sets mesh_latency_buget_ms, which meshctl does not use: did you mean mesh_latency_budget_ms?"
    ]


def test_what_playbooks_set_is_no_slip() -> None:
    playbooks = [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "collection").rglob("roles/**/*.yml")]
    named = {
        name
        for path in playbooks
        if "collections" not in path.parts[:-1]
        for name in re.findall(r"\bmesh_\w+", path.read_text(encoding="utf-8"))
    }
    assert list(slips({"one": dict.fromkeys(named)})) == []


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(host=st.sampled_from(sorted(seed()[0])), name=st.sampled_from(checked_names()), value=_JUNK)
@examples(300)
def test_whatever_a_variable_is(host: str, name: str, value: Any) -> None:
    hosts, groups = seed()
    hosts[host][name] = value
    try:
        check_settings(hosts, groups)
    except BadInput as exc:
        assert name.removeprefix("ansible_") in str(exc)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mesh_subnets", 5, "mesh_subnets must be a mapping"),
        ("mesh_subnets", ["subnet-a"], "mesh_subnets must be a mapping"),
        ("mesh_subnets", None, "mesh_subnets must be a mapping"),
        ("mesh_publish", 443, "mesh_publish must be a list"),
        ("mesh_publish", [{"proto": "tcp"}], "is not a port"),
        ("mesh_publish", [{"proto": "icmp", "port": 1}], "unknown proto 'icmp'"),
        ("mesh_names", "headscale.lab.test", "mesh_names must be a list"),
        ("mesh_subnet", "Subnet-A", "unknown subnet 'Subnet-A'"),
    ],
)
def test_a_topology_without_form_is_named_as_such(name: str, value: Any, message: str) -> None:
    hosts, groups = seed()
    hosts["headscale-server"][name] = value
    with pytest.raises(BadInput, match=message):
        check_settings(hosts, groups)


@given(name=st.sampled_from(["mesh_subnets", "mesh_publish", "mesh_names", "mesh_subnet", "mesh_wan"]), value=_JUNK)
@examples(300)
def test_whatever_the_server_s_place_is(name: str, value: Any) -> None:
    hosts, groups = seed()
    hosts["headscale-server"][name] = value
    with contextlib.suppress(BadInput):
        check_settings(hosts, groups)
