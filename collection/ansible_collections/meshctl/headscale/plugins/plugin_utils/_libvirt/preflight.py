# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what this machine lacks for virtual machines and Nix, each with its remedy.

Nothing here is a failure, because the embedded lab needs none of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...module_utils._errors import BadInput
from .._lab.preflight import Finding, parted
from .._lab.supervisor import LabError
from . import acceleration, modules, xml
from .image import cache_dir, there
from .model import Settings
from .virsh import Virsh

# Program to Debian package.
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
# For image, programs and saved guests; for the disks of one lab.
CACHE_BYTES: Final = 3 * 2**30
DISK_BYTES: Final = 2 * 2**30


def examine(settings: Settings | None = None) -> list[Finding]:
    """Return all findings, good ones too."""
    wanted = settings or Settings()
    try:
        cache_dir()
    except BadInput as error:
        return [Finding.warn("libvirt-guests", *parted(error))]
    return [_programs(wanted), *_libvirt(wanted), _kvm(), *_disk(wanted), _nix()]


def _programs(settings: Settings) -> Finding:
    needed = PROGRAMS if there(settings) else {**PROGRAMS, BUILDER[0]: BUILDER[1]}
    missing = sorted(program for program in needed if not shutil.which(program, path=_PATH))
    if not missing:
        return Finding.ok("libvirt-programs", "the programs for virtual machines are installed")
    packages = " ".join(sorted({needed[program] for program in missing}))
    remedy = f"install the packages {packages} (Debian's names) to use inventory/libvirt.yml"
    return Finding.warn("libvirt-programs", f"virtual machines need {', '.join(missing)}, missing here", remedy)


def _libvirt(settings: Settings) -> Iterator[Finding]:
    if shutil.which("virsh", path=_PATH):
        try:
            version = Virsh(settings.uri).version()
        except LabError as exc:
            said, _found, remedy = str(exc).partition("; start it")
            yield Finding.warn("libvirt", said, f"start it{remedy}")
        else:
            yield Finding.ok("libvirt", f"libvirt answers at {settings.uri} ({version})")
    if missing := modules.missing():
        yield Finding.warn("libvirt-modules", *missing)
    else:
        yield Finding.ok("libvirt-modules", f"{modules.COLLECTION} and libvirt's Python binding are installed")
    if os.geteuid() != 0:
        remedy = "use sudo for inventory/libvirt.yml: only root can connect libvirt with the lab's routers"
        yield Finding.warn("libvirt-root", "virtual machines need root", remedy)


def _kvm() -> Finding:
    verdict = acceleration.probe()
    if verdict.works:
        return Finding.ok("kvm", f"KVM runs guests ({verdict.why})")
    remedy = "none needed: guests are emulated (TCG), which is slow; enable virtualisation to use KVM"
    return Finding.warn("kvm", f"KVM does not run guests here: {verdict.why}", remedy)


def _disk(settings: Settings) -> Iterator[Finding]:
    for name, path, wanted, variable in (
        ("guests", cache_dir(), CACHE_BYTES, "MESHCTL_CACHE_DIR"),
        ("disks", Path(settings.disks), DISK_BYTES, "mesh_libvirt.disks"),
    ):
        existing = next((parent for parent in (path, *path.parents) if parent.exists()), path)
        free = shutil.disk_usage(existing).free
        what = f"{existing} has {free / 2**30:.1f} GiB free"
        if free >= wanted:
            yield Finding.ok(f"libvirt-{name}", what)
        else:
            remedy = f"free some space, or set {variable} to another directory"
            yield Finding.warn(f"libvirt-{name}", f"{what}, virtual machines need {wanted >> 30} GiB", remedy)


def require_disk(settings: Settings) -> None:
    """Check that there is room before anything is built; raise `LabError`."""
    for finding in _disk(settings):
        if finding.verdict != "ok":
            raise LabError(f"{finding.what}: {finding.remedy}")


def require_memory(settings: Settings, guests: int, *, accelerated: bool) -> None:
    """Check that all guests fit into this machine's memory; raise `LabError`."""
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
            f"{guests} guests need {guests * each} MiB of memory, {each} each, and this machine has {free} MiB free: "
            "stop other programs, or lower mesh_libvirt.memory_mb"
        )


def _nix() -> Finding:
    program = shutil.which("nix")
    if not program:
        remedy = "install nix (Debian: nix-bin) to work on nix/ or to have NixOS guests"
        return Finding.warn("nix", "nix is missing, so the NixOS modules in nix/ cannot be evaluated", remedy)
    done = subprocess.run(  # noqa: S603
        [program, "--version"], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
    )
    return Finding.ok("nix", f"{done.stdout.strip() or 'nix'} can evaluate nix/ ({program})")
