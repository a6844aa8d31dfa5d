# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play is about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.block import Block
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import runs

ASSERTION = SimpleNamespace(action="meshctl.headscale.assert_path")
OTHER = SimpleNamespace(action="ansible.builtin.debug")


def block(**parts: list[Any]) -> Block:
    found = Block()
    for name, tasks in parts.items():
        setattr(found, name, tasks)
    return found


@pytest.mark.parametrize(
    ("tasks", "story", "expected"),
    [
        ([OTHER], None, False),
        ([OTHER, ASSERTION], None, True),
        ([block(block=[OTHER], rescue=[OTHER], always=[block(block=[ASSERTION])])], None, True),
        ([block(block=[OTHER])], None, False),
        ([OTHER], "us1", True),
    ],
)
def test_plays_with_assertions_are_known_beforehand(tasks: list[Any], story: str | None, expected: bool) -> None:
    play: Any = SimpleNamespace(tasks=tasks, get_vars=lambda: {"mesh_story": story})
    assert runs.asserts(play) is expected
