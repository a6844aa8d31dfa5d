# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `up` built, and how a topology differs from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from .._inventory.places import Topology
from . import network
from .supervisor import LabError, Process

_PARTS: Final = ("machines", "subnets", "ports", "facts")
_SERVER: Final = "server.json"
# A difference in these is applied to the running lab.
_TUNABLE: Final = ("nat", "link", "publish")


@dataclass(frozen=True)
class Record:
    """The topology, programs and processes of a lab, as `up` built it."""

    created: str
    topology: dict[str, Any]
    programs: dict[str, str]
    machines: dict[str, Process]
    unfinished: list[str] | None = None
    """The machines that a change was starting, if it has not reached its end."""

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """Return the record at `path`; `None` when there is none or it cannot be read."""
        try:
            now = path.stat()
        except OSError:
            return None
        return cls._load(path, (now.st_ino, now.st_size, now.st_mtime_ns))

    @classmethod
    @lru_cache(maxsize=2)
    def _load(cls, path: Path, _version: tuple[int, ...]) -> Record | None:
        """Read a version of the file once, and not again for each command on a machine."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            machines = {name: Process(int(pid), int(started)) for name, (pid, started) in data["machines"].items()}
            if not all(isinstance(data["topology"][part], dict) for part in _PARTS):
                return None
            unfinished = data.get("unfinished")
            return cls(
                str(data["created"]),
                dict(data["topology"]),
                dict(data["programs"]),
                machines,
                None if unfinished is None else [str(name) for name in unfinished],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, path: Path) -> None:
        """Replace the record at once, so that a reader sees either the old one or the new one."""
        data = {
            "created": self.created,
            "topology": self.topology,
            "programs": self.programs,
            "machines": {name: [process.pid, process.started] for name, process in self.machines.items()},
            "unfinished": self.unfinished,
        }
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)


def recorded(topology: Topology) -> dict[str, Any]:
    """Return the topology as it is recorded."""
    ports = {cable.machine: cable.port for cable in network.cables(topology) if cable.interface != "lan"}
    plain: dict[str, Any] = json.loads(json.dumps(topology.as_dict()))
    return plain | {"ports": ports, "facts": topology.facts()}


def save_server(directory: Path, variables: Mapping[str, str]) -> None:
    """Record the variables that name the lab's control server, for `meshctl status --lab`."""
    (directory / _SERVER).write_text(json.dumps(variables) + "\n", encoding="utf-8")


def load_server(directory: Path) -> dict[str, str]:
    """Return the variables that `save_server` recorded; none for a lab of an older version."""
    try:
        return {str(name): str(value) for name, value in json.loads((directory / _SERVER).read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What distinguishes a running lab from a topology."""

    added: list[str]
    again: list[str]
    removed: list[str]
    tuned: list[str]
    renat: list[str]

    def sentences(self) -> list[str]:
        """Return what `up` does about it, one sentence each."""
        return [
            *(f"machine {name} added" for name in self.added),
            *(f"machine {name} started again" for name in self.again),
            *(f"machine {name} removed" for name in self.removed),
            *self.tuned,
        ]


def difference(record: Record, topology: Topology) -> Difference:
    """Return which machines to add, restart and remove, and what to change in place.

    :raises LabError: when the lab must be taken down first.
    """
    old, new = record.topology, recorded(topology)
    name = topology.lab_name
    for key in ("wan_cidr", "wan_cidr6", "resolver"):
        _same(name, key, old.get(key, ""), new[key])
    tuned = [*_subnet_changes(name, old["subnets"], new["subnets"])]
    known = [machine for machine in new["machines"] if machine in old["machines"]]
    for machine in known:
        tuned += _machine_changes(name, machine, old["machines"][machine], new["machines"][machine])
    if record.unfinished is not None:  # it may have applied some of its settings
        tuned.append("links and NAT applied again after an unfinished change")
    # The lab does not start guests, but its routers' rules depend on them.
    here, there = _own(old["machines"]), _own(new["machines"])
    tuned += [f"guest {guest} changed" for guest in {*old["machines"], *new["machines"]} - {*known, *here, *there}]
    return Difference(
        added=[machine for machine in there if machine not in known],
        again=[m for m in known if m in there and (m not in record.machines or not record.machines[m].alive)],
        removed=[m for m in dict.fromkeys([*here, *(record.unfinished or ())]) if m not in new["machines"]],
        tuned=tuned,
        renat=[
            subnet
            for subnet in new["subnets"]
            if record.unfinished is not None or new["subnets"][subnet]["nat"] != old["subnets"][subnet]["nat"]
        ],
    )


def _own(machines: Mapping[str, Any]) -> list[str]:
    """Return the machines that the lab itself starts."""
    return [name for name, machine in machines.items() if machine["kind"] != "guest"]


def take_down_first(lab: str) -> str:
    """Return the remedy for a change that a running lab cannot take."""
    return f"take it down with `meshctl down --lab {lab}` first"


def _same(lab: str, what: str, old: object, new: object) -> None:
    if old != new:
        today = f"with {what} {old}" if old else f"without {what}"
        raise LabError(
            f"the lab '{lab}' is up {today}, but the inventory says {new or 'nothing'}; {take_down_first(lab)}"
        )


def _subnet_changes(lab: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if list(old) != list(new):
        _same(lab, "the subnets", ", ".join(old), ", ".join(new))
    return [change for name in new for change in _fields(lab, f"subnet {name}", old[name], new[name])]


def _machine_changes(lab: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    ignored = ("public_address",)  # follows from the subnet's NAT kind
    return _fields(lab, name, old, {key: value for key, value in new.items() if key not in ignored})


def _fields(lab: str, what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    changes = []
    for key in new:
        # The record of an older version lacks what was added since, which is empty where it is not used.
        before = old.get(key, "")
        if before == new[key]:
            continue
        if key not in _TUNABLE:
            _same(lab, f"{what}: {key}", before, new[key])
        changes.append(f"{what}: {key} changed")
    return changes
