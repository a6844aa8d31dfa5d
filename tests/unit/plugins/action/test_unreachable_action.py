# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a node must be silent."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.action.assert_unreachable import remaining


@pytest.mark.parametrize(
    ("silence", "passed", "left"),
    [(8, 0, 8), (8, 2, 6), (8, 5, 3), (8, 60, 3), (1, 0, 1), (1, 60, 1), (8, -5, 8)],
)
def test_what_has_passed_since_the_outage_counts(silence: float, passed: float, left: float) -> None:
    assert remaining(silence, passed) == left
