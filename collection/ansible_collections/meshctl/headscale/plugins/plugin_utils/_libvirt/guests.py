# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab whose hosts are virtual machines: how it comes and goes.

Routers, relay and their wires are the embedded lab's (`_lab.lab.Lab`). Here are the networks and domains in libvirt,
the cables between the two, and the saved states that bring guests back in seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from .._inventory.topology import Topology
from .._lab import supervisor
from .._lab.lab import Lab
from .._lab.supervisor import LabError
from . import acceleration, preflight, ssh, xml
from .image import Image, Progress, cache_dir, cache_lock, ensure_image, ensure_programs
from .model import Guest, Identity, Network, Plan, Settings, plan_guests, with_guests
from .modules import Modules, RunModule
from .virsh import Virsh, run

T = TypeVar("T")

_STATE: Final = "libvirt.json"
_OWNER: Final = "owner"
# Is there when guests run on KVM: budgets of time depend on it.
_KVM: Final = "kvm"
_BOOT_FILES: Final = {"vmlinuz": "vmlinuz", "initrd.img": "initrd.img", "disk.qcow2": "base.qcow2"}
_SPARE_BYTES: Final = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a lab has in libvirt: enough to remove it when the inventory is gone."""

    uri: str
    disk_dir: str
    key: str

    @classmethod
    def load(cls, directory: Path) -> Made | None:
        """Return what was recorded, if it can be read."""
        try:
            data = json.loads((directory / _STATE).read_text(encoding="utf-8"))
            return cls(uri=str(data["uri"]), disk_dir=str(data["disk_dir"]), key=str(data["key"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, directory: Path) -> None:
        """Record it, before the first thing is made."""
        (directory / _STATE).write_text(json.dumps(self.__dict__, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What one `up` works with."""

    plan: Plan
    virsh: Virsh
    modules: Modules
    image: Image
    programs: Path
    accelerated: bool
    key: str
    progress: Progress

    def domain(self, guest: Guest) -> str:
        return xml.domain_xml(self.plan, guest, accelerated=self.accelerated, arguments=self.image.arguments)

    @property
    def store(self) -> Path:
        """Where these very guests are kept as they were after their first boot."""
        return cache_dir() / f"saved-{self.key}"

    def disk(self, guest: Guest) -> Path:
        return Path(self.plan.disk_dir) / f"{guest.host}.qcow2"


class Guests:
    """The virtual machines of one lab of this user, by name."""

    def __init__(self, name: str, run_module: RunModule) -> None:
        """Name a lab, and what runs modules; nothing is started or read."""
        self.lab = Lab(name)
        self._run_module = run_module
        self.directory = self.lab.directory
        self._identity = Identity(name, str(self.directory))

    @property
    def there(self) -> bool:
        """Whether there is anything of this lab."""
        return self.directory.exists()

    @property
    def made(self) -> Made | None:
        """Return what is recorded of the lab in libvirt, if anything is."""
        return Made.load(self.directory)

    def up(self, topology: Topology, settings: Settings, programs: dict[str, str], progress: Progress) -> list[str]:
        """Bring lab and guests to the topology; return what was done.

        :raises LabError: when that cannot be; what this call made is then taken away again.
        """
        work = self._prepare(topology, settings, programs, progress)
        with self._lock():
            self._refuse_foreign(work)
            record = self.lab.record
            if record is None:  # nothing, or what a crash or a reboot left
                self._remove_guests(work.plan.settings.uri, Path(work.plan.disk_dir))
            else:
                self._refuse_change(work.key)
            changes = self.lab.up(with_guests(topology), programs)
            try:
                return [*changes, *self._bring(work)]
            except BaseException as exc:
                if record is not None:
                    raise
                kept = self._remove(work.plan.settings.uri, Path(work.plan.disk_dir), keep_logs=True)
                if isinstance(exc, LabError):
                    raise LabError(f"{exc}; what was made has been removed again, the logs are in {kept}") from None
                raise

    def changes(self, topology: Topology, settings: Settings, programs: dict[str, str]) -> list[str]:
        """Return what `up` would do, as far as that can be told without making an image."""
        plan = plan_guests(topology, settings, directory=str(self.directory))
        changes = self.lab.changes(with_guests(topology), programs)
        running = Virsh(settings.uri).running()
        return [*changes, *(f"guest {guest.host} started" for guest in plan.guests if guest.domain not in running)]

    def down(self, *, keep_logs: bool = False) -> Path | None:
        """Remove all that this lab has; return where the logs are, if they were to be kept.

        :raises LabError: when libvirt cannot be asked; what is recorded then stays, for another try.
        """
        made = Made.load(self.directory)
        if made is None and not self.there:
            return None
        with self._lock():
            if made is None:  # it is recorded before anything is made in libvirt
                return self.lab.down(keep_logs=keep_logs)
            return self._remove(made.uri, Path(made.disk_dir), keep_logs=keep_logs)

    def pull_cable(self, host: str, *, plugged: bool) -> bool:
        """Take the carrier from a guest's line, or give it back; whether that changed anything."""
        if self.cable_plugged(host) == plugged:
            return False
        virsh, domain, mac = self._line(host)
        virsh("domif-setlink", domain, mac, "up" if plugged else "down")
        return True

    def cable_plugged(self, host: str) -> bool:
        """Whether a guest's line is plugged in."""
        virsh, domain, mac = self._line(host)
        return virsh("domif-getlink", domain, mac).split()[-1] == "up"

    def _line(self, host: str) -> tuple[Virsh, str, str]:
        made = Made.load(self.directory)
        if made is None:
            raise LabError(f"the lab '{self.lab.name}' has no guests; start it with `meshctl up`")
        virsh = Virsh(made.uri)
        domain = f"{self._identity.prefix}-{host}"
        lines = [line.split() for line in virsh("domiflist", domain).splitlines()]
        macs = [words[-1] for words in lines if words and words[-1].startswith("52:54:")]
        if not macs:
            raise LabError(f"guest {host} has no line: the domain {domain} was changed; take the lab down and up")
        return virsh, domain, macs[0]

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return supervisor.lock(self.directory.with_name(f"{self.lab.name}.libvirt"))

    def _prepare(self, topology: Topology, settings: Settings, programs: dict[str, str], progress: Progress) -> _Work:
        if os.geteuid() != 0:
            raise LabError(
                "virtual machines need root: virtual cables join their networks in libvirt with the lab's routers, and "
                "only root can lay them; run meshctl as root (sudo), or use inventory/lab.yml, which needs no root"
            )
        with_guests(topology)  # says what is wrong before anything is built
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
        progress(
            f"guests run {'on KVM' if accelerated else 'emulated (TCG): minutes instead of seconds for the first boot'}"
        )
        marks = [
            version,
            image.name,
            image.arguments,
            disk.name,
            *(xml.domain_xml(plan, guest, accelerated=accelerated) for guest in plan.guests),
        ]
        key = hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16]
        return _Work(
            plan=plan, virsh=virsh, modules=modules, image=image, programs=disk,
            accelerated=accelerated, key=key, progress=progress,
        )  # fmt: skip

    # --- What libvirt has ---------------------------------------------------------------------------------------------

    def _refuse_foreign(self, work: _Work) -> None:
        domains, networks = work.virsh.domains(), work.virsh.networks()
        taken = [("domain", guest.domain, domains) for guest in work.plan.guests]
        taken += [("network", network.name, networks) for network in work.plan.networks]
        for kind, name, found in taken:
            if name in found and not self._identity.owns(kind, name, found[name]):
                raise LabError(
                    f"libvirt has a {kind} '{name}' that this lab did not make: "
                    "rename or remove it, or choose another lab_name"
                )

    def _refuse_change(self, key: str) -> None:
        made = Made.load(self.directory)
        if made is None:
            raise LabError(
                f"the lab '{self.lab.name}' stands without virtual machines; take it down with `meshctl down` first"
            )
        if made.key != key:
            raise LabError(
                f"the lab '{self.lab.name}' stands with other guests (image, programs, memory or addresses changed); "
                "take it down with `meshctl down` first"
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
        if _owner(disks) == self._owner_mark:
            shutil.rmtree(disks)

    @property
    def _owner_mark(self) -> str:
        return self._identity.uuid("disks", self._identity.prefix)

    # --- Bringing guests up -------------------------------------------------------------------------------------------

    def _bring(self, work: _Work) -> list[str]:
        Made(uri=work.plan.settings.uri, disk_dir=work.plan.disk_dir, key=work.key).save(self.directory)
        if work.accelerated:
            (self.directory / _KVM).touch()
        ssh.write(self.directory, work.image, work.plan.guests)
        changes = [change for network in work.plan.networks for change in self._network(work, network)]
        domains, running = work.virsh.domains(), work.virsh.running()
        absent = [guest for guest in work.plan.guests if guest.domain not in domains]
        stopped = [guest for guest in work.plan.guests if guest.domain in domains and guest.domain not in running]
        self._disks(work)
        restored = self._restore(work, absent) if absent else False
        if not restored:
            self._define(work, absent)
        for guest in [*([] if restored else absent), *stopped]:
            work.modules.domain_running(guest.domain)
        if absent or stopped:
            work.progress(
                "guests restored from their saved state" if restored else "guests boot: waiting for them to answer ssh"
            )
        marks = self._wait(work)
        if absent and not restored and len(absent) == len(work.plan.guests):
            self._keep(work)
            marks = self._wait(work)
        mark = hashlib.sha256((self.directory / "ca.pem").read_bytes()).hexdigest()[:32]
        resolvers = {guest.host: network.resolver for network in work.plan.networks for guest in network.guests}
        unready = [guest for guest in work.plan.guests if marks[guest.host] != mark]
        _each(unready, lambda guest: ssh.prepare(self.directory, guest, resolver=resolvers[guest.host], mark=mark))
        changes += [f"guest {guest.host} {'restored' if restored else 'booted'}" for guest in absent]
        return [*changes, *(f"guest {guest.host} started again" for guest in stopped)]

    def _network(self, work: _Work, network: Network) -> list[str]:
        changes = []
        if network.name not in work.virsh.active_networks() and work.modules.network_present(
            network.name, xml.network_xml(network)
        ):
            changes.append(f"network {network.name} made")
        if self.lab.attach(network.subnet, cable=network.cable, bridge=network.bridge):
            changes.append(f"network {network.name} joined with the lab's {network.subnet}")
        return changes

    def _disks(self, work: _Work) -> None:
        directory = Path(work.plan.disk_dir)
        if directory.exists() and _owner(directory) != self._owner_mark:
            raise LabError(f"{directory} is there and is not this lab's: remove it, or choose another lab_name")
        if not directory.exists():
            fresh = directory.with_name(f".{directory.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True, mode=0o711)
            (fresh / _OWNER).write_text(self._owner_mark + "\n", encoding="utf-8")
            fresh.rename(directory)
        for source, target in [
            *((work.image.file(f), t) for f, t in _BOOT_FILES.items()),
            (work.programs, "programs.img"),
        ]:
            if not (directory / target).exists():
                _copy(source, directory / target)

    def _define(self, work: _Work, guests: Iterable[Guest]) -> None:
        base = Path(work.plan.disk_dir) / "base.qcow2"
        for guest in guests:
            run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(work.disk(guest))],
                what=f"the disk of guest {guest.host} could not be made",
            )
            work.modules.domain_defined(guest.domain, work.domain(guest))

    def _restore(self, work: _Work, guests: Sequence[Guest]) -> bool:
        """Bring guests back as they were after their first boot; whether that could be done."""
        if not work.store.is_dir():
            return False
        try:
            for guest in guests:
                _copy(work.store / f"{guest.host}.qcow2", work.disk(guest))
                work.modules.domain_defined(guest.domain, work.domain(guest))
            _each(
                guests,
                lambda guest: work.virsh("restore", str(work.store / f"{guest.host}.saved"), seconds=300),
                at_once=2,
            )
        except LabError as exc:
            work.progress(f"the saved guests cannot be used ({exc}): booting instead")
            shutil.rmtree(work.store, ignore_errors=True)
            active, domains = work.virsh.active(), work.virsh.domains()
            for guest in guests:
                if guest.domain in domains:
                    work.modules.domain_absent(guest.domain, active=guest.domain in active)
            return False
        return True

    def _keep(self, work: _Work) -> None:
        """Save guests that have just booted, so that the next `up` need not wait for that."""
        needed = _SPARE_BYTES + len(work.plan.guests) * work.plan.settings.memory_mb * 2**20
        if (free := shutil.disk_usage(cache_dir()).free) < needed:
            work.progress(
                f"guests are not saved for the next time: {cache_dir()} has {free >> 20} MiB, {needed >> 20} are wanted"
            )
            return
        with cache_lock(work.progress):
            fresh = work.store.with_name(".building-saved")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o711)
            for guest in work.plan.guests:
                saved = fresh / f"{guest.host}.saved"
                work.virsh("save", guest.domain, str(saved), seconds=300)
                _copy(work.disk(guest), fresh / f"{guest.host}.qcow2")
                work.virsh("restore", str(saved), seconds=300)
            for stale in cache_dir().glob("saved-*"):
                if _lab_of(stale) == work.plan.lab_name:
                    shutil.rmtree(stale, ignore_errors=True)
            (fresh / "lab").write_text(work.plan.lab_name + "\n", encoding="utf-8")
            shutil.rmtree(work.store, ignore_errors=True)
            fresh.rename(work.store)

    def _wait(self, work: _Work) -> dict[str, str]:
        """Wait until every guest answers; return the mark of the lab that each was made ready for."""
        deadline = time.monotonic() + work.plan.settings.boot_seconds

        def wait(guest: Guest) -> str:
            try:
                return ssh.wait(self.directory, guest, deadline=deadline, alive=lambda: _gone(work.virsh, guest))
            except LabError as exc:
                console = Path(work.plan.disk_dir) / f"{guest.host}.console.log"
                raise LabError(
                    f"guest {guest.host} ({guest.address}) does not answer ssh within "
                    f"{work.plan.settings.boot_seconds} s (mesh_libvirt.boot_seconds): {exc}; "
                    f"its console ends: {_last_line(console)}"
                ) from None

        return dict(zip([guest.host for guest in work.plan.guests], _each(work.plan.guests, wait), strict=True))


def _gone(virsh: Virsh, guest: Guest) -> str:
    try:
        state = virsh("domstate", guest.domain).strip()
    except LabError:
        return ""  # libvirtd may be on its way back: the deadline ends this
    return "" if state in ("running", "paused") else f"the domain {guest.domain} is {state}"


def _each(guests: Sequence[Guest], work: Callable[[Guest], T], *, at_once: int = 16) -> list[T]:
    """Do something for every guest at once; the first error is raised when all have ended."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(work, guests))


def _owner(directory: Path) -> str:
    try:
        return (directory / _OWNER).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _lab_of(store: Path) -> str:
    try:
        return (store / "lab").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _copy(source: Path, target: Path) -> None:
    """Copy a disk: whole or not at all, and without its holes."""
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
