# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out whether KVM really runs guests on this machine.

Neither an accessible /dev/kvm nor libvirt's answer proves it: on some hosts a guest starts, but its kernel is emulated a
hundred times slower than with TCG. So this module boots a guest of one sector and measures its time.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._lab.supervisor import LabError
from .model import Accelerator

# Real KVM needs a tenth of a second for this many iterations, TCG between half a second and two.
TURNS: Final = 200_000_000
_SECONDS: Final = 5.0
_QEMU: Final = "qemu-system-x86_64"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether KVM works, and how that was found out."""

    works: bool
    why: str


def boot_sector(turns: int = TURNS) -> bytes:
    """Return a boot sector that counts down and then makes QEMU exit with status 1."""
    # mov ecx, turns; 1: dec ecx; jnz 1b; mov al, 0; out 0xf4, al; hlt
    code = b"\x66\xb9" + struct.pack("<I", turns) + b"\x66\x49\x75\xfc" + b"\xb0\x00\xe6\xf4\xf4"
    return code.ljust(510, b"\0") + b"\x55\xaa"


def probe() -> Verdict:
    """Run a small guest on KVM and return the result."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        there = Path("/dev/kvm").exists()
        return Verdict(works=False, why="/dev/kvm is closed to this user" if there else "there is no /dev/kvm")
    if not shutil.which(_QEMU):
        return Verdict(works=False, why=f"{_QEMU} is missing")
    with tempfile.TemporaryDirectory(prefix="meshctl-kvm-") as directory:
        disk = Path(directory) / "boot"
        disk.write_bytes(boot_sector())
        return _try(disk)


def _try(disk: Path) -> Verdict:
    command = [
        _QEMU, "-nodefaults", "-display", "none", "-accel", "kvm", "-cpu", "host", "-m", "16",
        "-device", "isa-debug-exit,iobase=0xf4", "-drive", f"file={disk},format=raw,if=ide,snapshot=on",
    ]  # fmt: skip
    began = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Verdict(
            works=False, why=f"a guest of one sector did not end within {_SECONDS:.0f} s: its instructions are emulated"
        )
    if done.returncode != 1:
        said = (done.stderr.strip().splitlines() or ["no word"])[0]
        return Verdict(works=False, why=f"QEMU cannot run a guest on it: {said.removeprefix(f'{_QEMU}: ')}")
    return Verdict(works=True, why=f"a guest of one sector ran in {time.monotonic() - began:.1f} s")


def choose(accelerator: Accelerator) -> bool:
    """Return whether guests run on KVM; raise `LabError` when the settings require KVM and it does not work."""
    if accelerator == "tcg":
        return False
    verdict = probe()
    if accelerator == "kvm" and not verdict.works:
        raise LabError(
            f"mesh_libvirt.accelerator is kvm, and KVM does not run guests here: {verdict.why}; use auto or tcg"
        )
    return verdict.works
