# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of tests that several workers share, file by file."""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def first(items: list[pytest.Item], files: Sequence[str]) -> None:
    """Begin with these files: a worker that got one of them last would leave the others idle."""
    rank = {name: place for place, name in enumerate(files)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
