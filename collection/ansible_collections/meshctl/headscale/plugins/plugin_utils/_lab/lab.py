# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a lab of namespaces up and down, and enter its machines.

`up` compares the topology with the *record* of what was built. `down` needs only the state directory, so it also works
after the inventory was edited or deleted.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .. import _paths
from .._binaries._cache import recorded_digest
from .._inventory.places import Topology
from .._inventory.topology import checked_name
from . import forkserver, plan, preflight, supervisor, tls, use
from .record import Record, difference, recorded, take_down_first
from .supervisor import LabError, Process

if TYPE_CHECKING:
    from .._host.bounds import Bounds
    from .._host.package import Job

BUILD_SECONDS: Final = 120
# The script is read to its end first, so that no command in it can read the rest.
_SCRIPT: Final = "cat > /run/lab/script.sh && exec /bin/sh /run/lab/script.sh </dev/null"


class Lab:
    """A lab of this user, identified by its name."""

    def __init__(self, name: str) -> None:
        """Name a lab. Start and read nothing.

        :raises BadInput: when the name is not valid.
        """
        self.name = checked_name(name)
        self.directory = _paths.lab_dir(name)
        self._record_path = self.directory / "record.json"

    @property
    def record(self) -> Record | None:
        """Return what was built, if the lab runs and its record can be read; see `missing`."""
        if supervisor.first_process(self.directory) is None:
            return None
        return Record.load(self._record_path)

    def missing(self) -> str:
        """Return why there is no record: the lab is not up, or its record cannot be read."""
        if supervisor.first_process(self.directory) and self._record_path.exists():
            return f"the record of the lab '{self.name}' cannot be read; run `meshctl down`, then `meshctl up`"
        return f"the lab '{self.name}' is not up; start it with `meshctl up --lab {self.name}`"

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
        if self._is_guest(name):
            return [
                "ssh",
                "-F",
                str(self.directory / "ssh" / "config"),
                name,
                *([shlex.join(command)] if command else []),
            ]
        return supervisor.enter(self.machine(name).pid, command)

    def _is_guest(self, name: str) -> bool:
        record = self.record
        return bool(record and record.topology["machines"].get(name, {}).get("kind") == "guest")

    def run_python(self, name: str, job: Job, bounds: Bounds) -> tuple[int, bytes, bytes] | None:
        """Run a script in a machine without starting Python; see `forkserver.run`."""
        if self._is_guest(name):
            return None
        return forkserver.run(job, bounds, pid=self.machine(name).pid, environment=environment())

    def details(self, topology: Topology) -> dict[str, object]:
        """Return nothing: a lab of namespaces has no details that its topology does not tell."""
        return {}

    def changes(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Return what `up` would do, one sentence each; nothing when the lab matches the topology.

        :raises LabError: when a difference cannot be applied to the running lab.
        """
        record = self.record
        if record is None:
            return [f"lab {self.name} created with {len(topology.machines)} machines"]
        differs = difference(record, topology)
        moved = [name for name in programs if record.programs.get(name) != programs[name]]
        if changed := sorted([*moved, *supervisor.replaced(self.directory, programs)]):
            raise LabError(f"the lab '{self.name}' runs another {changed[0]}; {take_down_first(self.name)}")
        return [*differs.sentences(), *(f"cable of {name} plugged in" for name in self._unplugged(record))]

    def unchanged(self, topology: Mapping[str, object], programs: Mapping[str, str]) -> bool:
        """Whether the lab was built from a topology, as it is recorded, and all of it is still there."""
        record = self.record
        if record is None or record.unfinished is not None:
            return False
        if record.topology != topology or record.programs != programs or supervisor.replaced(self.directory, programs):
            return False
        own = {name for name, machine in record.topology["machines"].items() if machine["kind"] != "guest"}
        if not own <= record.machines.keys() or not all(machine.alive for machine in record.machines.values()):
            return False
        return not self._unplugged(record)

    def up(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Bring the lab to the topology; return what was done.

        :raises LabError: when it cannot; everything that this call started is then removed again.
        """
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
        """Stop the lab even when a play uses it, and remove its files; return where `keep_logs` moved the logs."""
        if not self.directory.exists():
            return None
        with supervisor.lock(self.directory):
            return self._remove(keep_logs=keep_logs)

    def _remove(self, *, keep_logs: bool) -> Path | None:
        supervisor.stop(self.directory)
        kept = None
        if keep_logs:
            parent = _paths.state_dir() / "failed"
            _paths.make(parent)
            kept = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=parent))
            for name in ("logs", "boot", "supervisor.log", "build.sh"):
                if (self.directory / name).exists():
                    shutil.move(self.directory / name, kept / name)
        _remove_tree(self.directory)
        use.release(self.directory)
        return kept

    def pull_cable(self, name: str, *, plugged: bool) -> bool:
        """Remove the carrier from a machine's link, or restore it; return whether that changed anything."""
        if self.cable_plugged(name) == plugged:
            return False
        self._fabric(["ip", "link", "set", self._port(name), "up" if plugged else "down"])
        return True

    def cable_plugged(self, name: str) -> bool:
        """Whether a machine's link has a carrier."""
        state = json.loads(self._fabric(["ip", "-j", "link", "show", self._port(name)]))
        return "UP" in state[0]["flags"]

    def _unplugged(self, record: Record) -> list[str]:
        """Return the machines whose cable is unplugged, as after a run that was killed during an outage."""
        lines = {line["ifname"]: line for line in json.loads(self._fabric(["ip", "-j", "link", "show"]))}
        out = {port for port, line in lines.items() if "UP" not in line["flags"]}
        alive = {name for name, machine in record.machines.items() if machine.alive}
        return [name for name, port in record.topology["ports"].items() if name in alive and port in out]

    def attach(self, subnet: str, *, cable: str, bridge: str) -> bool:
        """Connect a bridge of this machine (as root) to a subnet of the lab; return whether it was not connected."""
        record, init = self.record, supervisor.first_process(self.directory)
        if record is None or init is None:
            raise LabError(self.missing())
        index = list(record.topology["subnets"]).index(subnet) + 1
        # A kernel without IPv6 does not know this setting.
        quiet = ["addrgenmode", "none"] if Path("/proc/sys/net/ipv6").exists() else []
        port = f"up-{index}"
        show = ["ip", "-j", "link", "show", "dev", cable]
        here = subprocess.run(show, capture_output=True, text=True, check=False)  # noqa: S603
        if here.returncode == 0 and json.loads(here.stdout)[0].get("master") == bridge:
            return False
        script = f"""set -e
            ip link del {cable} 2>/dev/null || true
            ip link add {cable} type veth peer name {port} netns {init.pid}
            ip link set {cable} {" ".join(quiet)} master {bridge} up"""
        laid = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
        if laid.returncode:
            raise LabError(f"{bridge} could not be connected to the lab's {subnet}: {laid.stderr.strip()}")
        self._fabric(["ip", "link", "set", port, *quiet, "master", f"br-{index}", "up"])
        return True

    @staticmethod
    def detach(cable: str) -> None:
        """Remove a bridge's cable. The kernel removes it with the lab as well, but only some time after the lab has ended."""
        subprocess.run(["ip", "link", "del", cable], capture_output=True, check=False)  # noqa: S603, S607

    def _port(self, name: str) -> str:
        """Return the fabric's end of a machine's cable."""
        self.machine(name)  # raises when the lab or the machine is missing
        record = self.record
        ports: dict[str, str] = record.topology["ports"] if record else {}
        return ports[name]

    def _fabric(self, command: Sequence[str], *, stdin: str = "", seconds: float = BUILD_SECONDS) -> str:
        init = supervisor.first_process(self.directory)
        if init is None:
            raise LabError(f"the lab '{self.name}' stopped; its log is {self.directory / 'supervisor.log'}")
        try:
            done = subprocess.run(  # noqa: S603
                supervisor.enter(init.pid, command),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                env=supervisor.ENVIRONMENT,
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
        output = self._shell(script)
        inner = {
            name: int(pid)
            for name, pid in (line.split()[1:] for line in output.splitlines() if line.startswith("machine "))
        }
        init = supervisor.first_process(self.directory)
        outer = supervisor.outer_pids(init.pid, list(inner.values())) if init else {}
        machines = {name: Process.of(outer[pid]) for name, pid in inner.items() if pid in outer}
        if lost := sorted(name for name in inner if machines.get(name) is None):
            log = self.directory / "boot" / f"{lost[0]}.log"
            raise LabError(f"machine {lost[0]} stopped as soon as it started; its log is {log}")
        return {name: process for name, process in machines.items() if process}

    def _create(self, topology: Topology, programs: dict[str, str]) -> None:
        preflight.require(topology)
        supervisor.stop(self.directory)  # a lab that was killed half-way has no record
        _remove_tree(self.directory)
        _paths.make(self.directory.parent)
        self.directory.mkdir(mode=0o700)
        try:
            for script in supervisor.SCRIPTS:
                shutil.copyfile(Path(__file__).with_name(script), self.directory / script)
            tls.write(self.directory, {machine.name: machine.names for machine in topology.hosts() if machine.names})
            (self.directory / supervisor.CHECKSUMS).write_text(_checksums(programs), encoding="utf-8")
            supervisor.share(self.directory)
            supervisor.start(self.directory, programs)
            machines = self._run(plan.build_script(topology))
            self._save(topology, programs, machines)
        except BaseException as exc:
            kept = self._remove(keep_logs=isinstance(exc, Exception))
            if isinstance(exc, LabError):
                raise LabError(f"{exc}; everything it started was removed again, its logs are in {kept}") from None
            raise

    def _change(self, record: Record, topology: Topology) -> None:
        preflight.require_lines(topology)
        differs = difference(record, topology)
        started = {*differs.added, *differs.again}
        stopped = started.union(differs.removed)
        machines = {name: process for name, process in record.machines.items() if name not in stopped}
        # Remove machines from the record first: after a crash here, the next `up` starts them again.
        unfinished = sorted(started.union(record.unfinished or ()))
        self._save_record(replace(record, machines=machines, unfinished=unfinished))
        for name in stopped.intersection(record.machines):
            supervisor.kill(record.machines[name])
        if stopped:
            self._shell(plan.remove_script(sorted(stopped), wiped=differs.removed))
        if started:
            tls.write(self.directory, {m.name: m.names for m in topology.hosts() if m.names and m.name in started})
            supervisor.share(self.directory)
            machines |= self._run(plan.build_script(topology, only=started))
        if differs.tuned or differs.added or differs.removed:
            self._shell(plan.tune_script(topology, renat=differs.renat))
        self._save(topology, record.programs, machines)

    def _shell(self, script: str) -> str:
        return self._fabric(["/bin/sh", "-c", _SCRIPT], stdin=script)

    def _save(self, topology: Topology, programs: dict[str, str], machines: dict[str, Process]) -> None:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._save_record(Record(created, recorded(topology), programs, machines))

    def _save_record(self, record: Record) -> None:
        record.save(self._record_path)


def _checksums(programs: Mapping[str, str]) -> str:
    """Return the checksums that the cache has recorded for the programs, in the format of sha256sum."""
    known = {name: recorded_digest(Path(path)) for name, path in programs.items()}
    return "".join(f"{digest}  {name}\n" for name, digest in known.items() if digest)


def names() -> list[str]:
    """Return the names of this user's labs."""
    labs = _paths.lab_dir("")
    return sorted(entry.name for entry in labs.iterdir() if entry.is_dir()) if labs.is_dir() else []


def _remove_tree(directory: Path) -> None:
    """Remove a lab's files; a machine's root can nest and close directories so that Python cannot remove them.

    :raises LabError: when they cannot be removed.
    """
    if not directory.exists():
        return
    try:
        shutil.rmtree(directory)
    except (OSError, RecursionError) as exc:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run(  # noqa: S603
                [*command, "--", str(directory)],
                env=supervisor.ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        if directory.exists():
            reason = getattr(exc, "strerror", None) or exc
            raise LabError(f"{directory} cannot be removed ({reason}): remove it as its owner, or as root") from None


def environment() -> dict[str, str]:
    """Return the environment for a command in a machine, which inherits nothing from this process."""
    return {
        "PATH": "/opt/meshctl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }
