# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""US5 that is killed half-way: the next `up` restores the policy, and removes the node and the user of the story."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._standing.notes import POLICY_NOTE

from .lab_driver import LabDriver, end_group, wait_for

_SERVER, _SPARE = "headscale-server", "client-node-4"


def _names(lab: LabDriver) -> tuple[set[str], set[str]]:
    """Return the names of the nodes and of the users."""
    nodes, users = (json.loads(lab.shell(_SERVER, f"headscale {what} list -o json")) for what in ("nodes", "users"))
    return {node["given_name"] for node in nodes}, {user["name"] for user in users}


@pytest.mark.slow
def test_up_restores_what_a_killed_story_has_changed(new_lab: Callable[..., LabDriver]) -> None:
    lab = new_lab()
    lab.play("up.yml").succeeded()
    before, names = lab.shell(_SERVER, "headscale policy get"), _names(lab)
    story = lab.start("stories/us5.yml")
    try:
        wait_for(
            lambda: "tag:meshctl-web" in lab.shell(_SERVER, "headscale nodes list -o json"),
            "the node of the story is tagged",
            seconds=240,
        )
    finally:
        end_group(story)
    assert lab.shell(_SERVER, "headscale policy get") != before
    lab.play("up.yml").succeeded()
    assert lab.shell(_SERVER, "headscale policy get") == before
    assert _names(lab) == names
    assert lab.shell(_SERVER, f"ls {POLICY_NOTE} 2>/dev/null || echo gone").strip() == "gone"
    assert lab.shell(_SPARE, "pgrep -x tailscaled || echo none").strip() == "none"
    assert lab.play("up.yml").succeeded().changed() == []
