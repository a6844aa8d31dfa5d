# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Through which of several subnet routers the server leads a node."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import Evaluation, Node, Policy, User

_ROUTE = "10.1.0.0/16"


def _node(name: str, number: int, *tags: str, routes: tuple[str, ...] = ()) -> Node:
    user = None if tags else User(name)
    return Node(name=name, user=user, tags=tags, addresses=(f"100.64.0.{number}",), routes=routes)


_ALICE = _node("alice", 1)
# The first one is the primary router.
_ROUTERS = [
    _node("r1", 2, "tag:a", routes=(_ROUTE,)),
    _node("r2", 3, "tag:b", routes=(_ROUTE,)),
    _node("r3", 4, "tag:b", routes=(_ROUTE,)),
    _node("r4", 5, "tag:c"),
]


def _via(*tags: str, src: str = "alice@", dst: str = _ROUTE) -> dict[str, Any]:
    return {"src": [src], "dst": [dst], "ip": ["*"], **({"via": list(tags)} if tags else {})}


@pytest.mark.parametrize(
    ("grants", "routers"),
    [
        ([], ["r1"]),
        ([_via()], ["r1"]),
        ([_via("tag:b", src="bob@")], ["r1"]),
        ([_via("tag:b", dst="10.2.0.0/16")], ["r1"]),
        # Of several routers with the tag, the first one is chosen; a grant to a part of the subnet counts as well.
        ([_via("tag:b")], ["r2"]),
        ([_via("tag:b", dst="10.1.2.0/24")], ["r2"]),
        ([_via("tag:b", "tag:a")], ["r1"]),
        # Another rule about the subnet leaves the choice to the server, but * does not name subnets.
        ([_via("tag:b"), _via()], ["r1"]),
        ([_via("tag:b"), _via(src="*", dst="*")], ["r2"]),
        # No router has the tag and the subnet.
        ([_via("tag:c")], []),
        # Two rules that contradict each other leave none.
        ([_via("tag:a"), _via("tag:b")], []),
    ],
)
def test_via_leads_through_one_router_with_the_tag(grants: list[dict[str, Any]], routers: list[str]) -> None:
    policy = Policy.read({"grants": grants, "tagOwners": {tag: [] for tag in ("tag:a", "tag:b", "tag:c")}})
    steering = Evaluation(policy, [_ALICE, *_ROUTERS]).steering
    assert [
        router.name
        for router in _ROUTERS
        if _ROUTE in router.routes and steering.leads(_ALICE, router, _ROUTE, primary=router.name == "r1")
    ] == routers


@pytest.mark.parametrize(
    ("grants", "router", "missing"),
    [
        ([_via("tag:b")], 0, ["tag:b"]),
        ([_via("tag:b"), _via("tag:c")], 0, ["tag:b", "tag:c"]),
        # It has the tag, or it could be the router without it.
        ([_via("tag:b")], 2, []),
        ([_via("tag:b"), _via()], 0, []),
        ([_via()], 0, []),
    ],
)
def test_only_the_router_without_a_tag_misses_it(grants: list[dict[str, Any]], router: int, missing: list[str]) -> None:
    policy = Policy.read({"grants": grants, "tagOwners": {tag: [] for tag in ("tag:b", "tag:c")}})
    steering = Evaluation(policy, [_ALICE, *_ROUTERS]).steering
    assert steering.missing(_ALICE, _ROUTERS[router], _ROUTE) == missing


def test_the_tags_of_the_rules_about_a_node_are_known() -> None:
    grants = [_via("tag:b"), _via("tag:a", src="bob@"), _via()]
    steering = Evaluation(Policy.read({"grants": grants, "tagOwners": {"tag:a": [], "tag:b": []}}), [_ALICE]).steering
    assert steering.tags(_ALICE, _ROUTE) == ["tag:b"]
    assert steering.tags(_ALICE, "10.2.0.0/16") == []
