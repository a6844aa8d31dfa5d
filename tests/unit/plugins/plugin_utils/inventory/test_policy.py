# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy lets pass, and whom it names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.policy import (
    Member,
    Policy,
    forbidden,
    unknown_names,
)

_ALICE = Member(name="alice", user="alice", email="alice@example.com", addresses=("100.64.0.1", "fd7a:115c:a1e0::1"))
_PHONE = Member(name="phone", user="alice", addresses=("100.64.0.2",))
_BOB = Member(name="bob", user="bob", addresses=("100.64.0.3",))
_WEB = Member(name="web", tags=("tag:web",), addresses=("100.64.0.9",))
_ALL = [_ALICE, _PHONE, _BOB, _WEB]


def _open(policy: Any) -> set[str]:
    kept = set(forbidden(Policy.read(policy), _ALL))
    return {f"{a.name}>{b.name}" for a in _ALL for b in _ALL if a is not b and (a.name, b.name) not in kept}


def _acl(src: list[str], dst: list[str], **more: object) -> dict[str, Any]:
    return {"acls": [{"action": "accept", "src": src, "dst": dst}], **more}


@pytest.mark.parametrize("policy", [None, {}, {"groups": {}}])
def test_without_rules_nobody_is_kept_out(policy: object) -> None:
    assert len(_open(policy)) == 12


def test_an_empty_list_of_rules_keeps_everybody_out() -> None:
    assert _open({"acls": []}) == set()


@pytest.mark.parametrize(
    ("src", "dst", "expected"),
    [
        (["bob@"], ["tag:web:443"], {"bob>web"}),
        (["alice@example.com"], ["bob@:*"], {"alice>bob"}),
        (["group:staff"], ["server:22"], {"alice>web", "phone>web", "bob>web"}),
        (["alice@"], ["100.64.0.0/30:*"], {"alice>phone", "alice>bob", "phone>alice", "phone>bob"}),
        (["autogroup:tagged"], ["autogroup:member:*"], {"web>alice", "web>phone", "web>bob"}),
        (["autogroup:member"], ["autogroup:self:*"], {"alice>phone", "phone>alice"}),
        (["*"], ["autogroup:internet:*"], set()),
        (["*"], ["[fd7a:115c:a1e0::1]:*"], {"phone>alice", "bob>alice", "web>alice"}),
    ],
)
def test_rules(src: list[str], dst: list[str], expected: set[str]) -> None:
    assert _open(_acl(src, dst, groups={"group:staff": ["alice@", "bob@"]}, hosts={"server": "100.64.0.9"})) == expected


def test_a_grant_of_packets_passes_and_one_of_capabilities_does_not() -> None:
    assert _open({"grants": [{"src": ["bob@"], "dst": ["tag:web"], "ip": ["tcp:443"]}]}) == {"bob>web"}
    assert _open({"grants": [{"src": ["bob@"], "dst": ["tag:web"], "app": {"example.com/cap": [{}]}}]}) == set()


@pytest.mark.parametrize(
    "policy",
    [
        _acl(["nobody knows"], ["*:*"]),
        _acl(["group:none"], ["*:*"]),
        _acl(["autogroup:shared"], ["*:*"]),
        _acl(["*"], ["no port"]),
        {"acls": [{"action": "accept", "src": "alice@", "dst": ["*:*"]}]},
        {"acls": "all"},
        ["a list"],
    ],
)
def test_what_cannot_be_read_is_an_error_and_no_guess(policy: object) -> None:
    with pytest.raises(BadInput):
        forbidden(Policy.read(policy), _ALL)


def test_users_and_tags_that_do_not_exist() -> None:
    policy = _acl(
        ["alice@", "nosuch@", "group:a"], ["tag:web:443", "tag:gone:*", "bob@:22"], groups={"group:a": ["eve@"]}
    )
    found = unknown_names(policy, users=[{"name": "alice"}, {"name": "bob"}], tags={"tag:web"})
    assert found == ["eve@", "nosuch@", "tag:gone"]


def test_a_tagged_node_belongs_to_nobody() -> None:
    node = {"user": {"name": "alice"}, "tags": ["tag:web"], "ip_addresses": ["100.64.0.9"]}
    assert Member.read("web", node).user == ""
