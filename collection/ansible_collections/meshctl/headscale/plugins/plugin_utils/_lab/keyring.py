# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep the kernel keys of the user's session, such as Kerberos tickets, away from lab machines.

A process inherits the session keyring of its parent, whatever namespaces it enters, and a process that has a keyring can
read its keys.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import threading
import time
from typing import Final

from ...module_utils._errors import CouldNotRun

# The number of a system call depends on the architecture; labs run on these.
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219}
_JOIN_SESSION_KEYRING: Final = 1
# A kernel without keys, or a container that may not use them: its processes cannot read any.
_NO_KEYS: Final = (errno.ENOSYS, errno.EPERM)
_PATIENCE_S: Final = 2.0
# Each thread has a session keyring.
_left = threading.local()


def number() -> int | None:
    """Return the number of the system call for keys, None if it is not known."""
    return _KEYCTL.get(platform.machine())


def leave() -> None:
    """Give this thread, and the processes that it starts, an empty session keyring, for good."""
    called = number()
    if called is None or getattr(_left, "done", 0) == os.getpid():
        return
    deadline = time.monotonic() + _PATIENCE_S
    while (failed := _join(called)) == errno.EDQUOT and time.monotonic() < deadline:
        # Keyrings of processes that have just ended still count.
        time.sleep(0.05)
    if failed and failed not in _NO_KEYS:
        raise CouldNotRun(
            f"the lab cannot be kept from your session's keys: {os.strerror(failed)}; see /proc/key-users, and "
            "kernel.keys.maxkeys"
        )
    _left.done = os.getpid()


def _join(called: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.syscall(called, _JOIN_SESSION_KEYRING, None) >= 0 else ctypes.get_errno()
