# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is expected to reach whom: reading it, and proposing it."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.expect import (
    propose,
    read_expect,
)
from hypothesis import given
from hypothesis import strategies as st

_GROUPS = {"all": ["a", "b", "c", "d"], "guests": ["c", "d"], "clients": ["a", "b", "c", "d"]}
_HOSTS = ["a", "b", "c", "d"]
_PAIRS = [(one, other) for one in _HOSTS for other in _HOSTS if one != other]


def test_without_a_statement_everybody_reaches_everybody() -> None:
    assert all(read_expect(None, _GROUPS).reaches(*pair) for pair in _PAIRS)


def test_a_later_entry_is_stronger() -> None:
    entries = [{"from": "guests", "to": "all", "reach": False}, {"from": "c", "to": ["a"], "reach": True}]
    expect = read_expect(entries, _GROUPS)
    assert expect.reaches("c", "a")
    assert not expect.reaches("c", "b")
    assert not expect.reaches("d", "a")
    assert expect.reaches("a", "c"), "the other direction is another statement"


def test_a_node_is_shown_when_one_of_the_two_may_reach_the_other() -> None:
    expect = read_expect([{"from": "a", "to": "b", "reach": False}], _GROUPS)
    assert expect.sees("a", "b")
    both = read_expect([{"from": ["a", "b"], "to": ["a", "b"], "reach": False}], _GROUPS)
    assert not both.sees("a", "b")
    assert both.reaches("a", "a"), "nobody is kept from itself"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"from": "a"}, "write a list"),
        ([{"from": "a", "to": "b"}], "it needs from, to, reach"),
        ([{"from": "a", "to": "b", "reach": "no"}], "reach is 'no'"),
        ([{"from": "a", "to": "printer", "reach": False}], "printer is neither a host nor a group"),
        ([{"from": "a", "to": "b", "reach": True, "port": 80}], "nothing else"),
        ([{"from": "a", "to": "b", "reach": False, "ports": []}], "has ports and reach: false"),
        ([{"from": "a", "to": "b", "reach": True, "ports": 80}], "ports is 80; write a list"),
        ([{"from": "a", "to": "b", "reach": True, "ports": ["tcp:ssh"]}], "ports names 'tcp:ssh'; write a port"),
    ],
)
def test_what_cannot_be_understood_is_named(value: object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_expect(value, _GROUPS)


@given(st.sets(st.sampled_from(_PAIRS)))
def test_a_proposal_says_what_it_was_made_from(pairs: set[tuple[str, str]]) -> None:
    entries = propose(sorted(pairs), _HOSTS)
    expect = read_expect(entries, _GROUPS)
    assert {pair for pair in _PAIRS if not expect.reaches(*pair)} == pairs


@given(st.dictionaries(st.sampled_from(_PAIRS), st.sampled_from([None, (), ("22",), ("tcp:22", "udp:53")])))
def test_a_proposal_says_which_ports_are_open(pairs: dict[tuple[str, str], tuple[str, ...] | None]) -> None:
    ports = {pair: open_ports for pair, open_ports in pairs.items() if open_ports is not None}
    expect = read_expect(propose([pair for pair in pairs if pair not in ports], _HOSTS, ports), _GROUPS)
    assert {pair: expect.ports(*pair) for pair in _PAIRS} == {pair: ports.get(pair) for pair in _PAIRS}
    assert {pair for pair in _PAIRS if not expect.reaches(*pair)} == set(pairs) - set(ports)


def test_a_later_entry_without_ports_does_not_restrict_them() -> None:
    entries = [
        {"from": "all", "to": "a", "reach": True, "ports": [443, "udp:53"]},
        {"from": "b", "to": "a", "reach": True},
    ]
    expect = read_expect(entries, _GROUPS)
    assert expect.ports("c", "a") == ("443", "udp:53")
    assert expect.ports("b", "a") is None


def test_hosts_of_one_view_share_an_entry() -> None:
    assert propose([("a", "c"), ("b", "c")], _HOSTS) == [{"from": ["a", "b"], "to": "c", "reach": False}]
    assert propose([("a", "b"), ("a", "c"), ("a", "d")], _HOSTS) == [{"from": "a", "to": "all", "reach": False}]
