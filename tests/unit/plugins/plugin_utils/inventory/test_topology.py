# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory data to topology: what is derived, and one clear sentence for each thing that is wrong."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import NAT_KINDS, Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.topology import GROUPS, read_topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.values import Link, read_link
from hypothesis import given
from hypothesis import strategies as st
from lab_inventory import Inventory
from sample import examples

Change = Callable[[Inventory], object]


def test_the_seed() -> None:
    topology = Inventory().read()
    assert topology.resolver == "203.0.113.10"
    assert list(topology.machines) == [
        "headscale-server",
        "relay",
        "client-node-1",
        "client-node-2",
        "client-node-3",
        "client-node-4",
        "router-subnet-a",
        "router-subnet-b",
    ]
    assert topology.facts()["client-node-2"] == {
        "group": "clients",
        "subnet": "subnet-b",
        "cidr": "10.0.0.0/24",
        "address": "10.0.0.10",
        "address6": "",
        "router": "router-subnet-b",
        "gateway": "10.0.0.1",
        "nat": "easy",
        "public_address": "203.0.113.3",
        "public_address6": "",
        "port": 42651,
        "interface": "eth0",
        "names": [],
        "published": [],
        "published_udp": [],
    }
    assert "router-subnet-a" not in topology.facts()
    assert topology.machines["headscale-server"].port == 0, "only clients have a WireGuard port"


def test_fifty_nodes_take_free_addresses_in_inventory_order_and_ports_of_their_own() -> None:
    inventory = Inventory()
    inventory.groups["clients"] = {
        f"node-{n:02}": {"mesh_subnet": "subnet-a" if n <= 25 else "subnet-b"} for n in range(1, 51)
    }
    topology = inventory.read()
    addresses = [topology.machines[f"node-{n:02}"].address for n in range(1, 26)]
    # .1 is the gateway and .5 is the server's, which is stated.
    expected = [f"192.168.1.{last}" for last in (*range(2, 5), *range(6, 28))]
    assert addresses == expected
    assert len({machine.address for machine in topology.machines.values()}) == len(topology.machines)
    ports = [machine.port for machine in topology.hosts() if machine.port]
    assert len(set(ports)) == len(ports) == 51


def test_a_stated_address_is_not_taken_by_an_earlier_host() -> None:
    inventory = Inventory()
    inventory.groups["clients"] = {
        "first": {"mesh_subnet": "subnet-b"},
        "second": {"mesh_subnet": "subnet-b", "mesh_address": "10.0.0.2"},
    }
    assert inventory.read().machines["first"].address == "10.0.0.3"


def test_hosts_of_other_groups_are_left_alone() -> None:
    inventory = Inventory()
    inventory.groups["laptops"] = {"My Laptop": {"mesh_address": 7}}
    assert "My Laptop" not in inventory.read().machines


def test_a_host_may_be_in_two_groups() -> None:
    inventory = Inventory()
    inventory.groups["clients"]["relay"] = inventory.groups["relays"]["relay"]
    assert inventory.read().machines["relay"].groups == ("relays", "clients")


BAD: list[tuple[str, Change, str]] = [
    ("no control server", lambda i: i.groups.pop("headscale"), "group 'headscale' must have exactly one host, the control server; found: none"),
    ("second relay inside", lambda i: i.groups["relays"].update(r2={"mesh_subnet": "subnet-a"}), "host r2: mesh_subnet is 'subnet-a', but a relay must be on the simulated internet"),
    ("no relay", lambda i: i.groups["relays"].clear(), "group 'relays' has no host"),
    ("client outside the mesh", lambda i: i.groups.update(lan={"client-node-1": {}}), "host client-node-1 is in clients and in lan, whose hosts are outside the mesh"),
    ("lab name", lambda i: i.shared.update(lab_name="../x"), "lab_name '../x' must be 1 to 32 lower-case letters, digits or '-'"),
    ("lab name is a number", lambda i: i.shared.update(lab_name=7), "lab_name 7 must be"),
    ("lab name is empty", lambda i: i.shared.update(lab_name=""), "lab_name '' must be"),
    ("no subnets", lambda i: i.shared.update(mesh_subnets={}), "mesh_subnets is empty"),
    ("subnets are missing", lambda i: i.shared.pop("mesh_subnets"), "mesh_subnets must be a mapping, not null"),
    ("subnets are a list", lambda i: i.shared.update(mesh_subnets=["a"]), "mesh_subnets must be a mapping"),
    ("subnet is a string", lambda i: i.subnets.update(c="10.1.0.0/24"), "mesh_subnets.c must be a mapping, not '10.1.0.0/24'"),
    ("subnet without cidr", lambda i: i.subnets["subnet-a"].pop("cidr"), "mesh_subnets.subnet-a has no cidr"),
    ("malformed cidr", lambda i: i.subnets["subnet-a"].update(cidr="192.168.1.0/33"), "mesh_subnets.subnet-a: '192.168.1.0/33' is not an IPv4 network"),
    ("host bits", lambda i: i.subnets["subnet-a"].update(cidr="192.168.1.7/24"), "has host bits set"),
    ("IPv6 cidr", lambda i: i.subnets["subnet-a"].update(cidr="fd00::/64"), "'fd00::/64' is not an IPv4 network"),
    ("a number as cidr", lambda i: i.subnets["subnet-a"].update(cidr=10.1), "'10.1' is not an IPv4 network"),
    ("too small", lambda i: i.subnets["subnet-a"].update(cidr="192.168.1.0/30"), "192.168.1.0/30 is too small"),
    ("overlap", lambda i: i.subnets["subnet-b"].update(cidr="192.168.0.0/16"), "subnet subnet-b (192.168.0.0/16) overlaps subnet-a (192.168.1.0/24)"),
    ("overlaps the WAN", lambda i: i.subnets["subnet-b"].update(cidr="203.0.113.128/25"), "overlaps wan (203.0.113.0/24); give it another cidr"),
    ("overlaps the mesh", lambda i: i.subnets["subnet-b"].update(cidr="100.100.0.0/24"), "overlaps 100.64.0.0/10, which Headscale gives to mesh addresses"),
    ("loopback", lambda i: i.subnets["subnet-b"].update(cidr="127.0.0.0/24"), "127.0.0.0/24 cannot be a network of hosts"),
    ("multicast", lambda i: i.subnets["subnet-b"].update(cidr="224.0.1.0/24"), "224.0.1.0/24 cannot be a network of hosts"),
    ("WAN overlaps the mesh", lambda i: i.shared.update(mesh_wan={"cidr": "100.64.0.0/16"}), "mesh_wan: 100.64.0.0/16 overlaps"),
    ("WAN is a string", lambda i: i.shared.update(mesh_wan="203.0.113.0/24"), "mesh_wan must be a mapping"),
    ("WAN with a slip", lambda i: i.shared.update(mesh_wan={"cdir": "198.51.100.0/24"}), "mesh_wan: unknown setting 'cdir'; use cidr"),
    ("node that is spare as well", lambda i: i.groups["spare"].update({"client-node-1": {}}), "host client-node-1 is in clients and in spare"),
    ("too many subnets for the WAN", lambda i: i.shared.update(mesh_wan={"cidr": "203.0.113.0/29"}, mesh_subnets={f"s{n}": {"cidr": f"10.{n}.0.0/24"} for n in range(9)}), "mesh_wan: 203.0.113.0/29 has no free address for"),
    ("gateway outside", lambda i: i.subnets["subnet-a"].update(gateway="10.0.0.1"), "mesh_subnets.subnet-a.gateway: 10.0.0.1 is not a host address of its subnet 192.168.1.0/24"),
    ("WAN address outside", lambda i: i.subnets["subnet-a"].update(wan_address="10.0.0.1"), "mesh_subnets.subnet-a.wan_address: 10.0.0.1 is not"),
    ("one WAN address twice", lambda i: i.subnets["subnet-b"].update(wan_address="203.0.113.2"), "subnets subnet-a and subnet-b both have wan_address 203.0.113.2"),
    ("NAT kind", lambda i: i.subnets["subnet-a"].update(nat="symmetric"), "mesh_subnets.subnet-a: unknown NAT kind 'symmetric'; use one of easy, hard, none, udp_blocked"),
    ("NAT kind is a list", lambda i: i.subnets["subnet-a"].update(nat=["easy"]), "unknown NAT kind '['easy']'"),
    ("subnet setting", lambda i: i.subnets["subnet-a"].update(gatway="x"), "mesh_subnets.subnet-a: unknown setting 'gatway'; use cidr, cidr6, gateway"),
    ("subnet name", lambda i: i.subnets.update({"a b": {"cidr": "10.1.0.0/24"}}), "'a b' cannot name a subnet"),
    ("subnet called wan", lambda i: i.subnets.update(wan={"cidr": "10.1.0.0/24"}), "'wan' cannot name a subnet"),
    ("subnet name too long for its router", lambda i: i.subnets.update({"x" * 60: {"cidr": "10.1.0.0/24"}}), "cannot name a subnet"),
    ("no subnet", lambda i: i.host("client-node-1").pop("mesh_subnet"), "host client-node-1 has no mesh_subnet; give it one of subnet-a, subnet-b, wan"),
    ("unknown subnet", lambda i: i.host("client-node-1").update(mesh_subnet="c"), "host client-node-1: unknown subnet 'c'; use one of subnet-a, subnet-b, wan"),
    ("address outside", lambda i: i.host("client-node-1").update(mesh_address="10.0.0.77"), "host client-node-1: mesh_address: 10.0.0.77 is not a host address of its subnet 192.168.1.0/24"),
    ("broadcast", lambda i: i.host("client-node-1").update(mesh_address="192.168.1.255"), "192.168.1.255 is not a host address"),
    ("no address", lambda i: i.host("client-node-1").update(mesh_address="192.168.1"), "'192.168.1' is not an IPv4 address"),
    ("duplicate", lambda i: i.host("client-node-3").update(mesh_address="10.0.0.10"), "client-node-2 and client-node-3 both have the address 10.0.0.10 in subnet-b"),
    ("gateway's address", lambda i: i.host("client-node-3").update(mesh_address="10.0.0.1"), "router-subnet-b and client-node-3 both have the address 10.0.0.1"),
    ("router's WAN address", lambda i: i.host("relay").update(mesh_address="203.0.113.2"), "router-subnet-a and relay both have the address 203.0.113.2 in wan"),
    ("full subnet", lambda i: (i.subnets["subnet-b"].update(cidr="10.0.0.0/29"), i.groups.update(spare={}, clients={f"n{n}": {"mesh_subnet": "subnet-b"} for n in range(6)})), "host n5: subnet-b (10.0.0.0/29) has no free address"),
    ("host name", lambda i: i.groups["clients"].update({"node_1": {"mesh_subnet": "subnet-a"}}), "host 'node_1' cannot be a hostname"),
    ("dotted host name", lambda i: i.groups["clients"].update({"a.b": {"mesh_subnet": "subnet-a"}}), "host 'a.b' cannot be a hostname"),
    ("number as host name", lambda i: i.groups["clients"].update({"007": {"mesh_subnet": "subnet-a"}}), "host '007' cannot be a hostname: resolvers read a number as an address; put a letter before it, as in node-007"),
    ("hexadecimal host name", lambda i: i.groups["clients"].update({"0x1F": {"mesh_subnet": "subnet-a"}}), "host '0x1F' cannot be a hostname"),
    ("a router's name", lambda i: i.groups["clients"].update({"router-subnet-a": {"mesh_subnet": "subnet-a"}}), "host router-subnet-a has the name of a router"),
    ("two names that differ in case", lambda i: i.groups["clients"].update({"Relay": {"mesh_subnet": "subnet-a"}}), "hosts relay and Relay both use the hostname relay"),
    ("a name twice", lambda i: i.host("client-node-1").update(mesh_names=["relay.lab.test"]), "hosts relay and client-node-1 both use the name relay.lab.test"),
    ("no DNS name", lambda i: i.host("client-node-1").update(mesh_names=["a b.test"]), "'a b.test' is not a DNS name"),
    ("names are a string", lambda i: i.host("client-node-1").update(mesh_names="x.test"), "host client-node-1: mesh_names must be a list, not 'x.test'"),
    ("published twice", lambda i: i.host("client-node-1").update(mesh_publish=[{"port": 443}]), "hosts headscale-server and client-node-1 both use tcp port 443 of router-subnet-a"),
    ("publish is a number", lambda i: i.host("client-node-1").update(mesh_publish=[443]), "host client-node-1: mesh_publish must be a mapping, not 443"),
    ("published proto", lambda i: i.host("client-node-1").update(mesh_publish=[{"proto": "sctp", "port": 1}]), "unknown proto 'sctp'; use tcp or udp"),
    ("published port", lambda i: i.host("client-node-1").update(mesh_publish=[{"port": 70000}]), "70000 is not a port; use 1 to 65535"),
    ("published nothing", lambda i: i.host("client-node-1").update(mesh_publish=[{}]), "null is not a port"),
    ("mesh_port", lambda i: i.host("client-node-1").update(mesh_port=0), "host client-node-1: mesh_port: 0 is not a port"),
    ("one mesh_port behind one router", lambda i: (i.host("client-node-2").update(mesh_port=9), i.host("client-node-3").update(mesh_port=9)), "hosts client-node-2 and client-node-3 both use mesh_port 9"),
    ("impairment", lambda i: i.host("client-node-1").update(mesh_link={"reorder": "1%"}), "host client-node-1: mesh_link: unknown setting 'reorder'; use delay, jitter, loss, rate, mtu"),
    ("impairment is a string", lambda i: i.host("client-node-1").update(mesh_link="20ms"), "mesh_link must be a mapping"),
    ("delay without unit", lambda i: i.host("client-node-1").update(mesh_link={"delay": 20}), "delay '20' is not valid; write one such as 20ms"),
    ("loss without percent", lambda i: i.host("client-node-1").update(mesh_link={"loss": 0.1}), "loss '0.1' is not valid; write one such as 1%"),
    ("too much loss", lambda i: i.host("client-node-1").update(mesh_link={"loss": "101%"}), "loss '101%' is more than 100%"),
    ("too long a delay", lambda i: i.host("client-node-1").update(mesh_link={"delay": "9999s"}), "delay '9999s' is more than 60s"),
    ("a relay behind NAT", lambda i: i.host("relay").update(mesh_subnet="subnet-a", mesh_address="192.168.1.9"), "host relay: mesh_subnet is 'subnet-a', but a relay must be on the simulated internet, where every node reaches it: write wan"),
    ("rate", lambda i: i.host("client-node-1").update(mesh_link={"rate": "fast"}), "rate 'fast' is not valid; write one such as 50mbit"),
    ("no rate", lambda i: i.host("client-node-1").update(mesh_link={"rate": "0mbit"}), "rate '0mbit' must be"),
    ("a rate that no counter holds", lambda i: i.host("client-node-1").update(mesh_link={"rate": "9" * 40 + "gbit"}), "must be"),
    ("jitter alone", lambda i: i.host("client-node-1").update(mesh_link={"jitter": "2ms"}), "jitter '2ms' needs a delay"),
    ("mtu", lambda i: i.host("client-node-1").update(mesh_link={"mtu": 500}), "mtu 500 must be a number from 1280, the minimum for IPv6, to 9000"),
    ("mtu below IPv6", lambda i: i.subnets["subnet-a"].update(link={"mtu": 1279}), "mesh_subnets.subnet-a.link: mtu 1279 must be a number from 1280"),
    ("a router's line", lambda i: i.subnets["subnet-a"].update(link={"delay": "x"}), "mesh_subnets.subnet-a.link: delay 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [pytest.param(change, message, id=name) for name, change, message in BAD]
)
def test_bad_input_gets_one_sentence(change: Change, message: str) -> None:
    inventory = Inventory()
    change(inventory)
    with pytest.raises(BadInput) as caught:
        inventory.read()
    said = str(caught.value)
    assert message in said
    assert "\n" not in said


def test_links() -> None:
    assert read_link("x", None) == Link()
    assert read_link("x", {}) == Link()
    wanted = Link(delay_ms=20.0, jitter_ms=0.5, loss=0.015, rate_bit=50_000_000, mtu=1400)
    assert (
        read_link("x", {"delay": "20ms", "jitter": "500us", "loss": "1.5 %", "rate": "50Mbit", "mtu": "1400"}) == wanted
    )


_junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["easy", "10.0.0.0/24", "10.0.0.3", "1%", "wan", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_subnet = _junk | st.fixed_dictionaries(
    {"cidr": _junk | st.sampled_from(["10.1.0.0/24", "10.2.0.0/29"])},
    optional={"nat": _junk | st.sampled_from(NAT_KINDS), "gateway": _junk, "wan_address": _junk, "link": _junk},
)
_shared = st.fixed_dictionaries(
    {
        "mesh_subnets": _junk
        | st.dictionaries(st.sampled_from(["a", "b", "wan"]) | st.text(max_size=5), _subnet, max_size=3)
    },
    optional={"lab_name": _junk, "mesh_wan": _junk | st.fixed_dictionaries({"cidr": _junk})},
)
_link = _junk | st.fixed_dictionaries(
    {},
    optional={
        key: _junk | st.from_regex(r"\d{1,3}(ms|%|mbit)", fullmatch=True)
        for key in ("delay", "loss", "rate", "jitter", "mtu")
    },
)
_host = st.fixed_dictionaries(
    {"mesh_subnet": _junk | st.sampled_from(["a", "b", "wan"])},
    optional={
        "mesh_address": _junk,
        "mesh_port": _junk,
        "mesh_names": _junk | st.lists(_junk, max_size=2),
        "mesh_publish": _junk
        | st.lists(st.dictionaries(st.sampled_from(["proto", "port", "to_port"]), _junk), max_size=2),
        "mesh_link": _link,
    },
)


@examples(300)
@given(
    shared=_shared,
    hosts=st.dictionaries(st.sampled_from(["h", "r", "c"]) | st.text(max_size=5), _host, max_size=5),
    members=st.fixed_dictionaries(
        {group: st.lists(st.sampled_from(["h", "r", "c", "x"]), max_size=2) for group in GROUPS}
    ),
)
def test_whatever_is_in_an_inventory_it_is_a_topology_or_a_sentence(
    shared: dict[str, Any], hosts: dict[str, Any], members: dict[str, list[str]]
) -> None:
    try:
        topology = read_topology(hosts={name: {**shared, **own} for name, own in hosts.items()}, groups=members)
    except BadInput as exc:
        assert str(exc)
        return
    assert isinstance(topology, Topology)
    for host in topology.hosts():
        assert host.address


@pytest.mark.parametrize("name", ["1a", "a1", "12-3", "0xyz", "1e5", "3com"])
def test_a_host_s_name_may_begin_with_a_digit(name: str) -> None:
    inventory = Inventory()
    inventory.groups["clients"][name] = {"mesh_subnet": "subnet-a"}
    assert name in inventory.read().machines
