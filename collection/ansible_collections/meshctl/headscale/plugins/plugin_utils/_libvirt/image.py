# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the disk that all guests start from, and the disk with the mesh's programs.

Both are made once and kept in the cache, under names that say what they were made of. The image knows the key
that may enter and shows a host key that is known here: no guest is trusted on first use.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...module_utils._home import expanded
from .. import _paths
from .._lab.supervisor import LabError
from . import apt
from .model import Settings
from .virsh import run

Progress = Callable[[str], None]

BUILD_SECONDS: Final = 1800.0
GUEST_PROGRAMS: Final = ("headscale", "tailscale", "tailscaled")
FILES: Final = ("vmlinuz", "initrd.img", "disk.qcow2", "key", "host_key.pub")
_SCRIPT: Final = Path(__file__).with_name("image.sh")


@dataclass(frozen=True, kw_only=True)
class Image:
    """A directory with the files that guests boot from."""

    directory: Path

    @property
    def name(self) -> str:
        """Return the name that identifies this image."""
        return self.directory.name

    @property
    def arguments(self) -> str:
        """Return extra kernel arguments of this image, such as NixOS's `init=`."""
        extra = self.directory / "cmdline"
        return extra.read_text(encoding="utf-8").strip() if extra.is_file() else ""

    @property
    def mark(self) -> str:
        """Return what differs in an image that was rebuilt under the same name."""
        disk = self.file("disk.qcow2").stat()
        marks = self.file("host_key.pub").read_bytes() + f"{disk.st_size} {disk.st_mtime_ns}".encode()
        return hashlib.sha256(marks).hexdigest()[:12]

    def file(self, name: str) -> Path:
        """Return one of the image's files."""
        return self.directory / name


def cache_dir() -> Path:
    """Return the directory of images, programs and saved states."""
    return _paths.cache_dir() / "guests"


@contextlib.contextmanager
def cache_lock(progress: Progress) -> Iterator[None]:
    """Let only one meshctl at a time write to the cache."""
    _paths.make(cache_dir())
    with (cache_dir() / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another meshctl is building the guests' image: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def ensure_image(settings: Settings, progress: Progress) -> Image:
    """Return the guests' image; build it first if necessary."""
    if settings.image == "nixos":
        return _given(expanded(settings.image_path).resolve())
    image = Image(directory=cache_dir() / debian_name(settings))
    if _complete(image):
        return image
    if platform.machine() != "x86_64":
        raise LabError(
            f"the Debian guest image is built for x86_64, and this machine is {platform.machine()}; use the backend lab"
        )
    with cache_lock(progress):
        if not _complete(image):
            progress(f"building the guests' image from Debian packages ({settings.suite}; about a minute, once)")
            _build(image, settings)
    return image


def debian_name(settings: Settings) -> str:
    """Return the name of the image that the current script builds."""
    return f"debian-{settings.suite}-{hashlib.sha256(_SCRIPT.read_bytes()).hexdigest()[:12]}"


def there(settings: Settings) -> bool:
    """Whether the image is already built."""
    return settings.image == "debian" and _complete(Image(directory=cache_dir() / debian_name(settings)))


def _complete(image: Image) -> bool:
    return all(image.file(name).is_file() for name in FILES)


def _given(directory: Path) -> Image:
    image = Image(directory=directory)
    if missing := [name for name in FILES if not image.file(name).is_file()]:
        raise LabError(f"mesh_libvirt.image_path {directory} has no {missing[0]}; it must hold {', '.join(FILES)}")
    return image


def _build(image: Image, settings: Settings) -> None:
    for stale in image.directory.parent.glob(".building-*"):  # left by a killed build: we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    work = image.directory.with_name(f".building-{image.name}")
    work.mkdir(mode=0o700)
    try:
        for name in ("key", "host_key"):
            run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "meshctl", "-f", str(work / name)],
                what="an SSH key could not be made",
            )
        shutil.copyfile(work / "key.pub", work / "authorized_keys")
        _run_script(work, settings)
        for entry in work.iterdir():
            if entry.name not in FILES:
                entry.unlink()
        shutil.rmtree(image.directory, ignore_errors=True)
        work.rename(image.directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_script(work: Path, settings: Settings) -> None:
    log = work.parent / "image.log"
    sources = apt.debian_sources(settings.suite)
    for name, content in {**sources, "apt.conf": apt.options()}.items():
        (work / name).write_text(content, encoding="utf-8")
    command = ["/bin/sh", str(_SCRIPT), settings.suite, *(str(work / name) for name in sources)]
    # Ends with this process and all its children, however this process ends.
    guard = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    with log.open("wb") as out:
        try:
            done = subprocess.run(  # noqa: S603
                [*guard, *command], cwd=work, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                timeout=BUILD_SECONDS, check=False,
                env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )  # fmt: skip
        except FileNotFoundError as exc:
            raise LabError(
                f"the guests' image cannot be built: {exc.filename} is missing; `meshctl doctor` names its package"
            ) from None
        except subprocess.TimeoutExpired:
            raise LabError(
                f"the guests' image was not built within {BUILD_SECONDS / 60:.0f} minutes; its log is {log}"
            ) from None
    if done.returncode:
        raise LabError(f"the guests' image could not be built: {_reason(log)} (log: {log})")


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if full := next((line for line in lines if "No space left" in line), ""):
        return full
    if unfetched := next((line for line in lines if line.startswith("E: Failed to fetch")), ""):
        address, _space, why = unfetched.removeprefix("E: Failed to fetch").strip().partition(" ")
        return (
            f"{address} could not be fetched ({why.strip() or 'no reason given'}); "
            "check the network, and this machine's apt sources and proxy"
        )
    # The last line of mmdebstrap only says that it failed; the cause is before it.
    errors = [line for line in lines if line.startswith(("E:", "Err", "mke2fs:", "qemu-img:"))]
    telling = [line for line in errors if line != "E: mmdebstrap failed to run" and " failed: E: " not in line]
    return (telling or errors or lines or ["no output"])[-1]


def ensure_programs(programs: Mapping[str, str], progress: Progress) -> Path:
    """Return the read-only disk with the programs that all guests share."""
    wanted = {name: Path(programs[name]) for name in GUEST_PROGRAMS if name in programs}
    if missing := [name for name in GUEST_PROGRAMS if name not in wanted]:
        raise LabError(f"there is no path of {missing[0]} for the guests: pass what meshctl.headscale.binaries found")
    marks = [f"{name} {path} {path.stat().st_size} {path.stat().st_mtime_ns}" for name, path in sorted(wanted.items())]
    disk = cache_dir() / f"programs-{hashlib.sha256(repr(marks).encode()).hexdigest()[:12]}.img"
    if disk.is_file():
        return disk
    with cache_lock(progress):
        if not disk.is_file():
            _make_disk(disk, wanted)
    return disk


def _make_disk(disk: Path, files: Mapping[str, Path]) -> None:
    work = disk.with_name(".building-programs")
    shutil.rmtree(work, ignore_errors=True)
    fresh = disk.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    try:
        work.mkdir()
        for name, path in files.items():
            shutil.copyfile(path, work / name)
            (work / name).chmod(0o755)
        size_mb = sum(path.stat().st_size for path in files.values()) * 11 // 10 // 2**20 + 8
        run(
            [
                "/sbin/mke2fs",
                "-q",
                "-t",
                "ext4",
                "-O",
                "^has_journal",
                "-m",
                "0",
                "-d",
                str(work),
                str(fresh),
                f"{size_mb}M",
            ],
            what="the disk with the guests' programs could not be made",
        )
        fresh.replace(disk)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        fresh.unlink(missing_ok=True)
