# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limit the time and the output of every process that a connection starts.

Connection plugins collect the whole output of a command and wait until it ends. A hostile host may do neither, so
each process gets a relay: a thread that passes output on until a limit is reached, then kills the process and closes
the pipes. The plugin sees a command that has ended.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import selectors
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from _typeshed import ReadableBuffer

_CHUNK = 1 << 16
# A selector takes no infinite time.
_PAUSE_S = 3600.0


class Bounds:
    """The limits that all processes of one command share, and which of them was exceeded."""

    def __init__(self, *, seconds: float, most_bytes: int) -> None:
        """Start the clock."""
        self._ends = time.monotonic() + seconds
        self._bytes_left = most_bytes
        self._lock = threading.Lock()
        self.exceeded = ""
        self.closing, self._closer = os.pipe()
        self._relays: list[_Relay] = []

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Relay the output of a process from now on."""
        self._relays.append(_Relay(process, self))
        self._relays[-1].start()

    def seconds_left(self) -> float:
        """Return the seconds until the deadline; note when it has passed."""
        left = 0.0 if self.exceeded else self._ends - time.monotonic()
        if left <= 0:
            self.exceeded = self.exceeded or "time"
        return left

    def allow(self, size: int) -> bool:
        """Count bytes; return whether they are within the limit."""
        with self._lock:
            self._bytes_left -= size
        if self._bytes_left < 0:
            self.exceeded = self.exceeded or "bytes"
        return not self.exceeded

    def passing_on(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether output of the process is still on its way to the plugin."""
        return any(relay.of(process) and relay.passing_on() for relay in self._relays)

    def close(self) -> None:
        """End every relay."""
        os.close(self._closer)
        for relay in self._relays:
            relay.join()
        os.close(self.closing)


# Whether a process has really ended, whatever is still to be passed on.
_poll = subprocess.Popen.poll
_unbounded = subprocess.Popen


def active() -> bool:
    """Whether processes that are started now have limits."""
    return subprocess.Popen is not _unbounded


@contextlib.contextmanager
def bounded(*, seconds: float, most_bytes: int) -> Iterator[Bounds]:
    """Hold every process that is started within the block to these limits."""
    bounds = Bounds(seconds=seconds, most_bytes=most_bytes)
    original = subprocess.Popen

    class _Bounded(original):  # type: ignore[valid-type, misc]
        stdin: IO[bytes] | None

        def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as subprocess has them
            super().__init__(*args, **options)
            if not self.text_mode:
                if self.stdin is not None:
                    self.stdin = _Input(self.stdin)
                bounds.watch(self)

        def poll(self) -> int | None:
            """Call a process alive until its output is passed on: the ssh plugin stops reading when it has ended."""
            code: int | None = super().poll()
            return None if bounds.passing_on(self) else code

    # Plugins name subprocess.Popen when they call it. Each task has its own process, which runs nothing else meanwhile.
    subprocess.Popen = _Bounded  # type: ignore[misc]
    try:
        yield bounds
    finally:
        subprocess.Popen = original  # type: ignore[misc]
        bounds.close()


def run(
    command: Sequence[str],
    *,
    stdin: bytes,
    bounds: Bounds,
    environment: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> tuple[int, bytes, bytes]:
    """Run a command within limits, also in one of several threads; return its status, output and errors."""
    pipe = subprocess.PIPE
    try:
        started = subprocess.Popen(  # noqa: S603
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=new_session
        )
    except OSError:
        bounds.close()
        raise
    with started as process:
        bounds.watch(process)
        try:
            out, err = process.communicate(stdin)
        finally:
            bounds.close()
    return process.returncode, out, err


class _Input(io.BufferedWriter):
    """The input of a process, which may end before it has read everything: its status and errors say why, then.

    The ssh plugin calls such a host unreachable, if ssh has not ended as well by then.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(pipe.detach() if isinstance(pipe, io.BufferedWriter) else cast("io.RawIOBase", pipe))

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(BrokenPipeError):
            super().write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            super().flush()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            super().close()


class _Stream:
    """One output of a process on its way to the plugin."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        reading, self.sink = os.pipe()
        self.reader = open(reading, "rb")  # noqa: SIM115, PTH123 - the plugin closes it
        self.pending = b""
        os.set_blocking(source.fileno(), False)
        os.set_blocking(self.sink, False)

    def close(self) -> None:
        os.close(self.sink)
        self.source.close()


class _Relay(threading.Thread):
    """Passes the output of one process on, and ends the process at a limit."""

    def __init__(self, process: subprocess.Popen[bytes], bounds: Bounds) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._bounds = bounds
        self._moving = threading.Lock()
        self._streams: list[_Stream] = []
        for name in ("stdout", "stderr"):
            if (source := getattr(process, name)) is not None:
                stream = _Stream(source)
                setattr(process, name, stream.reader)
                self._streams.append(stream)

    def start(self) -> None:
        """Start without signals: one that this thread took would not wake the main thread, which has to act on it."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def of(self, process: subprocess.Popen[bytes]) -> bool:
        return self._process is process

    def passing_on(self) -> bool:
        """Whether output has arrived that the plugin cannot see yet; an open pipe alone may be held by a daemon."""
        with self._moving:
            return any(stream.pending or _readable(stream.source) for stream in self._streams)

    def run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._bounds.closing, selectors.EVENT_READ)
                for stream in self._streams:
                    selector.register(stream.source, selectors.EVENT_READ, stream)
                self._pass_on(selector)
        finally:
            # A process that outlives the command has lost its plugin to an error.
            if self._bounds.exceeded or _poll(self._process) is None:
                _end(self._process)
            with self._moving:
                while self._streams:
                    self._streams.pop().close()

    def _pass_on(self, selector: selectors.BaseSelector) -> None:
        while len(selector.get_map()) > 1 or _poll(self._process) is None:
            if (left := self._bounds.seconds_left()) <= 0:
                return
            for key, _events in selector.select(min(left, _PAUSE_S if len(selector.get_map()) > 1 else 0.05)):
                with self._moving:
                    if key.data is None or not self._step(selector, key.data):
                        return

    def _step(self, selector: selectors.BaseSelector, stream: _Stream) -> bool:
        """Read or write one chunk; return False when the relay has to end."""
        if stream.pending:
            with contextlib.suppress(BlockingIOError):
                try:
                    stream.pending = stream.pending[os.write(stream.sink, stream.pending) :]
                except BrokenPipeError:
                    stream.pending = b""
            if not stream.pending:
                selector.unregister(stream.sink)
                selector.register(stream.source, selectors.EVENT_READ, stream)
            return True
        stream.pending = os.read(stream.source.fileno(), _CHUNK)
        selector.unregister(stream.source)
        if stream.pending:
            selector.register(stream.sink, selectors.EVENT_WRITE, stream)
        else:
            stream.close()
            self._streams.remove(stream)
        return self._bounds.allow(len(stream.pending))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its descendants, and unblock a thread that writes to it."""
    if _poll(process) is None:
        tree: list[int] = []
        # A stopped process starts no more processes.
        while new := [pid for pid in [process.pid, *_descendants(process.pid)] if pid not in tree]:
            _signal(new, signal.SIGSTOP)
            tree += new
        _signal(tree, signal.SIGKILL)
    if process.stdin is not None and not process.stdin.closed:
        # A process that left the tree may hold the pipe: a write to it would wait forever.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, process.stdin.fileno())
        os.close(nowhere)


def _readable(source: IO[bytes]) -> bool:
    return bool(select.select([source], [], [], 0)[0])


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """Return the processes below one."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, ahead = [], [pid]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found
