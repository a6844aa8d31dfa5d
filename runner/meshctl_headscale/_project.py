# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find playbooks, inventories and the collection, in a checkout or in an installed package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from meshctl_headscale import _collection
from meshctl_headscale._exit import BadInputError, MeshctlError

_PACKAGE = Path(__file__).resolve().parent
_COLLECTION = Path("ansible_collections/meshctl/headscale")


@dataclass(frozen=True, kw_only=True)
class Project:
    """The files of the project."""

    root: Path
    """Holds `playbooks/`, `inventory/`, `tools/` and `ansible.cfg`."""
    collections: Path
    """Holds `ansible_collections/`."""

    @property
    def ansible_cfg(self) -> Path:
        """Return the project's ansible.cfg."""
        return self.root / "ansible.cfg"

    @property
    def playbooks(self) -> Path:
        """Return the directory of the playbooks."""
        return self.root / "playbooks"

    def inventory(self, name: str | None) -> str:
        """Return the inventory called `name`, or that of the lab; refuse one that is missing or unreadable."""
        if name is None:
            return str(self._readable(self.root / "inventory" / "lab.yml", "inventory"))
        if is_host_list(name):
            return name
        path = _collection.home.expanded(name)
        if not path.exists() and path.parent == Path() and (shipped := self._shipped_inventory(path.name)):
            return str(shipped)
        return str(self._readable(path.absolute(), "inventory"))

    def _shipped_inventory(self, name: str) -> Path | None:
        """Return the project's inventory called `name`, with or without its extension: a file or a directory."""
        found = (self.root / "inventory" / candidate for candidate in (name, f"{name}.yml", Path(name).stem))
        return next((path for path in found if path.name != "examples" and path.exists()), None)

    def playbook(self, name: str) -> Path:
        """Return the path of one of the project's playbooks."""
        return self._readable(self.playbooks / f"{name}.yml", "playbook")

    @staticmethod
    def _readable(path: Path, what: str) -> Path:
        if not path.exists():
            raise BadInputError(f"There is no {what} {path}. Check the path.")
        if not os.access(path, os.R_OK):
            raise BadInputError(f"The {what} {path} cannot be read by this user. Change its permissions.")
        return path


def is_host_list(inventory: str) -> bool:
    """Whether the inventory is a list of hosts."""
    return "," in inventory and not os.path.exists(inventory)  # noqa: PTH110 (Path refuses a list that is longer than a path)


@cache
def project() -> Project:
    """Return the project of this installation."""
    checkout = _PACKAGE.parent.parent
    if (checkout / "collection" / _COLLECTION).is_dir() and (checkout / "playbooks").is_dir():
        return Project(root=checkout, collections=checkout / "collection")
    installed = _PACKAGE / "_project"
    if installed.is_dir():
        return Project(root=installed, collections=_PACKAGE.parent)
    raise MeshctlError(
        f"meshctl's playbooks are neither in {checkout} nor in {installed}: the installation is incomplete. "
        "Install meshctl again."
    )


def load_collection_path() -> None:
    """Make `ansible_collections.meshctl.headscale` importable if only the runner is on the path."""
    import sys

    path = str(project().collections)
    if path not in sys.path:
        sys.path.append(path)
