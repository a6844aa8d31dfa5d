# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy means for a host, from the server's records of nodes and users."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from acting import tell
from ansible_collections.meshctl.headscale.plugins.action.assert_connected import ActionModule as Connected
from ansible_collections.meshctl.headscale.plugins.action.assert_reachable import ActionModule as Reachable
from ansible_collections.meshctl.headscale.plugins.action.assert_registered import ActionModule as Registered
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.policy import (
    PolicyView,
    node_record,
    usable,
    user_record,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.policy import Opening

ADDRESSES = {name: [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"] for number, name in ((1, "a"), (2, "b"))}
USERS = [{"id": "1", "name": "new", "email": "", "providerId": ""}]
OPEN = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}
NO_IPV4 = {**OPEN, "nodeAttrs": [{"target": ["100.64.0.2"], "attr": ["disable-ipv4"]}]}


def nodes(*owners: str) -> list[dict[str, Any]]:
    """Return what the server lists: node a, and node b, with the names that their records give the owner."""
    return [
        {"id": str(number), "user": {"id": "1", "name": owner}, "ipAddresses": ADDRESSES[name]}
        for number, (name, owner) in enumerate(zip("ab", owners, strict=True), start=1)
    ]


def listed() -> dict[str, Any]:
    return {
        name: {"id": str(number), "key": f"nodekey:{number}", "addresses": known}
        for number, (name, known) in enumerate(ADDRESSES.items(), start=1)
    }


def view(policy: Any, *, host: str = "a", users: list[Any], records: dict[str, Any] | None = None) -> PolicyView:
    """Return the policy from the view of a host; both nodes listen on port 4000."""
    serving = {"ports": {known: {"tcp": {"ports": [4000]}} for each in ADDRESSES.values() for known in each}}
    members = {name: Node.read(name, record) for name, record in (records or listed()).items()}
    task: Any = SimpleNamespace(host=host, nodes=lambda: members, of_host=lambda *_: serving)
    known = [node_record(node) for node in nodes("old", "new")]
    return PolicyView(task, policy, known, [user_record(user) for user in users])


def openings(policy: PolicyView, peer: str = "b") -> dict[tuple[str, int], Opening]:
    members = {name: Node.read(name, record) for name, record in listed().items()}
    (pair,) = policy.expect([members[peer]], phase="", budget_s=None, compare=False).pairs
    return {kind: opening for kind, opening in pair.openings.items() if kind[0] == "tcp"}


@pytest.mark.parametrize(
    ("src", "dst", "users", "passes"),
    [
        ("autogroup:member", "autogroup:self:*", USERS, True),
        ("new@", "*:*", USERS, True),
        ("old@", "*:*", USERS, False),
        # An older fact has no users: the nodes of one user are still one user's.
        ("autogroup:member", "autogroup:self:*", [], True),
        ("new@", "*:*", [], True),
    ],
)
def test_a_renamed_user_is_known_by_the_new_name(src: str, dst: str, users: list[Any], passes: bool) -> None:
    found = openings(view({"acls": [{"action": "accept", "src": [src], "dst": [dst]}]}, users=users))
    assert {opening.open for opening in found.values()} == {(4000,) if passes else ()}
    assert {opening.closed for opening in found.values()} == {() if passes else (4000,)}


@pytest.mark.parametrize("host", ["a", "b"])
def test_no_port_is_expected_at_an_address_that_the_policy_takes_away(host: str) -> None:
    peer = "b" if host == "a" else "a"
    assert set(openings(view(OPEN, host=host, users=USERS), peer)) == {("tcp", 4), ("tcp", 6)}
    found = view(NO_IPV4, host=host, users=USERS)
    assert set(openings(found, peer)) == {("tcp", 6)}
    expect = found.expect([Node(name=peer)], phase="", budget_s=None, compare=False)
    assert {one.target.version for one in expect.incoming} == {6}


def test_records_lose_the_addresses_that_the_policy_takes_away() -> None:
    found = usable(listed(), json.dumps(NO_IPV4), USERS, nodes("old", "new"))
    assert found["a"] == listed()["a"]
    assert found["b"] == {**listed()["b"], "addresses": ["fd7a:115c:a1e0::2"], "without": [4]}


@pytest.mark.parametrize("policy", ["", "{", '{"acls": 7}', json.dumps(OPEN)])
def test_records_stay_whole_otherwise(policy: str) -> None:
    assert usable(listed(), policy, USERS, nodes("old", "new")) == listed()


@pytest.mark.parametrize(
    ("told", "policy", "users", "asked", "without"),
    [
        (ADDRESSES["b"], NO_IPV4, USERS, False, None),
        ([], NO_IPV4, USERS, False, None),
        (ADDRESSES["b"][1:], NO_IPV4, USERS, True, [4]),
        # All nodes may have tags.
        (ADDRESSES["b"][1:], NO_IPV4, [], True, [4]),
        (ADDRESSES["b"][1:], NO_IPV4, None, True, None),
        # What a client says about itself decides nothing.
        (ADDRESSES["b"][1:], OPEN, USERS, True, None),
        (ADDRESSES["b"][1:], None, USERS, True, None),
    ],
)
def test_the_policy_is_read_if_a_client_lacks_an_address(
    monkeypatch: pytest.MonkeyPatch, told: list[str], policy: Any, users: Any, asked: bool, without: Any
) -> None:
    action, requests = Registered.__new__(Registered), []

    def probe(self: Any, wanted: Any, *, seconds: float) -> dict[str, Any]:
        requests.extend(one["path"] for one in wanted)
        known = {"policy": {"policy": json.dumps(policy)}, "users": {"users": users}} if policy else {}
        return {"observations": {name: {"ok": True, "data": data} for name, data in known.items()}}

    monkeypatch.setattr(Registered, "probe", probe)
    hosts = {"a": {"mesh_client": {"addresses": ADDRESSES["a"]}}, "b": {"mesh_client": {"addresses": told}}}
    tell(action, "server", {}, {"hostvars": hosts})
    action._server, action._answer = (
        {},
        {"observations": {"nodes": {"ok": True, "data": {"nodes": nodes("old", "new")}}}},
    )
    found = action._usable(listed())
    assert bool(requests) is asked
    assert found["b"].get("without") == without


@pytest.mark.parametrize(
    ("host", "families", "seen"),
    [("a", (4, 6), {"b": ADDRESSES["b"][1:]}), ("b", (6,), {"a": ADDRESSES["a"][1:]})],
)
def test_a_host_uses_the_families_that_it_has(host: str, families: tuple[int, ...], seen: dict[str, Any]) -> None:
    records = usable(listed(), json.dumps(NO_IPV4), USERS, nodes("old", "new"))
    options = {"families": ["ipv4", "ipv6"], "nodes": None, "peers": list(seen)}
    action, connected = Reachable.__new__(Reachable), Connected.__new__(Connected)
    for one in (action, connected):
        tell(one, host, options, {"mesh_nodes": records})
    assert action.families == families
    assert {peer.name: list(peer.addresses) for peer in action.peers()} == seen
    # What the client's network map has of a peer does not depend on the client's own addresses.
    assert {peer.name: list(peer.addresses) for peer in connected.peers()} == {
        name: records[name]["addresses"] for name in seen
    }
