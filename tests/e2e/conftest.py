# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of the files of this directory."""

import longest
import pytest

LONGEST_FIRST = ("test_collection", "test_cli", "test_collection_use")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    longest.first(items, LONGEST_FIRST)
