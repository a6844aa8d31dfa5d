# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab: what stands, what was recorded of it, and how it comes and goes.

`up` compares the topology that is asked for with the *record* of what was built; `down` needs nothing
but the state directory, and works when the inventory was edited or is gone.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from .. import _paths
from .._inventory.topology import Topology, checked_name
from . import network, plan, preflight, supervisor, tls, use
from .supervisor import LabError, Process
from .use import Play

BUILD_SECONDS: Final = 120
_MACHINE_SH: Final = Path(__file__).with_name("machine.sh")
# What a record's topology has.
_PARTS: Final = ("machines", "subnets", "ports", "facts")
# What may differ between the record and the topology without building anew.
_TUNABLE: Final = ("nat", "link", "publish")


@dataclass(frozen=True)
class Record:
    """What `up` built."""

    created: str
    topology: dict[str, Any]
    programs: dict[str, str]
    machines: dict[str, Process]

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """Return the record at `path`; `None` when there is none that can be read."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            machines = {name: Process(int(pid), int(started)) for name, (pid, started) in data["machines"].items()}
            if not all(isinstance(data["topology"][part], dict) for part in _PARTS):
                return None
            return cls(str(data["created"]), dict(data["topology"]), dict(data["programs"]), machines)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, path: Path) -> None:
        """Write the record so that a reader sees the old one or the new one, whole."""
        data = {
            "created": self.created,
            "topology": self.topology,
            "programs": self.programs,
            "machines": {name: [process.pid, process.started] for name, process in self.machines.items()},
        }
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)


class Lab:
    """One lab of this user, by name."""

    def __init__(self, name: str) -> None:
        """Name a lab; nothing is started or read.

        :raises InventoryError: when no lab can have that name.
        """
        self.name = checked_name(name)
        self.directory = _paths.lab_dir(name)
        self._record_path = self.directory / "record.json"

    @property
    def record(self) -> Record | None:
        """Return what was built, if it can be read and its supervisor runs; see `missing`."""
        if supervisor.first_process(self.directory) is None:
            return None
        return Record.load(self._record_path)

    def missing(self) -> str:
        """Return why there is no record: the lab is not up, or stands and its record cannot be read."""
        if supervisor.first_process(self.directory) and self._record_path.exists():
            return f"the record of the lab '{self.name}' cannot be read: `meshctl down` and `meshctl up` make it anew"
        return f"the lab '{self.name}' is not up; start it with `meshctl up`"

    def machine(self, name: str) -> Process:
        """Return process 1 of a machine.

        :raises LabError: when the lab is not up, has no such machine, or the machine is gone.
        """
        record = self.record
        if record is None:
            raise LabError(self.missing())
        if name not in record.machines:
            known = ", ".join(record.machines)
            raise LabError(f"the lab '{self.name}' has no machine '{name}'; it has {known}")
        if not record.machines[name].alive:
            raise LabError(f"machine '{name}' of the lab '{self.name}' is gone; `meshctl up` starts it again")
        return record.machines[name]

    def enter(self, name: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` in a machine, or on a guest."""
        record = self.record
        if record and record.topology["machines"].get(name, {}).get("kind") == "guest":
            return [
                "ssh",
                "-F",
                str(self.directory / "ssh" / "config"),
                name,
                *([shlex.join(command)] if command else []),
            ]
        return supervisor.enter(self.machine(name).pid, command)

    def changes(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Return what `up` would do, as sentences; nothing when the lab stands as asked.

        :raises LabError: when the lab stands with something that cannot be changed in place.
        """
        record = self.record
        if record is None:
            return [f"lab {self.name} created with {len(topology.machines)} machines"]
        difference = _difference(record, topology)
        if changed := sorted(name for name in programs if record.programs.get(name) != programs[name]):
            raise LabError(f"the lab '{self.name}' runs another {changed[0]}; take it down with `meshctl down` first")
        return [*difference.sentences(), *(f"cable of {name} plugged in" for name in self._unplugged(record))]

    def up(self, topology: Topology, programs: Mapping[str, str], *, play: Play | None = None) -> list[str]:
        """Bring the lab to the topology, for `play` to use it; return what was done.

        :raises LabError: when it cannot; what this call made is then taken away again.
        """
        if play:
            use.claim(self.directory, play)
        try:
            return self._up(topology, programs)
        finally:
            if not self.directory.exists():
                use.release(self.directory)

    def _up(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        with supervisor.lock(self.directory):
            changes = self.changes(topology, programs)
            if not changes:
                return []
            record = self.record
            if record is None:
                self._create(topology, dict(programs))
            else:
                for name in self._unplugged(record):
                    self.pull_cable(name, plugged=True)
                self._change(record, topology)
            return changes

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """End the lab, whoever uses it, and remove all that it left; return where the logs are, if they were to be kept."""
        if not self.directory.exists():
            return None
        with supervisor.lock(self.directory):
            return self._remove(keep_logs=keep_logs)

    def _remove(self, *, keep_logs: bool) -> Path | None:
        supervisor.stop(self.directory)
        kept = None
        if keep_logs:
            parent = _paths.state_dir() / "failed"
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=parent))
            for name in ("logs", "supervisor.log", "build.sh"):
                if (self.directory / name).exists():
                    shutil.move(self.directory / name, kept / name)
        shutil.rmtree(self.directory, ignore_errors=not self.directory.exists())
        use.release(self.directory)
        return kept

    def pull_cable(self, name: str, *, plugged: bool) -> bool:
        """Take the carrier from a machine's line, or give it back; whether that changed anything."""
        if self.cable_plugged(name) == plugged:
            return False
        self._fabric(["ip", "link", "set", self._port(name), "up" if plugged else "down"])
        return True

    def cable_plugged(self, name: str) -> bool:
        """Whether a machine's line is plugged in."""
        state = json.loads(self._fabric(["ip", "-j", "link", "show", self._port(name)]))
        return "UP" in state[0]["flags"]

    def _unplugged(self, record: Record) -> list[str]:
        """Return the machines whose cable is out: of a run that was ended in the middle of an outage."""
        lines = {line["ifname"]: line for line in json.loads(self._fabric(["ip", "-j", "link", "show"]))}
        out = {port for port, line in lines.items() if "UP" not in line["flags"]}
        alive = {name for name, machine in record.machines.items() if machine.alive}
        return [name for name, port in record.topology["ports"].items() if name in alive and port in out]

    def attach(self, subnet: str, *, cable: str, bridge: str) -> bool:
        """Lay a cable from a bridge of this machine (as root) to a subnet of the lab; whether it was not there."""
        record, init = self.record, supervisor.first_process(self.directory)
        if record is None or init is None:
            raise LabError(self.missing())
        index = list(record.topology["subnets"]).index(subnet) + 1
        port = f"up-{index}"
        show = ["ip", "-j", "link", "show", "dev", cable]
        here = subprocess.run(show, capture_output=True, text=True, check=False)  # noqa: S603
        if here.returncode == 0 and json.loads(here.stdout)[0].get("master") == bridge:
            return False
        script = f"""set -e
            ip link del {cable} 2>/dev/null || true
            ip link add {cable} type veth peer name {port} netns {init.pid}
            ip link set {cable} addrgenmode none master {bridge} up"""
        laid = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
        if laid.returncode:
            raise LabError(f"no cable could be laid from {bridge} to the lab's {subnet}: {laid.stderr.strip()}")
        self._fabric(["ip", "link", "set", port, "addrgenmode", "none", "master", f"br-{index}", "up"])
        return True

    def _port(self, name: str) -> str:
        """Return the fabric's end of a machine's line."""
        self.machine(name)  # says what is wrong with the name, or with the lab
        record = self.record
        ports: dict[str, str] = record.topology["ports"] if record else {}
        return ports[name]

    def _fabric(self, command: Sequence[str], *, stdin: str = "", seconds: float = BUILD_SECONDS) -> str:
        init = supervisor.first_process(self.directory)
        if init is None:
            raise LabError(f"the lab '{self.name}' ended; its log is {self.directory / 'supervisor.log'}")
        try:
            done = subprocess.run(  # noqa: S603
                supervisor.enter(init.pid, command),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LabError(
                f"the lab '{self.name}' did not answer within {seconds:.0f} s to: {' '.join(command)}"
            ) from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise LabError(
                f"the lab '{self.name}' could not be built: {'; '.join(said[-3:])} "
                f"(script: {self.directory / 'build.sh'})"
            )
        return done.stdout

    def _run(self, script: str) -> dict[str, Process]:
        (self.directory / "build.sh").write_text(script, encoding="utf-8")
        output = self._fabric(["/bin/sh", "/run/lab/state/build.sh"])
        inner = {
            name: int(pid)
            for name, pid in (line.split()[1:] for line in output.splitlines() if line.startswith("machine "))
        }
        init = supervisor.first_process(self.directory)
        outer = supervisor.outer_pids(init.pid, list(inner.values())) if init else {}
        machines = {name: Process.of(outer[pid]) for name, pid in inner.items() if pid in outer}
        if lost := sorted(name for name in inner if machines.get(name) is None):
            log = self.directory / "logs" / lost[0] / "boot.log"
            raise LabError(f"machine {lost[0]} ended as soon as it started; its log is {log}")
        return {name: process for name, process in machines.items() if process}

    def _create(self, topology: Topology, programs: dict[str, str]) -> None:
        preflight.require(topology)
        supervisor.stop(self.directory)  # one that was killed half-way: there is no record of it
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o700, parents=True)
        try:
            shutil.copyfile(_MACHINE_SH, self.directory / "machine.sh")
            tls.write(self.directory, {machine.name: machine.names for machine in topology.hosts() if machine.names})
            supervisor.start(self.directory)
            machines = self._run(plan.build_script(topology, programs=programs))
            self._save(topology, programs, machines)
        except BaseException as exc:
            kept = self._remove(keep_logs=True)
            if isinstance(exc, LabError):
                raise LabError(f"{exc}; what was started has been taken down again, the logs are in {kept}") from None
            raise

    def _change(self, record: Record, topology: Topology) -> None:
        preflight.require_lines(topology)
        difference = _difference(record, topology)
        started = {*difference.added, *difference.again}
        stopped = started.union(difference.removed)
        machines = {name: process for name, process in record.machines.items() if name not in stopped}
        # What is going away leaves the record first: after a crash here, the next `up` starts it again.
        self._save_record(Record(record.created, record.topology, record.programs, machines))
        for name in stopped.intersection(record.machines):
            supervisor.kill(record.machines[name])
        if stopped:
            self._shell(plan.remove_script(sorted(stopped), wiped=difference.removed))
        if started:
            tls.write(self.directory, {m.name: m.names for m in topology.hosts() if m.names and m.name in started})
            machines |= self._run(plan.build_script(topology, programs=record.programs, only=started))
        if difference.tuned or difference.added or difference.removed:
            self._shell(plan.tune_script(topology, renat=difference.renat))
        self._save(topology, record.programs, machines)

    def _shell(self, script: str) -> str:
        return self._fabric(["/bin/sh", "-s"], stdin=script)

    def _save(self, topology: Topology, programs: dict[str, str], machines: dict[str, Process]) -> None:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._save_record(Record(created, _recorded(topology), programs, machines))

    def _save_record(self, record: Record) -> None:
        record.save(self._record_path)


def names() -> list[str]:
    """Return the names of the labs that this user has."""
    labs = _paths.state_dir() / "labs"
    return sorted(entry.name for entry in labs.iterdir() if entry.is_dir()) if labs.is_dir() else []


def _recorded(topology: Topology) -> dict[str, Any]:
    ports = {cable.machine: cable.port for cable in network.cables(topology) if cable.interface != "lan"}
    plain: dict[str, Any] = json.loads(json.dumps(topology.as_dict()))
    return plain | {"ports": ports, "facts": topology.facts()}


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """Between a lab that stands and a topology."""

    added: list[str]
    again: list[str]
    removed: list[str]
    tuned: list[str]
    renat: list[str]

    def sentences(self) -> list[str]:
        """Return what `up` does about it."""
        return [
            *(f"machine {name} added" for name in self.added),
            *(f"machine {name} started again" for name in self.again),
            *(f"machine {name} removed" for name in self.removed),
            *self.tuned,
        ]


def _difference(record: Record, topology: Topology) -> _Difference:
    """Return which machines come and go, and what can be tuned in place.

    :raises LabError: for a difference that needs another lab.
    """
    old, new = record.topology, _recorded(topology)
    name = topology.lab_name
    for key in ("wan_cidr", "resolver"):
        _same(name, key, old[key], new[key])
    tuned = [*_subnet_changes(name, old["subnets"], new["subnets"])]
    known = [machine for machine in new["machines"] if machine in old["machines"]]
    for machine in known:
        tuned += _machine_changes(name, machine, old["machines"][machine], new["machines"][machine])
    # Guests come and go elsewhere; here it is the routers' rules that follow them.
    here, there = _own(old["machines"]), _own(new["machines"])
    tuned += [f"guest {guest} changed" for guest in {*old["machines"], *new["machines"]} - {*known, *here, *there}]
    return _Difference(
        added=[machine for machine in there if machine not in known],
        again=[m for m in known if m in there and (m not in record.machines or not record.machines[m].alive)],
        removed=[machine for machine in here if machine not in known],
        tuned=tuned,
        renat=[subnet for subnet in new["subnets"] if new["subnets"][subnet]["nat"] != old["subnets"][subnet]["nat"]],
    )


def _own(machines: Mapping[str, Any]) -> list[str]:
    """Return the machines that the lab starts itself."""
    return [name for name, machine in machines.items() if machine["kind"] != "guest"]


def _same(lab: str, what: str, old: object, new: object) -> None:
    if old != new:
        raise LabError(
            f"the lab '{lab}' stands with {what} {old}, the inventory says {new}; "
            "take it down with `meshctl down` first"
        )


def _subnet_changes(lab: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if list(old) != list(new):
        _same(lab, "the subnets", ", ".join(old), ", ".join(new))
    return [change for name in new for change in _fields(lab, f"subnet {name}", old[name], new[name])]


def _machine_changes(lab: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    ignored = ("public_address",)  # follows from the subnet's NAT kind
    return _fields(lab, name, {k: v for k, v in old.items() if k not in ignored}, new)


def _fields(lab: str, what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    changes = []
    for key in old:
        if old[key] == new[key]:
            continue
        if key not in _TUNABLE:
            _same(lab, f"{what}: {key}", old[key], new[key])
        changes.append(f"{what}: {key} changed")
    return changes


def environment() -> dict[str, str]:
    """Return the environment of a command that is run in a machine: a host of its own, not this process's."""
    return {
        "PATH": "/opt/meshctl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }
