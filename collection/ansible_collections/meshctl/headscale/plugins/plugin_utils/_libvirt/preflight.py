# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this machine can do with virtual machines and Nix; what is missing with its remedy.

Nothing here is a failure: the embedded lab needs none of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .._lab.preflight import Finding
from .._lab.supervisor import LabError
from . import acceleration, modules, xml
from .image import cache_dir, there
from .model import Settings
from .virsh import Virsh

# Program to the Debian package that has it.
PROGRAMS: Final = {
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "dnsmasq": "dnsmasq-base",
    "mke2fs": "e2fsprogs",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
BUILDER: Final = ("mmdebstrap", "mmdebstrap")
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
# Image, programs, saved guests; and the disks of one lab.
CACHE_BYTES: Final = 3 * 2**30
DISK_BYTES: Final = 2 * 2**30


def examine(settings: Settings | None = None) -> list[Finding]:
    """Return all findings, good ones too."""
    wanted = settings or Settings()
    return [*_programs(wanted), *_libvirt(wanted), _kvm(), *_disk(wanted), _nix()]


def _programs(settings: Settings) -> Iterator[Finding]:
    needed = dict(PROGRAMS)
    if not there(settings):
        needed[BUILDER[0]] = BUILDER[1]
    missing = {program: package for program, package in needed.items() if not shutil.which(program, path=_PATH)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        yield Finding(
            id="libvirt-programs",
            verdict="warn",
            what=f"virtual machines cannot be had: {', '.join(sorted(missing))} missing",
            remedy=f"install the packages {packages} (Debian's names), if you want inventory/libvirt.yml",
        )
    else:
        yield Finding(id="libvirt-programs", verdict="ok", what="the programs for virtual machines are there")


def _libvirt(settings: Settings) -> Iterator[Finding]:
    if shutil.which("virsh", path=_PATH):
        try:
            version = Virsh(settings.uri).version()
        except LabError as exc:
            said, _found, remedy = str(exc).partition("; start it")
            yield Finding(id="libvirt", verdict="warn", what=said, remedy=f"start it{remedy}")
        else:
            yield Finding(id="libvirt", verdict="ok", what=f"libvirt answers at {settings.uri} ({version})")
    if missing := modules.missing():
        yield Finding(id="libvirt-modules", verdict="warn", what=missing[0], remedy=missing[1])
    else:
        yield Finding(id="libvirt-modules", verdict="ok", what=f"{modules.COLLECTION} and libvirt's binding are there")
    if os.geteuid() != 0:
        yield Finding(
            id="libvirt-root",
            verdict="warn",
            what="virtual machines need root, and this is another user",
            remedy="run meshctl with sudo for inventory/libvirt.yml: only root can join libvirt with the lab's routers",
        )


def _kvm() -> Finding:
    verdict = acceleration.probe()
    if verdict.works:
        return Finding(id="kvm", verdict="ok", what=f"KVM runs guests ({verdict.why})")
    return Finding(
        id="kvm",
        verdict="warn",
        what=f"KVM does not run guests here: {verdict.why}",
        remedy="none needed: guests are emulated (TCG), which is slow; enable virtualisation to have KVM",
    )


def _disk(settings: Settings) -> Iterator[Finding]:
    for name, path, wanted in (("guests", cache_dir(), CACHE_BYTES), ("disks", Path(settings.disks), DISK_BYTES)):
        existing = next((parent for parent in (path, *path.parents) if parent.exists()), path)
        free = shutil.disk_usage(existing).free
        enough = free >= wanted
        yield Finding(
            id=f"libvirt-{name}",
            verdict="ok" if enough else "warn",
            what=f"{existing} has {free / 2**30:.1f} GiB free"
            + ("" if enough else f", virtual machines want {wanted >> 30} GiB"),
            remedy=""
            if enough
            else (
                "make room, or name another directory in "
                + ("MESHCTL_CACHE_DIR" if name == "guests" else "mesh_libvirt.disks")
            ),
        )


def require_disk(settings: Settings) -> None:
    """Check that there is room before anything is made; raise `LabError`."""
    for finding in _disk(settings):
        if finding.verdict != "ok":
            raise LabError(f"{finding.what}: {finding.remedy}")


def require_memory(settings: Settings, guests: int, *, accelerated: bool) -> None:
    """Check that all guests have room in this machine's memory; raise `LabError`."""
    each = settings.memory_mb + (0 if accelerated else xml.TRANSLATED_MB)
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        fields = {
            name: int(value.split()[0]) for name, _colon, value in (line.partition(":") for line in text.splitlines())
        }
        free = (fields["MemAvailable"] + fields["SwapFree"]) // 1024
    except (OSError, ValueError, KeyError, IndexError):
        return
    if free < guests * each:
        raise LabError(
            f"{guests} guests want {guests * each} MiB of memory, {each} each, and this machine has {free} MiB free: "
            "end what else runs, or lower mesh_libvirt.memory_mb"
        )


def _nix() -> Finding:
    program = shutil.which("nix")
    if not program:
        return Finding(
            id="nix",
            verdict="warn",
            what="nix is missing: the NixOS modules in nix/ cannot be evaluated here",
            remedy="install nix (Debian: nix-bin), if you want to work on nix/ or have NixOS guests",
        )
    done = subprocess.run(  # noqa: S603
        [program, "--version"], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
    )
    return Finding(id="nix", verdict="ok", what=f"{done.stdout.strip() or 'nix'} can evaluate nix/ ({program})")
