# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what `tools/` pins: versions, the Go release they need, and known checksums."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import (
    TOOLS,
    BadInputError,
    Tool,
    WayFailedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_GO_LINE = re.compile(r"^go\s+(\d+(?:\.\d+)*)", re.MULTILINE)
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def tools_dir() -> Path:
    """Return the directory of the pinned modules: `MESHCTL_TOOLS_DIR`, the checkout's, else the installed wheel's."""
    if named := os.environ.get("MESHCTL_TOOLS_DIR"):
        return expanded(named, variable="MESHCTL_TOOLS_DIR").absolute()
    # <root>/collection/ansible_collections/meshctl/headscale/plugins/plugin_utils/_binaries/_pinned.py
    parents = Path(__file__).resolve().parents
    candidates = (parents[7] / "tools", parents[6] / "meshctl_headscale" / "_project" / "tools")
    for candidate in candidates:
        if (candidate / TOOLS[0].name / "go.mod").is_file():
            return candidate
    return candidates[0]


def wanted_versions(tools: Path | None = None, *, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the version that is wanted of each tool: the override, else the pinned one; without one, no entry."""
    tools = tools or tools_dir()
    overrides = overrides or {}
    unknown = sorted(set(overrides) - {tool.name for tool in TOOLS})
    if unknown:
        names = ", ".join(tool.name for tool in TOOLS)
        raise BadInputError(f"versions has an entry for {unknown[0]!r}: versions can be chosen of {names}")
    wanted = {}
    for tool in TOOLS:
        if version := overrides.get(tool.name) or pinned_version(tool, tools):
            wanted[tool.name] = _normal(tool, version)
    return wanted


def _normal(tool: Tool, version: str) -> str:
    """Return `version` without a leading v, or say that it is none."""
    match = _VERSION.fullmatch(str(version).strip())
    if match is None:
        raise BadInputError(
            f"{version!r} is not a version of {tool.name}: write it with three numbers, as in "
            f"mesh_{tool.name}_version: 1.2.3"
        )
    return match.group(1)


def pinned_version(tool: Tool, tools: Path) -> str | None:
    """Return the version of `tool` that its go.mod requires, None where there is no go.mod."""
    match = re.search(rf"^\s*(?:require\s+)?{re.escape(tool.module)}\s+v(\S+)", _go_mod(tool, tools), re.MULTILINE)
    return match.group(1) if match else None


def go_needed(tool: Tool, tools: Path) -> str:
    """Return the Go release that the go.mod of `tool` asks for."""
    match = _GO_LINE.search(_go_mod(tool, tools))
    return match.group(1) if match else "1"


def _go_mod(tool: Tool, tools: Path) -> str:
    try:
        return (tools / tool.name / "go.mod").read_text(encoding="utf-8")
    except OSError:
        return ""


def pinned_checksum(asset: str, tools: Path) -> str | None:
    """Return the sha256 that `tools/checksums.json` pins for a release file, None where it pins none."""
    path = tools / "checksums.json"
    try:
        pinned = json.loads(path.read_text(encoding="utf-8"))["sha256"].get(asset)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise WayFailedError(f"{path} cannot be read ({exc}): restore it from the repository") from None
    if pinned is None:
        return None
    if not _SHA256.fullmatch(str(pinned)):
        raise WayFailedError(
            f"{path} pins {pinned!r} for {asset}, which is not a SHA-256: restore it from the repository"
        )
    return str(pinned)
