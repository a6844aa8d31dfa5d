# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs as a program: fork a Python for a machine of a lab whenever `forkserver` asks for one.

A Python that has loaded the usual script, and what scripts import, is ready at once, while a new one takes 20 ms of CPU.
This process knows nothing but these modules: a machine can read the memory of those of its processes that it may trace.

Standard library only, because it starts without what ansible-playbook has loaded.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import importlib
import json
import marshal
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

# What scripts for hosts import, and some of what that imports.
_MODULES = (
    "fcntl", "http.client", "ipaddress", "random", "selectors", "struct", "subprocess", "threading", "zlib",
)  # fmt: skip
_LARGEST = 1 << 16
_DESCRIPTORS = 4
_MOST_OPEN = 4096
# The user namespace comes last: only this system's root may enter the others, and in their own way.
_NAMESPACES = ("mnt", "net", "uts", "ipc", "pid", "user")
_NO_KEYS = (errno.ENOSYS, errno.EPERM)
_JOIN_SESSION_KEYRING = 1
_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)
_loaded: dict[str, ModuleType] = {}


def load(package: str, code: bytes) -> None:
    """Load a script, as `marshal` writes it, with all modules of its package; other scripts have packages of the same name."""
    for name in _MODULES:
        importlib.import_module(name)
    known: dict[str, Any] = {"__name__": "meshctl"}
    exec(marshal.loads(code), known)  # noqa: S102, S302 - ansible-playbook has compiled it
    for name in known["_SOURCES"]:
        importlib.import_module(package if name == "__init__" else f"{package}.{name}")
    sys.meta_path.pop(0)
    _loaded.update({name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == package})


def serve(asking: socket.socket) -> None:
    """Fork for each request, until all processes that may send one have ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(asking, _LARGEST, _DESCRIPTORS)
        if not message:
            return
        if _forked() == 0:
            _answer(asking, message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _forked() -> int | None:
    """Return the process id of a child, 0 in the child; without one, the other end sees that its pipes are closed."""
    try:
        return os.fork()
    except OSError:
        return None


def _answer(asking: socket.socket, message: bytes, descriptors: list[int]) -> NoReturn:
    """Enter a machine, run the script there in a process of the machine, and say how it ended."""
    status = 1
    try:
        asking.close()
        ask = json.loads(message)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        interpreter = Path(sys.executable).stat()
        _enter(ask)
        # A machine may have mounted something else in its place, which then has to run the script.
        if not os.path.samestat(Path(ask["interpreter"]).stat(), interpreter):
            raise FileNotFoundError(ask["interpreter"])
        os.write(descriptors[3], b"begun\n")
        child = os.fork()
        if child == 0:
            _run(ask, descriptors)
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        code = _wait(child, descriptors[3])
        os.write(descriptors[3], b"%d\n" % code)
        status = 0
    finally:
        os._exit(status)


def _enter(ask: dict[str, Any]) -> None:
    """Do what `nsenter` does."""
    if ask["keyctl"] is not None:
        _check(_libc.syscall(ask["keyctl"], _JOIN_SESSION_KEYRING, None), harmless=_NO_KEYS)
    entered = [os.open(f"/proc/{ask['pid']}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES]
    os.setgroups([])
    for descriptor in entered:
        _check(_libc.setns(descriptor, 0))
        os.close(descriptor)
    os.setgid(0)
    os.setuid(0)


def _check(returned: int, *, harmless: tuple[int, ...] = ()) -> None:
    """Raise OSError if a system call has failed."""
    if returned < 0 and (error := ctypes.get_errno()) not in harmless:
        raise OSError(error, os.strerror(error))


def _run(ask: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Become the process that runs the reader of a script, as `python3 -c` would."""
    status = 1
    try:
        # Its group has what it starts, so that all of it can be ended.
        os.setpgid(0, 0)
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        os.closerange(3, _MOST_OPEN)
        os.environ.clear()
        os.environ.update(ask["environment"])
        if ask["loaded"]:
            sys.modules.update(_loaded)
        # A change of user makes a process's files in /proc those of this system's root.
        _libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0)
        exec(ask["reader"], {"__name__": "__main__"})  # noqa: S102
        sys.stdout.flush()
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


def _wait(child: int, asker: int) -> int:
    """Return the exit code of the script, or the negative signal; end it when no process waits for that."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    # A pipe without a reader has an error.
    poll.register(asker, 0)
    if ended not in dict(poll.poll()):
        for end in (os.killpg, os.kill):
            with suppress(OSError):
                end(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    load(sys.argv[2], sys.stdin.buffer.read())
    serve(socket.socket(fileno=int(sys.argv[1])))
