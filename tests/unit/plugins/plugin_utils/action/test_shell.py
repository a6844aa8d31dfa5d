# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that reproduce a check on the host that made it."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import shell


@pytest.mark.parametrize(
    ("lab", "prefix"),
    [("seed", "meshctl exec node -- "), ("office", "meshctl exec --lab office node -- ")],
)
def test_a_machine_of_a_lab_is_entered_in_that_lab(lab: str, prefix: str) -> None:
    assert shell.in_lab("node", lab) == prefix


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ({"transport": "local"}, ""),
        ({"transport": "ansible.builtin.local", "address": "192.0.2.1"}, ""),
        ({"transport": "ssh"}, "ssh node "),
        ({"transport": "ssh", "address": "192.0.2.1"}, "ssh 192.0.2.1 "),
        ({"transport": "ssh", "address": "192.0.2.1", "user": "admin"}, "ssh admin@192.0.2.1 "),
        ({"transport": "ssh", "user": "ad min"}, "ssh 'ad min@node' "),
    ],
)
def test_an_existing_host_is_reached_by_ssh(given: dict[str, str], prefix: str) -> None:
    assert shell.over_ssh("node", **given) == prefix
