# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run scripts in machines of a lab without starting Python for each of them.

ansible-playbook starts a process that forks instead, `forked`. The processes of its tasks inherit the way to ask for a fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from .._host.package import own_python
from . import keyring, supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host.bounds import Bounds
    from .._host.package import Job

_PROGRAM = Path(__file__).with_name("forked.py")
_CHUNK = 1 << 16
_OUTPUT, _ERRORS, _STATUS = "output", "errors", "status"
# What the server says before it runs anything.
_BEGUN: Final = "begun"


class _State:
    """What this process, and those that it forks, know of the server."""

    started: bool = False
    asking: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None


_state = _State()


def start(package: str, code: bytes) -> None:
    """Start the server, once; it ends with the last process that can ask it. Labs of other users than root have none.

    It loads the script `code`, whose modules are those of `package` there.
    """
    if _state.started:
        return
    _state.started = True
    if supervisor.rootless():
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, tempfile.TemporaryFile() as script, contextlib.suppress(OSError):
        script.write(code)
        script.seek(0)
        _state.process = subprocess.Popen(  # noqa: S603
            [own_python(), "-IS", _PROGRAM.name, str(theirs.fileno()), package],
            pass_fds=(theirs.fileno(),),
            stdin=script,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=_PROGRAM.parent,
            # Machines may read it, and the arguments.
            env={**supervisor.ENVIRONMENT, "LANG": "C.UTF-8"},
            # Signals for ansible-playbook are not for it.
            start_new_session=True,
        )
        _state.asking = ours


def run(job: Job, bounds: Bounds, *, pid: int, environment: Mapping[str, str]) -> tuple[int, bytes, bytes] | None:
    """Run a script in the machine whose process 1 is `pid`, and return its status, output and errors.

    Return None if there is no server, or the machine has another interpreter: then nothing has been run.
    """
    if _state.asking is None:
        return None
    ask = {
        "pid": pid,
        "interpreter": job.interpreter,
        "environment": dict(environment),
        "reader": job.reader,
        "loaded": job.loaded,
        "keyctl": keyring.number(),
    }
    with contextlib.ExitStack() as stack:
        try:
            call = _Call(stack, job.data, bounds)
            call.begin(_state.asking, ask)
        except OSError:
            return None
        return call.result()


class _Call:
    """One script: what it is told, and what it says."""

    def __init__(self, stack: contextlib.ExitStack, data: bytes, bounds: Bounds) -> None:
        self._stack, self._bounds = stack, bounds
        self._said = {_OUTPUT: bytearray(), _ERRORS: bytearray(), _STATUS: bytearray()}
        self._left = memoryview(data)
        self._selector = stack.enter_context(selectors.DefaultSelector())
        reading, writing = self._pipe()
        self._theirs = [reading]
        self._selector.register(writing, selectors.EVENT_WRITE, "")
        os.set_blocking(writing.fileno(), False)
        for name in self._said:
            reading, writing = self._pipe()
            self._theirs.append(writing)
            self._selector.register(reading, selectors.EVENT_READ, name)

    def _pipe(self) -> tuple[IO[bytes], IO[bytes]]:
        ends = [open(end, mode, buffering=0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]  # noqa: SIM115, PTH123
        for end in ends:
            self._stack.enter_context(end)
        return ends[0], ends[1]

    def begin(self, asking: socket.socket, ask: dict[str, Any]) -> None:
        """Ask for the process; raise OSError if the server is gone."""
        socket.send_fds(asking, [json.dumps(ask).encode()], [end.fileno() for end in self._theirs])
        for end in self._theirs:
            end.close()

    def result(self) -> tuple[int, bytes, bytes] | None:
        """Return what the script has said when it has ended, or when it exceeds a limit."""
        while self._selector.get_map() and (left := self._bounds.seconds_left()) > 0:
            for key, _events in self._selector.select(left):
                self._step(key)
        begun, *code = self._said[_STATUS].decode().split() or [""]
        if begun != _BEGUN:
            return None
        status = int(code[0]) if code else -signal.SIGKILL
        return status, bytes(self._said[_OUTPUT]), bytes(self._said[_ERRORS])

    def _step(self, key: selectors.SelectorKey) -> None:
        """Send or receive some of it; the end that is done is closed."""
        end: IO[bytes] = key.fileobj  # type: ignore[assignment]
        if key.data:
            received = os.read(end.fileno(), _CHUNK)
            self._said[key.data] += received
            # More than is allowed counts as exceeded.
            self._bounds.allow(len(received))
            more = bool(received)
        else:
            with contextlib.suppress(BrokenPipeError):
                self._left = self._left[os.write(end.fileno(), self._left[:_CHUNK]) :]
                if self._left:
                    return
            more = False
        if not more:
            self._selector.unregister(end)
            end.close()
