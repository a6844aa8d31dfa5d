# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests have in common."""

import os

from hypothesis import settings
from release_server import cache, no_proxy, release, tools

__all__ = ["cache", "no_proxy", "release", "tools"]

# No wall-clock time: on a busy machine an example takes as long as it takes.
settings.register_profile("meshctl", deadline=None, max_examples=int(os.environ.get("MESHCTL_TEST_EXAMPLES", "100")))
settings.load_profile("meshctl")
