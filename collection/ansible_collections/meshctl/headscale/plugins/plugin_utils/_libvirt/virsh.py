# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Use virsh for what the modules of community.libvirt cannot do.

These are saved states that restore guests in seconds (`save`, `restore`), cables (`domif-setlink`), and the UUIDs that
identify a lab's objects. `modules.py` defines, starts and removes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from typing import Final

from .._lab.supervisor import LabError

SECONDS: Final = 60.0
PATIENCE: Final = 15.0


class Virsh:
    """One connection to a libvirtd, by its URI."""

    def __init__(self, uri: str) -> None:
        """Name the connection. Open nothing."""
        self.uri = uri

    def __call__(self, *words: str, stdin: str = "", seconds: float = SECONDS, patience: float = PATIENCE) -> str:
        """Run a virsh command and return its output.

        :param patience: how long to retry while libvirtd restarts.
        :raises LabError: with libvirt's message.
        """
        deadline = time.monotonic() + patience
        while True:
            done = self._once(words, stdin, seconds)
            if done.returncode == 0:
                return done.stdout
            if not no_connection(done.stderr) or time.monotonic() > deadline:
                raise LabError(f"libvirt ({self.uri}), virsh {' '.join(words[:2])}: {_said(done.stderr)}")
            time.sleep(0.5)

    def _once(self, words: Sequence[str], stdin: str, seconds: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603
                ["virsh", "--quiet", "--connect", self.uri, *words],  # noqa: S607
                input=stdin,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        except FileNotFoundError:
            raise LabError("virsh is missing: install libvirt's client (Debian: libvirt-clients)") from None
        except subprocess.TimeoutExpired:
            raise LabError(
                f"libvirt ({self.uri}) did not answer within {seconds:.0f} s to: virsh {' '.join(words)}"
            ) from None

    def version(self) -> str:
        """Return the hypervisor that answers; raise `LabError` when none does."""
        try:
            lines = self("version", seconds=20, patience=0).splitlines()
        except LabError as exc:
            raise LabError(
                f"libvirt does not answer: {str(exc).rpartition('; ')[2]}; "
                "start it (systemctl start libvirtd), and run as root"
            ) from None
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("Running hypervisor")), "")

    def domains(self) -> dict[str, str]:
        """Return the UUID of every domain, by name."""
        return self._names("list", "--all")

    def running(self) -> set[str]:
        """Return the names of the running domains."""
        return set(self._names("list", "--state-running"))

    def active(self) -> set[str]:
        """Return the names of the domains that have a hypervisor process, running or paused."""
        return set(self._names("list"))

    def networks(self) -> dict[str, str]:
        """Return the UUID of every network, by name."""
        return self._names("net-list", "--all")

    def active_networks(self) -> set[str]:
        """Return the names of the networks that are up."""
        return set(self._names("net-list"))

    def _names(self, *words: str) -> dict[str, str]:
        names = [line.strip() for line in self(*words, "--name").splitlines() if line.strip()]
        uuids = [line.strip() for line in self(*words, "--uuid").splitlines() if line.strip()]
        if len(names) != len(uuids):  # one was added or removed between the two commands
            return self._names(*words)
        return dict(zip(names, uuids, strict=True))


def no_connection(said: str) -> bool:
    """Whether libvirt's message means that libvirtd does not listen, as during a restart."""
    return "ailed to connect" in said


def lost_connection(said: str) -> bool:
    """Whether libvirt's message means that libvirtd ended during the request, which it may have completed."""
    return any(words in said for words in ("Cannot recv data", "End of file while reading data", "socket is closed"))


def _said(stderr: str) -> str:
    lines = [line.removeprefix("error: ") for line in stderr.strip().splitlines() if line.strip()]
    return "; ".join(lines[-2:]) or "it failed without a message"


def run(command: Sequence[str], *, what: str, seconds: float = SECONDS) -> str:
    """Run a program on this machine and return its output; raise `LabError` that begins with `what`."""
    try:
        done = subprocess.run(  # noqa: S603
            list(command), capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise LabError(f"{what}: {command[0]} is not installed; `meshctl doctor` names its package") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{what}: {command[0]} did not end within {seconds:.0f} s") from None
    if done.returncode:
        raise LabError(f"{what}: {_said(done.stderr)}")
    return done.stdout
