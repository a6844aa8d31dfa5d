# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On which addresses a service must listen if the task does not say it."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.action.assert_listening import ActionModule
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node


def prepared(*addresses: str) -> ActionModule:
    action = ActionModule.__new__(ActionModule)
    action.options = {"addresses": None, "port": 80, "proto": "tcp"}
    action.host = "one"
    action.nodes = lambda: {"one": Node(name="one", addresses=addresses)}
    action.prepare()
    return action


@pytest.mark.parametrize(
    ("addresses", "must", "may"),
    [
        (("100.64.0.1", "fd7a:115c:a1e0::1"), ("100.64.0.1",), ("fd7a:115c:a1e0::1",)),
        (("100.64.0.1",), ("100.64.0.1",), ()),
        (("fd7a:115c:a1e0::1",), ("fd7a:115c:a1e0::1",), ()),
    ],
)
def test_the_first_mesh_address_is_expected(
    addresses: tuple[str, ...], must: tuple[str, ...], may: tuple[str, ...]
) -> None:
    expect = prepared(*addresses)._expect
    assert (expect.addresses, expect.may) == (must, may)


def test_a_node_without_an_address_must_join_first() -> None:
    with pytest.raises(BadInput, match="have one join the mesh first"):
        prepared()
