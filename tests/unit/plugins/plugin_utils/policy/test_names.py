# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys in any spelling that Headscale takes, and the users without whom it refuses a policy."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import (
    Node,
    Policy,
    canonical,
    refused_users,
    unknown_names,
    unmatched_tags,
)

_USERS = [{"name": "alice"}]
_RULE = {"action": "accept", "src": ["alice@", "gone@"], "dst": ["tag:web:443"]}


@pytest.mark.parametrize(
    "document",
    [
        {"tagOwners": {"tag:web": ["alice@"]}, "acls": [_RULE]},
        {"TagOwners": {"tag:web": ["alice@"]}, "ACLs": [{"Action": "accept", "Src": _RULE["src"], "DST": _RULE["dst"]}]},
        {"tag_owners": {"tag:web": ["alice@"]}, "a-c-l-s": [{"s_rc": _RULE["src"], "d-st": _RULE["dst"], "#a": 1, "#A": 2}]},
    ],
)  # fmt: skip
def test_headscale_ignores_case_underscores_and_dashes_of_keys(document: dict[str, Any]) -> None:
    policy = Policy.read(document)
    assert policy.names.owners == {"tag:web": ("alice@",)}
    assert [(rule.sources, rule.targets) for rule in policy.rules] == [(("alice@", "gone@"), ("tag:web",))]
    assert unknown_names(document, users=_USERS, tags=[]) == ["gone@"]
    web = Node(name="web", tags=("tag:web",))
    assert not unmatched_tags(document, [web])
    assert unmatched_tags(document, [Node(name="db", tags=("tag:db",))])


def test_null_is_a_tag_without_owners_and_an_acl_without_keys() -> None:
    policy = Policy.read({"tagOwners": {"tag:web": None}, "acls": [None, _RULE]})
    assert policy.names.owners == {"tag:web": ()}
    assert [rule.label.partition(":")[0] for rule in policy.rules] == ["acl 2"]


@pytest.mark.parametrize("document", [{"groups": {"group:a": None}}, {"grants": [None]}, {"acls": [7]}])
def test_null_is_no_group_and_no_grant(document: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="is not a list of"):
        Policy.read(document)


def test_white_space_around_the_targets_of_attributes_does_not_count() -> None:
    attributes = [{"target": [" tag:web ", "tag:db"], "attr": ["disable-ipv4"]}]
    assert Policy.read({"tagOwners": {"tag:web": []}, "nodeAttrs": attributes}).without_ipv4 == ("tag:web",)


def test_names_that_a_policy_defines_keep_their_spelling() -> None:
    document = {"groups": {"group:a_b": [], "group:A-B": ["alice@"]}, "hosts": {"a-b": "10.0.0.1", "ab": "10.0.0.2"}}
    assert canonical(document) == document
    assert len(Policy.read(document).names.hosts) == 2


@pytest.mark.parametrize(
    "document",
    [
        {"tagOwners": {}, "tag_owners": {}},
        {"acls": [], "ACLs": []},
        {"acls": [{**_RULE, "Src": []}]},
        {"tagOwners": {"tag:web": []}, "grants": [{"src": ["*"], "S-rc": ["*"], "dst": ["tag:web"], "ip": ["*"]}]},
    ],
)
def test_two_keys_that_are_one_to_headscale_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="the same to Headscale"):
        Policy.read(document)
    with pytest.raises(BadInput, match="the same to Headscale"):
        canonical(document)


def test_a_key_that_only_looks_like_a_comment_is_refused() -> None:
    with pytest.raises(BadInput, match="does not know"):
        Policy.read({"tagOwners": {"tag:web": []}, "acls": [{**_RULE, "_#note": 1}]})


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"nodeAttrs": [{"target": ["gone@"], "attr": ["drive:share"]}]}, "nodeAttrs"),
        ({"node_attrs": [{"Target": ["group:b"], "Attr": ["drive:share"]}]}, "nodeAttrs"),
        ({"tests": [{"src": "gone@", "accept": ["alice@:22"]}]}, "tests"),
        ({"tests": [{"src": "group:b", "accept": ["alice@:22"]}]}, "tests"),
        ({"tests": [{"src": "alice@", "accept": ["alice@:22"], "deny": ["gone@:22"]}]}, "tests"),
        ({"sshTests": [{"src": "gone@", "dst": ["tag:web"]}]}, "sshTests"),
        ({"sshTests": [{"src": "alice@", "dst": ["gone@"]}]}, "sshTests"),
        ({"tests": [{"src": "gone@"}], "nodeAttrs": [{"target": ["gone@"], "attr": ["funnel"]}]}, "nodeAttrs"),
        # Headscale does not look at the first one, and accepts the others.
        ({"nodeAttrs": [{"target": ["group:b"]}]}, None),
        ({"acls": [{"action": "accept", "src": ["gone@"], "dst": ["*:*"]}], "tests": [{"src": "alice@"}]}, None),
        ({"autoApprovers": {"exitNode": ["gone@"]}, "ssh": [{"src": ["group:b"], "dst": ["gone@"]}]}, None),
        ({"nodeAttrs": 7, "tests": [7, {"src": 7, "accept": 7}], "sshTests": {}, "ssh": [{"src": 7, "dst": None}]}, None),
    ],
)  # fmt: skip
def test_users_without_whom_headscale_refuses_a_policy(more: dict[str, Any], where: str | None) -> None:
    document = {"groups": {"group:b": ["gone@"]}, "tagOwners": {"tag:web": []}, **more}
    unknown = unknown_names(document, users=_USERS, tags=[])
    assert unknown == ["gone@"]
    assert refused_users(document, unknown) == ({"gone@": where} if where else {})


@pytest.mark.parametrize(
    "more",
    [
        *({"autoApprovers": {"routes": {"10.0.0.0/8": owners}}} for owners in (None, 7, "x")),
        *({"autoApprovers": {"exitNode": owners}} for owners in (None, True, 7)),
        *({part: rules} for part in ("acls", "grants", "ssh") for rules in (None, True, 7, [None])),
    ],
)
def test_a_part_without_a_list_does_not_hide_the_names_of_the_others(more: dict[str, Any]) -> None:
    assert unknown_names({"groups": {"group:b": ["gone@"]}, **more}, users=_USERS, tags=[]) == ["gone@"]


def test_a_user_is_also_known_by_the_identifier_of_the_provider() -> None:
    document = {"groups": {"group:b": ["https://sso.example/oidc/u1@", "https://sso.example/oidc/u2@"]}}
    users = [{"name": "alice", "providerId": "https://sso.example/oidc/u1"}]
    assert unknown_names(document, users=users, tags=[]) == ["https://sso.example/oidc/u2@"]


def test_a_user_of_an_attribute_or_a_test_alone_is_unknown() -> None:
    document = {
        "nodeAttrs": [{"target": ["bob@", "alice@", "*"], "attr": ["funnel"]}],
        "tests": [{"src": "carol@", "accept": ["dave@:22", "tag:web:22"]}],
        "sshTests": [{"src": "alice@", "dst": ["eve@"]}],
    }
    assert unknown_names(document, users=_USERS, tags=["tag:web"]) == ["bob@", "carol@", "dave@", "eve@"]
