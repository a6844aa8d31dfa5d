# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the ssh configuration of guests, wait for them and prepare them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from .. import _private
from .._host import limited
from .._lab.supervisor import LabError
from .image import Image
from .model import Guest

# `sun_path` holds 107 characters, and ssh and Ansible append some.
_LONGEST: Final = 70
_REMEDY: Final = "Set MESHCTL_STATE_DIR to a directory with a shorter path."


def config_path(directory: Path) -> Path:
    """Return the ssh configuration of a lab."""
    return directory / "ssh" / "config"


def control_dir(directory: Path) -> Path:
    """Return the directory of the sockets of persistent connections."""
    inside = directory / "ssh" / "mux"
    if len(str(inside)) <= _LONGEST:
        return inside
    return Path(tempfile.gettempdir()) / f"meshctl-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"


def secure(directory: Path) -> Path:
    """Make the directory of the sockets; refuse one of another user, who would speak in place of the guests."""
    return _private.directory(control_dir(directory), remedy=_REMEDY)


def write(directory: Path, image: Image, guests: Iterable[Guest]) -> None:
    """Write the key, the guests' host key, and the configuration that refers to both."""
    own = directory / "ssh"
    own.mkdir(mode=0o700, exist_ok=True)
    secure(directory)
    key = own / "key"
    key.touch(mode=0o600)
    key.write_bytes(image.file("key").read_bytes())
    host_key = " ".join(image.file("host_key.pub").read_text(encoding="utf-8").split()[:2])
    entries = list(guests)
    (own / "known_hosts").write_text("".join(f"{g.address},{g.host} {host_key}\n" for g in entries), encoding="utf-8")
    config_path(directory).write_text(
        "".join([*(f"Host {g.host}\n  HostName {g.address}\n" for g in entries), _common(own)]), encoding="utf-8"
    )


def _common(own: Path) -> str:
    options = {
        "User": "root",
        "IdentityFile": f'"{own / "key"}"',
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": f'"{own / "known_hosts"}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "PreferredAuthentications": "publickey",
        "LogLevel": "ERROR",
        # Without KVM, a busy guest responds slowly.
        "ConnectTimeout": "30",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "8",
    }
    return "Host *\n" + "".join(f"  {key} {value}\n" for key, value in options.items())


def command(directory: Path, host: str, words: Iterable[str], *, terminal: bool = False) -> list[str]:
    """Return the command that runs `words` on a guest."""
    return ["ssh", "-F", str(config_path(directory)), *(["-t"] if terminal else []), host, shlex.join(words)]


def wait(directory: Path, guest: Guest, *, deadline: float, alive: Callable[[], str]) -> str:
    """Wait until a guest answers; return the mark of the lab that it was prepared for, if any.

    :param alive: says what became of the guest when it does not run any more.
    """
    asked = [
        "ssh",
        "-F",
        str(config_path(directory)),
        "-o",
        "ConnectTimeout=5",
        "-o",
        "BatchMode=yes",
        guest.host,
        f"cat {_MARK} 2>/dev/null; true",
    ]
    said = ""
    while True:
        try:
            done = limited.output(asked, seconds=60)
        except FileNotFoundError:
            raise LabError("ssh is missing: install OpenSSH's client (Debian: openssh-client)") from None
        if not done.status and not done.exceeded:
            return done.output.strip()
        said = (done.errors.strip().splitlines() or ["no word"])[-1]
        if done.exceeded:
            said = f"a command there {done.exceeded}"
        if gone := alive():
            raise LabError(gone)
        if time.monotonic() > deadline:
            raise LabError(f"{said}")
        time.sleep(0.3)


_MARK: Final = "/etc/meshctl/lab"
_PREPARE_SECONDS: Final = 300


def prepare(directory: Path, guest: Guest, *, resolver: str, mark: str) -> None:
    """Set a guest's time, resolver, certificate authority and certificate."""
    files = {
        "etc/resolv.conf": (f"# the lab: answered by {resolver}\nnameserver {resolver}\n".encode(), 0o644),
        "etc/ssl/certs/ca-certificates.crt": ((directory / "ca.pem").read_bytes(), 0o644),
    }
    own = directory / "tls" / guest.host
    for name, mode in (("cert.pem", 0o644), ("key.pem", 0o600)):
        if (own / name).exists():
            files[f"etc/meshctl/tls/{name}"] = ((own / name).read_bytes(), mode)
    # Written last, so a guest without it is prepared again.
    files[_MARK.lstrip("/")] = (f"{mark}\n".encode(), 0o644)
    script = f"date -u -s @{time.time():.0f} >/dev/null && tar -x -C / --no-same-owner -f -"
    words = ["ssh", "-F", str(config_path(directory)), guest.host, script]
    done = limited.output(words, stdin=_tar(files), seconds=_PREPARE_SECONDS)
    if done.exceeded:
        raise LabError(f"guest {guest.host} could not be made ready: a command there {done.exceeded}")
    if done.status:
        raise LabError(f"guest {guest.host} could not be made ready: {done.errors.strip() or 'no word'}")


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, int(time.time())
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def hang_up(directory: Path) -> None:
    """Close the persistent connections."""
    sockets = control_dir(directory)
    if not sockets.is_dir():
        return
    try:
        _private.check(sockets, remedy=_REMEDY)
    except _private.UntrustedError:
        # No connection of this user goes through it.
        return
    for entry in sockets.iterdir():
        if entry.is_socket():
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(  # noqa: S603
                    ["ssh", "-O", "exit", "-o", f"ControlPath={entry}", "lab"],  # noqa: S607
                    capture_output=True,
                    timeout=20,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )
    shutil.rmtree(sockets, ignore_errors=True)
