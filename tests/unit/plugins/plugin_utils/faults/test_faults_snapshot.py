# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What brings a mesh back after a story, from what the machines tell before it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import snapshot


@pytest.mark.parametrize(
    ("forwarding6", "switches"),
    [
        ("0\n", "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=0"),
        # What `sysctl -en` prints on a kernel without IPv6.
        ("", "net.ipv4.ip_forward=1"),
    ],
)
def test_the_switches_that_the_kernel_has_are_brought_back(forwarding6: str, switches: str) -> None:
    def run(_machine: str, command: Sequence[str]) -> str:
        if command[0] == "sysctl":
            assert command[1] == "-en"
            return "1\n" if "ipv4" in command[2] else forwarding6
        return ""

    step = snapshot.steps(run, clients=["a"], server="s", others=[])[0]
    assert step.run.splitlines()[0] == f"sysctl -qw {switches}"
