# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a lab whose hosts are virtual machines up and down.

Routers, relay and their links belong to the embedded lab (`_lab.lab.Lab`). This module adds the networks and domains in
libvirt, and the cables between the two.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._inventory.places import Topology
from .._lab import supervisor
from .._lab.lab import Lab
from .._lab.record import Record, take_down_first
from .._lab.supervisor import LabError
from . import acceleration, preflight, ssh, xml
from .boot import Boot, Work, owner
from .image import Progress, ensure_image, ensure_programs
from .model import Identity, Plan, Settings, as_facts, plan_guests, with_guests
from .modules import Modules, RunModule
from .virsh import Virsh

_STATE: Final = "libvirt.json"
# Exists when guests run on KVM; the inventory sets its time budgets by it.
_KVM: Final = "kvm"


@dataclass(frozen=True, kw_only=True)
class Made:
    """Where a lab has its domains and disks: enough to remove them without the inventory."""

    uri: str
    disk_dir: str
    key: str
    image: str = ""
    """The mark of the image; empty for a lab of an older version."""

    @classmethod
    def load(cls, directory: Path) -> Made | None:
        """Return what was recorded; `None` when there is none or it cannot be read."""
        try:
            data = json.loads((directory / _STATE).read_text(encoding="utf-8"))
            known = {name: str(data[name]) for name in ("uri", "disk_dir", "key")}
            return cls(**known, image=str(data.get("image", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, directory: Path) -> None:
        """Record it. Call this before creating anything in libvirt."""
        fresh = (directory / _STATE).with_suffix(".new")
        fresh.write_text(json.dumps(self.__dict__, indent=1) + "\n", encoding="utf-8")
        fresh.replace(directory / _STATE)


class Guests:
    """The virtual machines of one of this user's labs."""

    def __init__(
        self, name: str, run_module: RunModule, settings: Settings | None = None, progress: Progress = print
    ) -> None:
        """Name a lab, and say how to run modules. Start and read nothing.

        :raises BadInput: when the name is not valid.
        """
        self.lab = Lab(name)
        self.name = self.lab.name
        self.directory = self.lab.directory
        self._run_module = run_module
        self._settings = settings or Settings()
        self._progress = progress
        self._identity = Identity(name, str(self.directory))

    @property
    def record(self) -> Record | None:
        """Return what was built; see `Lab.record`."""
        return self.lab.record

    def missing(self) -> str:
        """Return why there is no record."""
        return self.lab.missing()

    @property
    def made(self) -> Made | None:
        """Return what the lab has in libvirt, if anything is recorded."""
        return Made.load(self.directory)

    def enter(self, name: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` on a guest or in a machine."""
        return self.lab.enter(name, command)

    def details(self, topology: Topology) -> dict[str, object]:
        """Return what the task reports about the guests."""
        plan = plan_guests(topology, self._settings, directory=str(self.directory))
        return {"guests": as_facts(plan)}

    def up(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Bring the lab and its guests to the topology; return what was done.

        :raises LabError: when it cannot; everything that this call created is then removed again.
        """
        work = self._prepare(topology, dict(programs))
        with self._lock():
            self._refuse_foreign(work)
            record = self.record
            uri, disks = work.plan.settings.uri, Path(work.plan.disk_dir)
            if record is None:  # nothing, or the remains of a crash or a reboot
                if before := self.made:  # maybe with other settings
                    self._remove_guests(before.uri, Path(before.disk_dir))
                self._remove_guests(uri, disks)
            else:
                self._refuse_change(work, record)
            try:
                changes = self.lab.up(with_guests(topology), programs)
                Made(uri=uri, disk_dir=str(disks), key=work.key, image=work.image.mark).save(self.directory)
                if work.accelerated:
                    (self.directory / _KVM).touch()
                for host in self._unplugged(work.plan):
                    self.pull_cable(host, plugged=True)
                    changes.append(f"cable of {host} plugged in")
                return [*changes, *Boot(self.lab, work).run()]
            except BaseException as exc:
                if record is not None:
                    raise
                if not self.directory.exists():  # the lab could not be built, or was removed meanwhile
                    self._remove_guests(uri, disks)
                    raise
                kept = self._remove(uri, disks, keep_logs=isinstance(exc, Exception))
                if isinstance(exc, LabError):
                    raise LabError(f"{exc}; everything it created was removed again, its logs are in {kept}") from None
                raise

    def changes(self, topology: Topology, programs: Mapping[str, str]) -> list[str]:
        """Return what `up` would do, as far as that is known without building an image."""
        plan = plan_guests(topology, self._settings, directory=str(self.directory))
        changes = self.lab.changes(with_guests(topology), programs)
        running = Virsh(self._settings.uri).running()
        changes += [f"guest {guest.host} started" for guest in plan.guests if guest.domain not in running]
        return [*changes, *(f"cable of {host} plugged in" for host in self._unplugged(plan))]

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """Remove everything that this lab has; return where `keep_logs` moved the logs.

        :raises LabError: when libvirt does not answer; the record then remains for another attempt.
        """
        if not self.directory.exists():
            return None
        with self._lock():
            made = self.made  # not before: an `up` may just have recorded it
            if made is None:  # nothing was created in libvirt: that is recorded first
                return self.lab.down(keep_logs=keep_logs)
            return self._remove(made.uri, Path(made.disk_dir), keep_logs=keep_logs)

    def pull_cable(self, host: str, *, plugged: bool) -> bool:
        """Remove the carrier from a guest's link, or restore it; return whether that changed anything."""
        if self.cable_plugged(host) == plugged:
            return False
        virsh, domain, mac = self._line(host)
        virsh("domif-setlink", domain, mac, "up" if plugged else "down")
        return True

    def cable_plugged(self, host: str) -> bool:
        """Whether a guest's link has a carrier."""
        virsh, domain, mac = self._line(host)
        return virsh("domif-getlink", domain, mac).split()[-1] == "up"

    def _unplugged(self, plan: Plan) -> list[str]:
        """Return the guests whose cable is unplugged, as after a run that was killed during an outage."""
        made = self.made
        active = Virsh(made.uri).active() if made else set()
        return [guest.host for guest in plan.guests if guest.domain in active and not self.cable_plugged(guest.host)]

    def _line(self, host: str) -> tuple[Virsh, str, str]:
        made = self.made
        if made is None:
            raise LabError(f"the lab '{self.lab.name}' has no guests; start it with `meshctl up`")
        virsh = Virsh(made.uri)
        domain = f"{self._identity.prefix}-{host}"
        lines = [line.split() for line in virsh("domiflist", domain).splitlines()]
        macs = [words[-1] for words in lines if words and words[-1].startswith("52:54:")]
        if not macs:
            raise LabError(
                f"guest {host} has no network interface: its domain {domain} was changed; run `meshctl down`, then `meshctl up`"
            )
        return virsh, domain, macs[0]

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return supervisor.lock(self.directory.with_name(f"{self.name}.libvirt"), lab=self.name)

    def _prepare(self, topology: Topology, programs: dict[str, str]) -> Work:
        settings, progress = self._settings, self._progress
        if os.geteuid() != 0:
            raise LabError(
                "virtual machines need root, because only root can connect their libvirt networks to the lab's routers; "
                "run meshctl as root (sudo), or use inventory/lab.yml, which does not need root"
            )
        with_guests(topology)  # raises before anything is built
        virsh, modules = Virsh(settings.uri), Modules(settings.uri, self._run_module)
        version = virsh.version()
        if self.lab.record is None:
            modules.require()
            preflight.require_disk(settings)
        plan = plan_guests(topology, settings, directory=str(self.directory))
        image, disk = ensure_image(settings, progress), ensure_programs(programs, progress)
        accelerated = acceleration.choose(settings.accelerator)
        if self.lab.record is None:
            preflight.require_memory(settings, len(plan.guests), accelerated=accelerated)
        progress(f"guests run {'on KVM' if accelerated else 'emulated (TCG): the first boot takes minutes'}")
        marks = [
            version,
            image.name,
            image.arguments,
            disk.name,
            *(xml.domain_xml(plan, guest, accelerated=accelerated) for guest in plan.guests),
        ]
        key = hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16]
        return Work(
            plan=plan, virsh=virsh, modules=modules, image=image, programs=disk,
            accelerated=accelerated, key=key, progress=progress, owner=self._owner_mark,
        )  # fmt: skip

    def _refuse_foreign(self, work: Work) -> None:
        domains, networks = work.virsh.domains(), work.virsh.networks()
        taken = [("domain", guest.domain, domains) for guest in work.plan.guests]
        taken += [("network", network.name, networks) for network in work.plan.networks]
        for kind, name, found in taken:
            if name in found and not self._identity.owns(kind, name, found[name]):
                raise LabError(
                    f"libvirt has a {kind} '{name}' that this lab did not create: "
                    "rename or remove it, or choose another lab_name"
                )

    def _refuse_change(self, work: Work, record: Record) -> None:
        made = self.made
        if made is None:
            if any(machine["kind"] == "guest" for machine in record.topology["machines"].values()):
                return  # an `up` was killed before it created anything in libvirt
            raise LabError(
                f"the lab '{self.lab.name}' is up without virtual machines; {take_down_first(self.lab.name)}"
            )
        if made.key != work.key or made.image not in ("", work.image.mark):
            raise LabError(
                f"the lab '{self.lab.name}' is up with other guests (image, programs, memory or addresses changed); "
                f"{take_down_first(self.lab.name)}"
            )

    def _remove(self, uri: str, disks: Path, *, keep_logs: bool) -> Path | None:
        if keep_logs:
            self._keep_consoles(disks)
        self._remove_guests(uri, disks)
        ssh.hang_up(self.directory)
        return self.lab.down(keep_logs=keep_logs)

    def _keep_consoles(self, disks: Path) -> None:
        for console in disks.glob("*.console.log"):
            target = self.directory / "logs" / console.name.removesuffix(".console.log")
            with contextlib.suppress(OSError):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(console, target / "console.log")

    def _remove_guests(self, uri: str, disks: Path) -> None:
        virsh, modules = Virsh(uri), Modules(uri, self._run_module)
        active = virsh.active()
        for name, found in virsh.domains().items():
            if self._identity.owns("domain", name, found):
                modules.domain_absent(name, active=name in active)
        for name, found in virsh.networks().items():
            if self._identity.owns("network", name, found):
                modules.network_absent(name)
        for _index, link in socket.if_nameindex():
            if link.startswith(self._identity.interfaces("c")):
                self.lab.detach(link)
        if owner(disks) == self._owner_mark:
            shutil.rmtree(disks)

    @property
    def _owner_mark(self) -> str:
        return self._identity.uuid("disks", self._identity.prefix)
