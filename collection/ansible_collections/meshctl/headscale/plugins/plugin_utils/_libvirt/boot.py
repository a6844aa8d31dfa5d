# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boot the guests of a lab, or restore them from the state that they had after their first boot."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from .._lab.lab import Lab
from .._lab.supervisor import LabError
from . import ssh, xml
from .image import Image, Progress, cache_dir, cache_lock
from .model import Guest, Network, Plan
from .modules import Modules
from .virsh import Virsh, run

T = TypeVar("T")

_OWNER: Final = "owner"
_BOOT_FILES: Final = {"vmlinuz": "vmlinuz", "initrd.img": "initrd.img", "disk.qcow2": "base.qcow2"}
_SPARE_BYTES: Final = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything that one `up` needs."""

    plan: Plan
    virsh: Virsh
    modules: Modules
    image: Image
    programs: Path
    accelerated: bool
    key: str
    progress: Progress
    owner: str
    """Marks the directory of disks as this lab's."""

    def domain(self, guest: Guest) -> str:
        """Return the definition of a guest."""
        return xml.domain_xml(self.plan, guest, accelerated=self.accelerated, arguments=self.image.arguments)

    @property
    def store(self) -> Path:
        """Return the directory with these guests as saved after their first boot."""
        return cache_dir() / f"saved-{self.key}-{self.image.mark}"

    def disk(self, guest: Guest) -> Path:
        """Return the path of a guest's disk."""
        return Path(self.plan.disk_dir) / f"{guest.host}.qcow2"


class Boot:
    """Brings the guests of one lab up."""

    def __init__(self, lab: Lab, work: Work) -> None:
        """Take the lab whose routers are up, and what is needed for its guests."""
        self._lab = lab
        self._work = work
        self.directory = lab.directory

    def run(self) -> list[str]:
        """Start or restore the guests that do not run, and wait for all; return what was done."""
        ssh.write(self.directory, self._work.image, self._work.plan.guests)
        changes = [change for network in self._work.plan.networks for change in self._network(network)]
        domains, running = self._work.virsh.domains(), self._work.virsh.running()
        absent = [guest for guest in self._work.plan.guests if guest.domain not in domains]
        stopped = [guest for guest in self._work.plan.guests if guest.domain in domains and guest.domain not in running]
        self._disks()
        restored = self._restore(absent) if absent else False
        if not restored:
            self._define(absent)
        for guest in [*([] if restored else absent), *stopped]:
            self._work.modules.domain_running(guest.domain)
        if absent or stopped:
            self._work.progress(
                "guests restored from their saved state" if restored else "guests boot: waiting for them to answer ssh"
            )
        marks = self._wait()
        if absent and not restored and len(absent) == len(self._work.plan.guests):
            self._keep()
            marks = self._wait()
        mark = hashlib.sha256((self.directory / "ca.pem").read_bytes()).hexdigest()[:32]
        resolvers = {guest.host: network.resolver for network in self._work.plan.networks for guest in network.guests}
        unready = [guest for guest in self._work.plan.guests if marks[guest.host] != mark]
        _each(unready, lambda guest: ssh.prepare(self.directory, guest, resolver=resolvers[guest.host], mark=mark))
        changes += [f"guest {guest.host} {'restored' if restored else 'booted'}" for guest in absent]
        return [*changes, *(f"guest {guest.host} started again" for guest in stopped)]

    def _network(self, network: Network) -> list[str]:
        changes = []
        if network.name not in self._work.virsh.active_networks() and self._work.modules.network_present(
            network.name, xml.network_xml(network)
        ):
            changes.append(f"network {network.name} created")
        if self._lab.attach(network.subnet, cable=network.cable, bridge=network.bridge):
            changes.append(f"network {network.name} connected to the lab's {network.subnet}")
        return changes

    def _disks(self) -> None:
        directory = Path(self._work.plan.disk_dir)
        if directory.exists() and owner(directory) != self._work.owner:
            raise LabError(f"{directory} exists but belongs to something else: remove it, or choose another lab_name")
        if not directory.exists():
            fresh = directory.with_name(f".{directory.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True, mode=0o711)
            (fresh / _OWNER).write_text(self._work.owner + "\n", encoding="utf-8")
            fresh.rename(directory)
        for source, target in [
            *((self._work.image.file(f), t) for f, t in _BOOT_FILES.items()),
            (self._work.programs, "programs.img"),
        ]:
            if not (directory / target).exists():
                _copy(source, directory / target)

    def _define(self, guests: Iterable[Guest]) -> None:
        base = Path(self._work.plan.disk_dir) / "base.qcow2"
        for guest in guests:
            run(
                [
                    "qemu-img",
                    "create",
                    "-q",
                    "-f",
                    "qcow2",
                    "-b",
                    str(base),
                    "-F",
                    "qcow2",
                    str(self._work.disk(guest)),
                ],
                what=f"the disk of guest {guest.host} could not be created",
            )
            self._work.modules.domain_defined(guest.domain, self._work.domain(guest))

    def _restore(self, guests: Sequence[Guest]) -> bool:
        """Restore guests to the state after their first boot; return whether that worked."""
        if not self._work.store.is_dir():
            return False
        try:
            for guest in guests:
                _copy(self._work.store / f"{guest.host}.qcow2", self._work.disk(guest))
                self._work.modules.domain_defined(guest.domain, self._work.domain(guest))
            _each(
                guests,
                lambda guest: self._work.virsh("restore", str(self._work.store / f"{guest.host}.saved"), seconds=300),
                at_once=2,
            )
        except LabError as exc:
            self._work.progress(f"the saved guests cannot be used ({exc}): booting instead")
            shutil.rmtree(self._work.store, ignore_errors=True)
            active, domains = self._work.virsh.active(), self._work.virsh.domains()
            for guest in guests:
                if guest.domain in domains:
                    self._work.modules.domain_absent(guest.domain, active=guest.domain in active)
            return False
        return True

    def _keep(self) -> None:
        """Save guests that have just booted, so that the next `up` can restore them."""
        needed = _SPARE_BYTES + len(self._work.plan.guests) * self._work.plan.settings.memory_mb * 2**20
        if (free := shutil.disk_usage(cache_dir()).free) < needed:
            self._work.progress(
                f"guests are not saved: {cache_dir()} has {free >> 20} MiB free, {needed >> 20} MiB are needed"
            )
            return
        with cache_lock(self._work.progress):
            fresh = self._work.store.with_name(".building-saved")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o711)
            for guest in self._work.plan.guests:
                saved = fresh / f"{guest.host}.saved"
                self._work.virsh("save", guest.domain, str(saved), seconds=300)
                _copy(self._work.disk(guest), fresh / f"{guest.host}.qcow2")
                self._work.virsh("restore", str(saved), seconds=300)
            for stale in cache_dir().glob("saved-*"):
                if _text(stale / "lab") == self._work.plan.lab_name:
                    shutil.rmtree(stale, ignore_errors=True)
            (fresh / "lab").write_text(self._work.plan.lab_name + "\n", encoding="utf-8")
            shutil.rmtree(self._work.store, ignore_errors=True)
            fresh.rename(self._work.store)

    def _wait(self) -> dict[str, str]:
        """Wait until every guest answers; return the mark of the lab that each was prepared for."""
        deadline = time.monotonic() + self._work.plan.settings.boot_seconds

        def wait(guest: Guest) -> str:
            try:
                return ssh.wait(self.directory, guest, deadline=deadline, alive=lambda: _gone(self._work.virsh, guest))
            except LabError as exc:
                console = Path(self._work.plan.disk_dir) / f"{guest.host}.console.log"
                raise LabError(
                    f"guest {guest.host} ({guest.address}) does not answer ssh within "
                    f"{self._work.plan.settings.boot_seconds} s (mesh_libvirt.boot_seconds): {exc}; "
                    f"its console ends: {_last_line(console)}"
                ) from None

        return dict(
            zip([guest.host for guest in self._work.plan.guests], _each(self._work.plan.guests, wait), strict=True)
        )


def owner(directory: Path) -> str:
    """Return the mark of the lab that a directory of disks belongs to; empty when there is none."""
    return _text(directory / _OWNER)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _gone(virsh: Virsh, guest: Guest) -> str:
    try:
        state = virsh("domstate", guest.domain).strip()
    except LabError:
        return ""  # libvirtd may be restarting; the deadline ends the wait
    return "" if state in ("running", "paused") else f"the domain {guest.domain} is {state}"


def _each(guests: Sequence[Guest], work: Callable[[Guest], T], *, at_once: int = 16) -> list[T]:
    """Call a function for every guest at once; raise the first error after all calls returned."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(work, guests))


def _copy(source: Path, target: Path) -> None:
    """Copy a disk, sparse, and only complete under its final name."""
    fresh = target.with_name(f".{target.name}.new")
    run(
        ["cp", "--reflink=auto", "--sparse=always", "--", str(source), str(fresh)],
        what=f"{target} could not be written",
        seconds=300,
    )
    fresh.replace(target)


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no console)"
    return next((line.strip() for line in reversed(lines) if line.strip()), "(nothing)")
