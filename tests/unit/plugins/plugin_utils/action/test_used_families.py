# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server may give its nodes addresses of one family only."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.options import used
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node

BOTH = Node(name="one", addresses=("100.64.0.1", "fd7a:115c:a1e0::1"))
FOUR = Node(name="two", addresses=("100.64.0.2",))
SIX = Node(name="three", addresses=("fd7a:115c:a1e0::3",))
NONE = Node(name="four", addresses=())


@pytest.mark.parametrize(
    ("nodes", "families"),
    [
        ([BOTH, BOTH], (4, 6)),
        ([FOUR, BOTH], (4, 6)),
        ([FOUR, FOUR, NONE], (4,)),
        ([SIX, SIX], (6,)),
        ([FOUR, SIX], (4, 6)),
        ([NONE], (4, 6)),
        ([], (4, 6)),
    ],
)
def test_a_family_is_used_if_any_node_has_an_address_of_it(nodes: list[Node], families: tuple[int, ...]) -> None:
    assert used((4, 6), nodes) == families
    assert used((6,), nodes) == (6,)
