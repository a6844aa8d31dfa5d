# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give the runner the modules of the collection that it uses; each is loaded on first use."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _binaries as binaries
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths as paths
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _private as private
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue, figures, record
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import (
        compare,
        digest,
        html,
        junit,
        lines,
        model,
        rundir,
        scrub,
        text,
        visible,
    )  # fmt: skip

_PARENT = "ansible_collections.meshctl.headscale.plugins.plugin_utils"
_AT_THE_TOP = ("binaries", "paths", "private")
_OF_FAULTS = ("catalogue", "figures", "record")

__all__ = [
    "binaries", "catalogue", "compare", "digest", "figures", "html", "junit", "lines", "model", "paths", "private", "record",
    "rundir", "scrub", "text", "visible",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """Load the module called `name` (PEP 562)."""
    if name not in __all__:
        raise AttributeError(name)
    from meshctl_headscale._project import load_collection_path

    load_collection_path()
    package = "_faults." if name in _OF_FAULTS else "_" if name in _AT_THE_TOP else "_report."
    found = importlib.import_module(f"{_PARENT}.{package}{name}")
    globals()[name] = found
    return found
