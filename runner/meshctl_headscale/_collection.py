# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give the runner the modules of the collection that it uses; each is loaded on first use."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils import _api as api
    from ansible_collections.meshctl.headscale.plugins.module_utils import _durations as durations
    from ansible_collections.meshctl.headscale.plugins.module_utils import _errors as errors
    from ansible_collections.meshctl.headscale.plugins.module_utils import _home as home
    from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson as hujson
    from ansible_collections.meshctl.headscale.plugins.module_utils import _nodes as nodes
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _binaries as binaries
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths as paths
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _policy as policy
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _private as private
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _scrub as scrub
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _slices as slices
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _stories as stories
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import headline
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files import examine
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue, figures, record
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import package, remote
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory import expect
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge import handed
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import lab, preflight
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import record as lab_record
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import use as lab_use
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import preflight as guests_preflight
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import (
        columns,
        compare,
        digest,
        html,
        junit,
        lines,
        merge,
        model,
        pairs,
        reading,
        rundir,
        text,
        visible,
        walk,
    )  # isort: skip
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._standing import notes, standing

__all__ = [
    "api", "binaries", "catalogue", "columns", "compare", "digest", "durations", "errors", "examine", "expect", "figures",
    "guests_preflight", "handed", "headline", "home", "html", "hujson", "junit", "lab", "lab_record", "lab_use", "lines", "merge",
    "model", "nodes", "notes", "package", "pairs", "paths", "policy", "preflight", "private", "reading", "record", "remote",
    "rundir", "scrub", "slices", "standing", "stories", "text", "visible", "walk",
]  # fmt: skip

_PLUGINS = "ansible_collections.meshctl.headscale.plugins"
_PACKAGES = {
    "module_utils._": ("api", "durations", "errors", "home", "hujson", "nodes"),
    "plugin_utils._": ("binaries", "paths", "policy", "private", "scrub", "slices", "stories"),
    "plugin_utils._doctor.": ("headline",),
    "plugin_utils._doctor.files.": ("examine",),
    "plugin_utils._faults.": ("catalogue", "figures", "record"),
    "plugin_utils._host.": ("package", "remote"),
    "plugin_utils._inventory.": ("expect",),
    "plugin_utils._judge.": ("handed",),
    "plugin_utils._lab.": ("lab", "preflight"),
    "plugin_utils._report.": (
        "columns",
        "compare",
        "digest",
        "html",
        "junit",
        "lines",
        "merge",
        "model",
        "pairs",
        "reading",
        "rundir",
        "text",
        "visible",
        "walk",
    ),
    "plugin_utils._standing.": ("notes", "standing"),
}
_MODULES = {
    **{name: f"{package}{name}" for package, names in _PACKAGES.items() for name in names},
    "guests_preflight": "plugin_utils._libvirt.preflight",
    "lab_record": "plugin_utils._lab.record",
    "lab_use": "plugin_utils._lab.use",
}


def __getattr__(name: str) -> ModuleType:
    """Load the module called `name` (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(name)
    from meshctl_headscale._project import load_collection_path

    load_collection_path()
    found = importlib.import_module(f"{_PLUGINS}.{_MODULES[name]}")
    globals()[name] = found
    return found
