# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where headscale, tailscale, tailscaled and derper come from.

A program is looked for in this order: a path that the inventory names, meshctl's cache, the official release archive
(checksum verified), and a build from the Go modules that are pinned in `tools/`.
"""

from __future__ import annotations

from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._find import find, look
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import (
    PROGRAMS,
    BadInputError,
    BinariesError,
    Program,
    Progress,
    Sources,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._pinned import tools_dir, wanted_versions

__all__ = [
    "PROGRAMS",
    "BadInputError",
    "BinariesError",
    "Program",
    "Progress",
    "Sources",
    "find",
    "look",
    "tools_dir",
    "wanted_versions",
]
