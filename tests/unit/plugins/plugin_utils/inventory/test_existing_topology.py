# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where own hosts are, as far as their inventory says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.existing import existing_topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.topology import expected_path

_GROUPS = {"headscale": ["server"], "clients": ["one", "two"], "all": ["server", "one", "two"]}


def _read(
    one: dict[str, Any], two: dict[str, Any] | None = None, subnets: dict[str, Any] | None = None
) -> dict[str, Any]:
    hosts = {"server": {}, "one": one, "two": two or {}}
    return existing_topology(
        hosts={host: {**own, "mesh_subnets": subnets} for host, own in hosts.items()}, groups=_GROUPS
    )


def test_nothing_has_to_be_said() -> None:
    assert _read({}) == {}


def test_a_network_by_its_name_alone() -> None:
    found = _read({"mesh_subnet": "home"}, {"mesh_subnet": "away"})
    assert set(found) == {"one", "two"}
    assert found["one"]["address"] is None
    assert expected_path(found["one"], found["two"])[0] == "any", "what NAT is between them is not guessed"
    assert expected_path(found["one"], found["one"])[0] == "direct"


def test_nat_that_is_stated_is_held_against_the_path() -> None:
    subnets = {"home": {"cidr": "192.168.1.0/24", "nat": "hard"}, "away": {"nat": "easy"}}
    found = _read({"mesh_subnet": "home", "mesh_address": "192.168.1.9"}, {"mesh_subnet": "away"}, subnets)
    assert expected_path(found["one"], found["two"])[0] == "relay"


@pytest.mark.parametrize(
    ("one", "subnets", "words"),
    [
        ({"mesh_address": "192.168.1.9"}, None, "no mesh_subnet"),
        ({"mesh_subnet": "home", "mesh_address": "192.168.1"}, None, "is not an IP address"),
        (
            {"mesh_subnet": "home", "mesh_address": "10.0.0.1"},
            {"home": {"cidr": "192.168.1.0/24"}},
            "not in its network",
        ),
        ({"mesh_subnet": "hom"}, {"home": {}}, "unknown subnet 'hom'"),
        ({"mesh_subnet": "home"}, {"home": {"cidr": "192.168.1.1/24"}}, "is not a network"),
        ({"mesh_subnet": "home"}, {"home": {"nat": "soft"}}, "unknown NAT kind"),
        ({"mesh_subnet": "home"}, {"home": {"link": {}}}, "unknown setting 'link'"),
        ({"mesh_subnet": "home"}, ["home"], "must be a mapping"),
    ],
)
def test_what_is_said_must_fit(one: dict[str, Any], subnets: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        _read(one, subnets=subnets)
