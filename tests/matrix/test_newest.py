# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wheel and the archive on the newest Python, and the newest version of every dependency."""

import pytest
from installed_wheel import *  # noqa: F403 - its tests and fixtures

pytestmark = pytest.mark.e2e

LABEL = "newest"
