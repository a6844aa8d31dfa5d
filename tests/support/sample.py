# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run only a sample of the unit tests' data, where other versions of Python and Ansible run what has passed already.

MESHCTL_TEST_SAMPLE=1 leaves each test function its first and its last parameters, and each property few examples.
"""

from __future__ import annotations

import os
from itertools import groupby

import pytest
from hypothesis import settings

SAMPLE = os.environ.get("MESHCTL_TEST_SAMPLE", "0") not in ("", "0")
FEW = 5


def examples(count: int) -> settings:
    """Return the settings of a property that is worth this many examples."""
    # No wall-clock time: on a busy machine an example takes as long as it takes.
    return settings(deadline=None, max_examples=min(count, FEW) if SAMPLE else count)


def sampled(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the first and the last test of each function."""
    kept: list[pytest.Item] = []
    for _, group in groupby(items, lambda item: (item.path, item.parent, getattr(item, "originalname", item.name))):
        first, *others = group
        kept += [first, *others[-1:]]
    return kept
