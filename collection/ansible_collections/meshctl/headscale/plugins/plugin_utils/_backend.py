# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Select what the lab of an inventory consists of: namespaces (`lab`) or virtual machines (`libvirt`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._errors import BadInput
from ..module_utils._plain import plain
from ._inventory.places import Topology
from ._lab.lab import Lab
from ._lab.record import Record
from ._lab.supervisor import LabError
from ._libvirt.guests import Guests
from ._libvirt.model import read_settings
from ._libvirt.modules import module_runner


class Backend(Protocol):
    """A lab that can be brought up and down, and whose cables can be pulled."""

    name: str
    directory: Path

    @property
    def record(self) -> Record | None:
        """Return what was built; `None` when the lab is not up."""

    def missing(self) -> str:
        """Return why there is no record."""

    def changes(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Return what `up` would do, one sentence each."""

    def up(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Bring the lab to the topology; return what was done, one sentence each."""

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """Remove the lab; return where `keep_logs` moved its logs."""

    def cable_plugged(self, host: str) -> bool:
        """Whether a host's link has a carrier."""

    def pull_cable(self, host: str, *, plugged: bool) -> bool:
        """Unplug a host's cable, or plug it in; return whether that changed anything."""

    def enter(self, name: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` on a host."""

    def details(self, topology: Topology) -> dict[str, object]:
        """Return what only this backend reports."""


def configured(action: ActionBase, task_vars: dict[str, Any]) -> Backend:
    """Return the lab that the inventory describes.

    :raises BadInput: when the inventory has no lab, or its lab cannot have that name.
    """
    name = lab_name(action, task_vars)
    kind = action._templar.template(task_vars.get("mesh_backend", "lab"))
    if kind == "lab":
        return Lab(name)
    if kind == "libvirt":
        settings = read_settings(plain(action._templar.template(task_vars.get("mesh_libvirt"))))
        return Guests(name, module_runner(action, task_vars), settings, _progress())
    raise BadInput(f"mesh_backend is {kind}: only the backends lab and libvirt have a lab and cables")


def recorded(action: ActionBase, task_vars: dict[str, Any], name: str) -> Backend:
    """Return the lab called `name` with the backend that built it, whatever the inventory says now.

    :raises BadInput: when no lab can have that name.
    """
    guests = Guests(name, module_runner(action, task_vars))
    return guests if guests.made else guests.lab


def removable(action: ActionBase, task_vars: dict[str, Any], name: str) -> Backend:
    """Return the lab called `name`, to remove it: an `up` that is at work may not have recorded its guests yet.

    :raises BadInput: when no lab can have that name.
    """
    return Guests(name, module_runner(action, task_vars))


def lab_name(action: ActionBase, task_vars: dict[str, Any]) -> str:
    """Return the name of the inventory's lab; an empty one stays empty, so that it is refused."""
    found = action._templar.template(task_vars.get("lab_name", "seed"))
    return "" if found is None else str(found)


def _progress() -> Any:  # noqa: ANN401
    """Return a function that shows a line, and stops the work when ansible-playbook is gone."""
    parent = os.getppid()

    def show(text: str) -> None:
        if os.getppid() != parent:
            raise LabError("ansible-playbook has ended: stopped")
        Display().display(text)

    return show
