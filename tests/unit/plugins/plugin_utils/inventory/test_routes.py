# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`mesh_routes` and `mesh_exit_nodes` become plain data, or one sentence says what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.routes import (
    Route,
    check_targets,
    read_exit_nodes,
    read_routes,
)

GROUPS = {"clients": ["one", "two", "three"], "lan": ["printer", "nas"]}
ENTRY = {"prefix": "192.168.1.0/24", "routers": ["one"], "target": "printer"}


def test_entries_are_read() -> None:
    other = {"prefix": "fd00::/64", "routers": ["one", "two"], "target": "fd00::5", "port": 8080}
    assert read_routes([ENTRY, other], GROUPS) == (
        Route(prefix="192.168.1.0/24", routers=("one",), target="printer"),
        Route(prefix="fd00::/64", routers=("one", "two"), target="fd00::5", port=8080),
    )


@pytest.mark.parametrize("value", [None, "", []])
def test_nothing_is_no_route_and_no_exit_node(value: Any) -> None:
    assert read_routes(value, GROUPS) == ()
    assert read_exit_nodes(value, GROUPS) == ()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("10.0.0.0/24", "mesh_routes is '10.0.0.0/24': write a list of entries"),
        (["10.0.0.0/24"], "entry 1 of mesh_routes is '10.0.0.0/24': write a mapping"),
        (
            [{**ENTRY, "router": "one"}],
            "entry 1 of mesh_routes has 'router': it may have prefix, routers, target, port",
        ),
        ([{**ENTRY, "routers": []}], "entry 1 of mesh_routes has no routers"),
        ([{**ENTRY, "routers": "one"}], "routers is 'one': write a list of clients"),
        (
            [{**ENTRY, "routers": ["four"]}],
            "routers: 'four' is not a host of the group clients, which has one, two, three",
        ),
        ([{**ENTRY, "routers": ["one", "one"]}], "routers names one twice"),
        ([{**ENTRY, "prefix": "192.168.1.7/24"}], "prefix '192.168.1.7/24' is not a network"),
        ([{**ENTRY, "prefix": "0.0.0.0/0"}], "is the route of an exit node: name its routers in mesh_exit_nodes"),
        ([{**ENTRY, "target": "fridge"}], "target 'fridge' is neither an address nor a host of the group lan"),
        ([{**ENTRY, "target": "10.0.0.1"}], "target 10.0.0.1 is not in 192.168.1.0/24"),
        ([{**ENTRY, "port": 70000}], "port is 70000: write a port from 1 to 65535"),
        ([{**ENTRY, "port": True}], "port is true: write a port"),
        ([{**ENTRY, "port": "\N{SUPERSCRIPT TWO}"}], "write a port from 1 to 65535"),
        ([ENTRY, ENTRY], "entries 1 and 2 of mesh_routes both have the prefix 192.168.1.0/24"),
    ],
)
def test_bad_routes_get_one_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_routes(value, GROUPS)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("one", "mesh_exit_nodes is 'one': write a list"), (["nas"], "'nas' is not a host of the group clients")],
)
def test_bad_exit_nodes_get_one_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_exit_nodes(value, GROUPS)
    assert sentence in str(caught.value)


def test_a_named_target_must_be_in_its_network() -> None:
    routes = read_routes([ENTRY], GROUPS)
    check_targets(routes, {"printer": ["192.168.1.20", "fd00:a::20"]})
    check_targets(routes, {"printer": ["fd00:a::20"]})  # the lab chooses the other address
    with pytest.raises(BadInput, match=r"target printer \(10.0.0.20\) is not in 192.168.1.0/24; name a host that is"):
        check_targets(routes, {"printer": ["10.0.0.20"]})
    routes = read_routes([{**ENTRY, "prefix": "fd00:a::/64"}], GROUPS)
    check_targets(routes, {"printer": ["192.168.1.20", "fd00:a::20"]})
    with pytest.raises(BadInput, match="target printer has no IPv6 address: give it a mesh_address6"):
        check_targets(routes, {"printer": ["192.168.1.20"]})
