# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create a user namespace with a network namespace for each machine. Runs in the lab, as its root.

A machine's network belongs to its user namespace, so its root can configure it. The lab's mounts do not, so the kernel
locks them: a machine can neither remove one nor make it writable.
"""

from __future__ import annotations

import ctypes
import os
import sys

USERS = "/run/lab/users"
NETWORKS = "/run/netns"
_NEW_USER, _NEW_NET, _BIND = 0x10000000, 0x40000000, 0x1000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _begin() -> tuple[int, int, int]:
    """Start a process in new namespaces; return it, the end it reports to and the end that keeps it waiting."""
    report, reporting = os.pipe()
    waiting, release = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(release)
            _call("unshare", _NEW_USER | _NEW_NET)
            os.write(reporting, b"+")
            os.read(waiting, 1)
        except OSError as error:
            os.write(reporting, str(error).encode())
        os._exit(0)
    os.close(reporting)
    os.close(waiting)
    return child, report, release


def _map(child: int, kind: str) -> None:
    """Give the machine the ids that the lab has."""
    with open(f"/proc/self/{kind}", encoding="ascii") as own:  # noqa: PTH123
        inside, _outside, count = own.read().split()
    with open(f"/proc/{child}/{kind}", "w", encoding="ascii") as target:  # noqa: PTH123
        target.write(f"{inside} {inside} {count}\n")


def _keep(child: int, kind: str, path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    _call("mount", f"/proc/{child}/ns/{kind}".encode(), path.encode(), None, _BIND, None)


def main(names: list[str]) -> None:
    """Create the namespaces of the machines in `names`, all at once."""
    for name, (child, report, release) in [(name, _begin()) for name in names]:
        answer = os.read(report, 200).decode()
        if answer != "+":
            sys.exit(f"the namespaces of {name} could not be created: {answer}")
        _map(child, "gid_map")
        _map(child, "uid_map")
        _keep(child, "user", f"{USERS}/{name}")
        _keep(child, "net", f"{NETWORKS}/{name}")
        os.write(release, b"+")
        os.close(report)
        os.close(release)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
