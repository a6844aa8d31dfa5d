# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the versions of meshctl and of the programs that it uses."""

from __future__ import annotations

import platform
import re
from importlib import metadata

from meshctl_headscale import _collection
from meshctl_headscale._project import project

_COLLECTION = "ansible_collections/meshctl/headscale/galaxy.yml"


def versions() -> dict[str, str]:
    """Return the documented object of `meshctl version`."""
    found = {"meshctl": own(), "python": platform.python_version()}
    for package in ("ansible-core", "ansible-runner"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found | _tools()


def own() -> str:
    """Return the version of meshctl, which is that of its collection."""
    text = (project().collections / _COLLECTION).read_text(encoding="utf-8")
    match = re.search(r"^version:\s*[\"']?([^\s\"']+)", text, re.MULTILINE)
    return match[1] if match else "unknown"


def _tools() -> dict[str, str]:
    """Return the versions of headscale and tailscale that a lab gets."""
    binaries = _collection.binaries
    try:
        return dict(binaries.wanted_versions(tools=binaries.tools_dir(), overrides={}))
    except binaries.BinariesError:
        return {}
