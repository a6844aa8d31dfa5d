# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read versions, groups and paths that the controller knows."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_GROUPS = ("headscale", "relay", "clients", "spare", "lan")


def versions() -> dict[str, str]:
    """Return the versions that take part in every run."""
    from ansible.release import __version__ as ansible_version  # other readers have no Ansible

    return {
        "meshctl": _collection_version(),
        "ansible-core": str(ansible_version),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def groups(inventory: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the group that tells the role of each host."""
    return {str(host): group for group in reversed(_GROUPS) for host in inventory.get(group) or ()}


def short_path(path: str) -> str:
    """Return `path` relative to the working directory, where it lies below it."""
    here = f"{Path.cwd()}/"
    return path.removeprefix(here)


def mesh(variables: Mapping[str, object]) -> dict[str, str]:
    """Return what the report states of the mesh, as far as no template has to be evaluated."""
    names = {"backend": "mesh_backend", "lab_name": "lab_name", "server_url": "mesh_server_url"}
    stated = {key: variables.get(name) for key, name in names.items()}
    found = {key: str(value) for key, value in stated.items() if isinstance(value, str) and "{{" not in value}
    # Without user and password.
    url = re.sub(r"(?<=://)[^/?#]*@", "", found.pop("server_url", "")).rstrip("/")
    # An @ that is left may follow a password with a slash, which is no valid URL.
    return {**found, **({"server_url": url} if url and "@" not in url else {})}


def _collection_version() -> str:
    """Return the version of this collection, from a checkout or installed."""
    root = Path(__file__).parents[3]
    manifest, galaxy = root / "MANIFEST.json", root / "galaxy.yml"
    try:
        if manifest.is_file():
            return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
        found = re.search(r"^version:\s*[\"']?([^\s\"']+)", galaxy.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    return found.group(1) if found else "unknown"
