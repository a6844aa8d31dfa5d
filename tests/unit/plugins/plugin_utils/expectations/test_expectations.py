# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stories expect of hosts: in labs with and without NAT, and on existing hosts with and without a topology."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.doc_fragments._assertion import ModuleDocFragment
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations import disruption, service, subnets
from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations.requirements import (
    REQUIREMENTS,
    lacking,
    unmet,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.resolved import Settings
from lab_inventory import Inventory


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """An inventory and its topology, seen from one host."""

    host: str
    variables: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, Any] = field(default_factory=dict)
    others: dict[tuple[str, str], Any] = field(default_factory=dict)

    def variable(self, name: str) -> Any:
        """Return a variable."""
        return self.variables.get(name)

    def setting(self, name: str) -> Any:
        """Return a setting."""
        return Settings(self.variables.get, self.group("clients"))[name]

    def of_host(self, host: str, name: str) -> Any:
        """Return a variable of another host."""
        return self.others.get((host, name))

    def shared(self, name: str) -> Any:
        """Return a shared fact."""
        return self.variables.get(name)

    def group(self, name: str) -> list[str]:
        """Return the hosts of a group."""
        return self.groups.get(name, [])

    def topology(self) -> dict[str, Any]:
        """Return the place of every host."""
        return self.places

    def at(self, host: str) -> Hosts:
        """Return the view of another host."""
        return replace(self, host=host)

    def but(self, **variables: Any) -> Hosts:
        """Return a view with other variables."""
        return replace(self, variables={**self.variables, **variables})


SERVER, ONE, TWO, THREE = "headscale-server", "client-node-1", "client-node-2", "client-node-3"


def lab(inventory: Inventory | None = None) -> Hosts:
    """Return the seed lab, or another one."""
    found = inventory or Inventory()
    clients = list(found.groups["clients"])
    nodes = {
        host: {"addresses": [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"], "given_name": host}
        for number, host in enumerate(clients, start=1)
    }
    return Hosts(
        host=ONE,
        variables={
            "mesh_backend": "lab",
            "mesh_manage": True,
            "mesh_allow_disruptive": True,
            "mesh_nodes": nodes,
            "mesh_domain": "mesh.internal",
        },
        groups={name: list(hosts) for name, hosts in found.groups.items()},
        places=found.read().facts(),
    )


def changed(**hosts: dict[str, Any]) -> Inventory:
    """Return the seed inventory with other variables of hosts and subnets."""
    inventory = Inventory()
    for key, variables in hosts.items():
        name = key.replace("_", "-")
        (inventory.subnets[name] if name in inventory.subnets else inventory.host(name)).update(variables)
    return inventory


def existing(**places: str) -> Hosts:
    """Return existing hosts in these subnets."""
    known: dict[str, Any] = {
        host: {"subnet": where, "address": f"10.{number}.0.1", "cidr": f"10.{number}.0.0/24", "nat": "unknown"}
        for number, (host, where) in enumerate(places.items())
    }
    return Hosts(host="a", groups={"clients": ["a", "b", "c"], "headscale": ["s"]}, places=known)


# -- subnets --


@pytest.mark.parametrize(
    ("host", "elsewhere", "walls", "behind_nat"),
    [
        (ONE, [TWO, THREE], [TWO, THREE], True),
        (TWO, [ONE], [ONE, SERVER], True),
        (SERVER, [TWO, THREE], [TWO, THREE], True),
        ("relay", [ONE, TWO, THREE], [ONE, TWO, THREE, SERVER], False),
    ],
)
def test_subnets_of_the_seed_lab(host: str, elsewhere: list[str], walls: list[str], behind_nat: bool) -> None:
    found = subnets.expected(lab().at(host))
    assert found == {"elsewhere": elsewhere, "walls": walls, "behind_nat": behind_nat}
    for requirement in ("placement", "other_subnet", "isolation", "wall"):
        assert unmet(lab().at(host), [requirement]) == ""


def test_a_subnet_without_nat_is_elsewhere_but_no_wall() -> None:
    view = lab(changed(subnet_b={"nat": "none"}))
    assert subnets.expected(view) == {"elsewhere": [TWO, THREE], "walls": [], "behind_nat": True}
    assert unmet(view, ["other_subnet", "isolation", "wall"]).startswith("the other clients are in subnets without NAT")
    assert subnets.expected(view.at(TWO)) == {"elsewhere": [ONE], "walls": [ONE, SERVER], "behind_nat": False}


def test_public_addresses_of_the_routers_of_other_subnets() -> None:
    assert subnets.public_addresses(lab()) == {TWO: "203.0.113.3"}, "once for each router"
    assert subnets.public_addresses(lab().at(TWO)) == {ONE: "203.0.113.2"}
    assert subnets.public_addresses(lab(changed(subnet_b={"nat": "none"}))) == {}
    assert subnets.public_addresses(existing(a="x", b="y")) == {}


def test_published_ports_are_those_of_the_whole_subnet() -> None:
    view = lab(changed(client_node_1={"mesh_publish": [{"proto": "udp", "port": 53}]}))
    assert subnets.published(view, ONE, "tcp") == {443}
    assert subnets.published(view, ONE, "udp") == {53}
    assert subnets.published(view, TWO, "tcp") == set()


def test_existing_hosts_are_tried_on_the_ports_that_the_inventory_names() -> None:
    assert "set mesh_probe_ports" in subnets.no_ports(existing())
    assert subnets.no_ports(existing().but(mesh_probe_ports=[45100])) == ""
    assert subnets.no_ports(lab()) == ""


def test_where_a_service_of_the_seed_lab_must_not_be() -> None:
    found = service.other_addresses(lab().at(TWO))
    assert found[ONE] == ["100.64.0.1", "fd7a:115c:a1e0::1"], "its physical address is behind another router"
    assert found[THREE] == ["100.64.0.3", "fd7a:115c:a1e0::3", "10.0.0.11"]
    assert TWO not in found
    assert "client-node-4" not in found, "it joins only where a story needs it"
    assert service.routers(lab().at(TWO)) == {"router-subnet-a": ["203.0.113.2"]}
    outside = service.other_addresses(lab().at(SERVER))
    assert outside[ONE] == ["192.168.1.10"], "not in the mesh"
    assert THREE not in outside
    assert set(service.behind(lab(), "router-subnet-a")) >= {ONE, SERVER}


def test_the_other_nodes_must_not_notice_the_restart_of_the_service() -> None:
    assert service.expected(lab())["bystanders"] == [TWO, THREE]
    view = lab()
    assert disruption.outages(view) == []
    rows = {"results": [{"started_at": 100.0}, {"started_at": 103.0}, {}]}
    restarted = replace(view, others={**view.others, (ONE, "service_restart"): rows})
    assert disruption.outages(restarted) == [
        {"start": 100.0, "end": 108.0, "what": f"{ONE} and its service were restarted"}
    ]


def test_where_a_service_of_existing_hosts_must_not_be() -> None:
    view = existing(a="x", b="x", c="y").but(mesh_nodes={"b": {"addresses": ["100.64.0.2"]}})
    assert service.other_addresses(view) == {"b": ["100.64.0.2", "10.1.0.1"]}
    assert service.routers(view) == {}


def test_in_one_subnet_there_is_nothing_elsewhere() -> None:
    inventory = changed(
        client_node_2={"mesh_subnet": "subnet-a", "mesh_address": "192.168.1.11"},
        client_node_3={"mesh_subnet": "subnet-a", "mesh_address": "192.168.1.12"},
    )
    view = lab(inventory)
    assert subnets.elsewhere(view) == []
    assert unmet(view, ["other_subnet", "isolation"]) == "all clients are in one subnet, subnet-a"
    assert unmet(view, ["wall"]) == ""


def test_existing_hosts_without_a_topology_are_all_elsewhere() -> None:
    view = existing()
    assert subnets.expected(view) == {"elsewhere": ["b", "c"], "walls": [], "behind_nat": False}
    assert unmet(view, ["placement"]).startswith("the inventory does not say where this host is")
    assert unmet(view, ["other_subnet"]) == ""
    assert unmet(view, ["isolation"]).startswith("the inventory does not say that the networks")
    alone = replace(view, groups={"clients": ["a"]})
    assert unmet(alone, ["other_subnet"]) == "all clients are in one subnet, or there is only one client"


def test_existing_networks_are_isolated_only_if_the_inventory_says_so() -> None:
    view = existing(a="home", b="office", c="home", s="home")
    assert subnets.expected(view) == {"elsewhere": ["b"], "walls": ["b"], "behind_nat": False}
    assert unmet(view, ["placement", "other_subnet", "wall"]) == ""
    assert unmet(view, ["isolation"])
    assert unmet(view.but(mesh_isolated=True), ["isolation"]) == ""
    assert unmet(view.but(mesh_backend="lab", mesh_isolated=False), ["isolation"])


def test_an_existing_host_without_an_address_is_no_wall() -> None:
    view = existing(a="home", b="office")
    view.places["b"]["address"] = None
    assert subnets.walls(view) == []
    assert subnets.elsewhere(view) == ["b", "c"]
    assert unmet(view.at("b"), ["placement"])


# -- the service --


def test_the_service_of_the_seed_lab() -> None:
    found = service.expected(lab().at(TWO))
    assert found == {
        "host": ONE,
        "name": "mesh-service",
        "port": 80,
        "status": 200,
        "body": f"meshctl: {ONE} serves this over the mesh",
        "addresses": ["100.64.0.1", "fd7a:115c:a1e0::1"],
        "urls": ["http://100.64.0.1:80/", f"http://{ONE}.mesh.internal:80/", f"http://{ONE}:80/"],
        "node_url": "http://100.64.0.1:80/",
        "physical_urls": ["http://192.168.1.10:80/"],
        "physical_outcome": "unreachable",
        "public_url": "http://203.0.113.2:80/",
        "behind_other_router": True,
        "stranger": False,
        "may_restart": True,
        "bystanders": [TWO, THREE],
    }
    assert unmet(lab().at(TWO), ["service", "private_service", "service_address", "service_restart"]) == ""


@pytest.mark.parametrize("host", [ONE, SERVER])
def test_the_host_and_its_neighbours_are_refused(host: str) -> None:
    found = service.expected(lab().at(host))
    assert (found["physical_outcome"], found["behind_other_router"]) == ("refused", False)
    assert found["stranger"] is (host == SERVER)


def test_a_host_without_nat_is_routed_to() -> None:
    found = service.expected(lab(changed(subnet_a={"nat": "none"})).at(TWO))
    assert (found["physical_outcome"], found["behind_other_router"]) == ("refused", False)


def test_the_service_of_a_mesh_without_ipv4_is_asked_at_its_ipv6_address() -> None:
    seen = lab().at(TWO)
    nodes = {ONE: {"addresses": ["fd7a:115c:a1e0::1"], "given_name": ONE}}
    found = service.expected(seen.but(mesh_nodes=nodes))
    assert found["node_url"] == found["urls"][0] == "http://[fd7a:115c:a1e0::1]:80/"


def test_a_published_port_may_answer_at_the_router() -> None:
    view = lab(changed(client_node_1={"mesh_publish": [{"port": 80}]})).at(TWO)
    assert service.expected(view)["behind_other_router"] is False
    assert service.expected(view.but(mesh_service_port="8080"))["behind_other_router"] is True
    udp = lab(changed(client_node_1={"mesh_publish": [{"proto": "udp", "port": 80}]})).at(TWO)
    assert service.expected(udp)["behind_other_router"] is True


def test_all_physical_addresses_of_a_lab_host_are_tried() -> None:
    endpoints = ["203.0.113.2:41641", "192.168.1.10:41641", "192.168.1.77:41641", "[2001:db8::1]:41641", "junk"]
    client = {(ONE, "mesh_client"): {"endpoints": endpoints}}
    found = service.expected(replace(lab(), others=client))
    assert found["physical_urls"] == ["http://192.168.1.10:80/", "http://192.168.1.77:80/"]
    own = replace(existing(a="home"), others={("a", "mesh_client"): {"endpoints": endpoints}})
    assert service.expected(own.but(mesh_service_host="a"))["physical_urls"] == ["http://10.0.0.1:80/"]


def test_existing_hosts_have_the_service_that_the_inventory_names() -> None:
    view = existing()
    assert service.expected(view)["host"] == ""
    assert unmet(view, ["service"]).startswith("no service is named: set mesh_service_host")
    named = view.but(mesh_service_host="b")
    assert unmet(named, ["service"]) == ""
    assert service.expected(named)["body"] == ""
    assert (
        unmet(named, ["service_address"]) == "the physical address of b is not known: set mesh_subnet and mesh_address"
    )
    assert service.expected(named)["physical_urls"] == ["http://-:80/"]


def test_an_existing_host_may_have_a_route_to_the_service() -> None:
    view = existing(a="home", b="office", c="office").but(mesh_service_host="b")
    assert unmet(view, ["service_address"]).startswith("the inventory does not say that this host has no route")
    assert unmet(view.at("c"), ["service_address"]) == ""
    assert unmet(view.but(mesh_isolated=True), ["service_address"]) == ""
    assert unmet(view.but(mesh_isolated=True).at("s"), ["service_address"])
    assert service.expected(view.at("s"))["stranger"] is False


def test_a_public_service_may_be_reached_without_the_mesh() -> None:
    view = lab().but(mesh_service_private=False)
    assert unmet(view, ["private_service", "service_address"]).startswith("mesh_service_private is false")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"mesh_allow_disruptive": False}, f"{ONE} may not be disturbed"),
        ({"mesh_allow_disruptive": False, "mesh_canaries": [TWO]}, f"{ONE} may not be disturbed"),
        ({"mesh_allow_disruptive": False, "mesh_canaries": [ONE]}, ""),
        ({"mesh_manage": False, "mesh_service_host": ONE}, f"the service of {ONE} has no name"),
        ({"mesh_manage": False, "mesh_service_host": ONE, "mesh_service_name": "nginx"}, ""),
    ],
)
def test_when_the_service_may_be_restarted(variables: dict[str, Any], reason: str) -> None:
    view = lab().but(**variables)
    assert unmet(view, ["service_restart"]).startswith(reason)
    assert service.expected(view)["may_restart"] is (reason == "")


def test_the_domain_is_the_clients_if_the_inventory_has_none() -> None:
    view = existing().but(mesh_service_host="b", mesh_client={"dns_name": "a.tail.example"})
    assert service.expected(view)["urls"][1] == "http://b.tail.example:80/"
    assert disruption.newcomer(view)["domain"] == "tail.example"


# -- outages and newcomers --


@pytest.mark.parametrize(
    ("variables", "canary"),
    [
        ({}, "a"),
        ({"mesh_canaries": ["c", "b"]}, "c"),
        ({"mesh_canaries": ["s", "b"]}, "b"),
        ({"mesh_canary": "c", "mesh_canaries": ["b"]}, "c"),
    ],
)
def test_the_canary(variables: dict[str, Any], canary: str) -> None:
    assert disruption.canary(existing().but(**variables)) == canary


def test_every_outage_is_allowed_in_a_lab() -> None:
    assert disruption.expected(lab())["not_allowed"] == {"down": "", "link": "", "killed": ""}


def test_pairs_with_the_canary_are_judged_before_the_outages_and_the_others_after_them() -> None:
    found = {host: disruption.expected(lab().at(host))["watched"] for host in (ONE, TWO, THREE)}
    assert found[ONE] == {"before": [TWO, THREE], "after": [], "back": []}
    assert found[TWO] == {"before": [ONE], "after": [THREE], "back": [ONE]}
    assert found[THREE] == {"before": [ONE], "after": [TWO], "back": [ONE]}


def test_without_outages_all_pairs_are_judged_at_once() -> None:
    view = lab().at(TWO).but(ansible_check_mode=True)
    assert disruption.expected(view)["watched"] == {"before": [ONE, THREE], "after": [], "back": []}


def test_a_connection_needs_two_clients_beside_the_canary() -> None:
    view = lab()
    assert unmet(view, ["bystanders"]) == ""
    few = {name: view.variables["mesh_nodes"][name] for name in (ONE, TWO)}
    assert unmet(view.but(mesh_nodes=few), ["bystanders"]).startswith("with 2 clients, no pair is left")
    unknown = replace(
        view.but(mesh_nodes=None), others={(name, "mesh_client"): {"key": "k"} for name in (ONE, TWO, THREE)}
    )
    assert unmet(unknown, ["bystanders"]) == ""


def test_the_outages_are_what_the_tasks_registered() -> None:
    others = {
        (ONE, "stopped"): {"started_at": 100.0}, (ONE, "brought_up"): {"started_at": 110.0},
        (ONE, "unplugged"): {"skipped": True}, (ONE, "killed"): {"started_at": 200.0},
    }  # fmt: skip
    assert disruption.outages(replace(lab(), others=others)) == [
        {"start": 100.0, "end": 115.0, "what": f"{ONE} was stopped"},
        {"start": 200.0, "end": 205.0, "what": f"{ONE}'s client was killed"},
    ]


def test_nothing_is_disturbed_in_check_mode() -> None:
    view = lab().but(ansible_check_mode=True)
    reason = "check mode changes nothing: run without --check"
    assert set(disruption.expected(view)["not_allowed"].values()) == {reason}
    assert not disruption.newcomer(view)["allowed"]
    assert unmet(view, ["newcomer"]) == unmet(view, ["service_restart"]) == unmet(view, ["disruption"]) == reason


def test_only_the_canary_says_that_no_outage_is_allowed() -> None:
    kinds = ["down", "link", "killed"]
    calm = lab().but(ansible_check_mode=True)
    assert [disruption.expected(calm.at(host))["outages"] for host in (ONE, TWO)] == [kinds, []]
    assert [disruption.expected(lab().at(host))["outages"] for host in (ONE, TWO)] == [kinds, kinds]


def test_an_existing_canary_may_be_disturbed_but_keeps_its_cable() -> None:
    view = existing().but(mesh_canaries=["b"])
    found = disruption.expected(view)
    assert found["canary"] == "b"
    assert found["not_allowed"]["down"] == found["not_allowed"]["killed"] == ""
    assert found["not_allowed"]["link"] == unmet(view, ["disruption", "cable"]) != ""


def test_a_node_that_is_not_a_canary_is_left_alone() -> None:
    reasons = disruption.expected(existing())["not_allowed"]
    assert set(reasons.values()) == {
        "a may not be disturbed: set mesh_allow_disruptive, or name a canary in mesh_canaries"
    }


@pytest.mark.parametrize(
    ("address", "over_mesh"),
    [
        ("100.64.0.7", True),
        ("100.127.255.1", True),
        ("fd7a:115c:a1e0::7", True),
        ("b.mesh.internal", True),
        ("100.128.0.1", False),
        ("192.0.2.7", False),
        ("b.example.com", False),
        (None, False),
    ],
)
def test_a_canary_that_is_reached_over_the_mesh_is_left_alone(address: str | None, over_mesh: bool) -> None:
    view = replace(existing().but(mesh_canaries=["b"]), others={("b", "ansible_host"): address})
    assert ("is reached over the mesh itself" in disruption.no_disruption(view)) is over_mesh


def test_a_newcomer_needs_permission_and_a_spare_host() -> None:
    assert disruption.newcomer(lab()) == {"host": "client-node-4", "allowed": True, "domain": "mesh.internal"}
    assert unmet(lab(), ["newcomer"]) == ""
    for view in (
        lab().but(mesh_manage=False),
        lab().but(mesh_allow_disruptive=False),
        replace(lab(), groups={**lab().groups, "spare": []}),
        existing().but(mesh_canaries=["a"]),
    ):
        assert disruption.newcomer(view)["allowed"] is False
        assert unmet(view, ["newcomer"]).startswith("new, renamed and removed nodes need")


# -- requirements --


def test_the_first_unmet_requirement_gives_the_reason() -> None:
    view = existing()
    assert unmet(view, []) == ""
    assert unmet(view, ["other_subnet", "service", "placement"]) == unmet(view, ["service"])


def test_a_story_cannot_run_for_the_same_reason_on_every_host() -> None:
    one = lab()
    flat = replace(one, places={host: {**place, "subnet": "subnet-b"} for host, place in one.places.items()})
    needs = {"mesh_story_info": {"needs": ["subnets"]}}
    for host in (ONE, TWO, SERVER):
        assert lacking(flat.but(**needs).at(host)) == "all clients are in the subnet subnet-b"
        assert lacking(one.but(**needs).at(host)) == ""
    # Each slice of AWX has a part of the clients; existing hosts may be anywhere.
    assert lacking(flat.but(**needs, mesh_slices=2)) == ""
    assert lacking(existing().but(**needs)) == ""
    assert lacking(existing().but(mesh_story_info={"needs": ["subnets", "service"]})) == unmet(existing(), ["service"])


def test_a_story_that_asks_the_server_needs_it_among_its_hosts() -> None:
    asks = lab().but(mesh_story_info={"needs": ["server"]})
    assert lacking(asks) == ""
    assert lacking(asks.but(ansible_play_hosts_all=[ONE, SERVER])) == ""
    assert "add the group headscale to --limit" in lacking(asks.but(ansible_play_hosts_all=[ONE, TWO]))


def test_a_story_that_needs_what_does_not_exist_is_refused() -> None:
    assert lacking(lab()) == ""
    with pytest.raises(BadInput, match="needs has 'subnet': write some of placement, subnets, "):
        lacking(lab().but(mesh_story_info={"needs": ["subnet"]}))


def test_every_requirement_is_documented() -> None:
    option = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["requires"]
    assert option["choices"] == list(REQUIREMENTS)
    text = " ".join(option["description"])
    assert [name for name in REQUIREMENTS if f"V({name})" not in text] == []


@pytest.mark.parametrize("name", ["disruption", "newcomer", "service_restart", "policy_change", "route_changes"])
def test_a_run_in_slices_disturbs_nothing(name: str) -> None:
    sliced = lab().but(mesh_slices=2)
    assert unmet(sliced, [name]) == "a run in slices disturbs nothing: run the story without slices"
    assert "slices" not in unmet(lab(), [name])
