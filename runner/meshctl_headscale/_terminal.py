# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command in a session without access to this process's terminal.

A program that has the user's terminal can type into it (TIOCSTI) and read from it after it has ended for the user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_CHUNK = 65536


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit status, as a shell reports it.

    An interactive command gets a pseudo-terminal. Otherwise, a pipe replaces each stream that is a terminal.
    """
    terminals = [stream for stream in (0, 1, 2) if os.isatty(stream)]
    streams = _PseudoTerminal(terminals) if {0, 1} <= set(terminals) else _Pipes(terminals)
    with streams.prepared():
        signals = _Signals()
        stdin, stdout, stderr = (streams.given.get(stream) for stream in (0, 1, 2))
        child = subprocess.Popen(  # noqa: S603
            ["/usr/bin/env", "setsid", *streams.options, *command],
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        signals.forward_to(child.pid)
        for descriptor in set(streams.given.values()):
            os.close(descriptor)
        _relay(child, dict(streams.copied))
        code = child.wait()
    return code if code >= 0 else 128 - code


class _Pipes:
    """A pipe in place of each terminal."""

    options = ()

    def __init__(self, terminals: Sequence[int]) -> None:
        self.given: dict[int, int] = {}
        """The descriptor that the command gets for each stream."""
        self.copied: dict[int, int] = {}
        """Where the data of each descriptor goes."""
        for stream in terminals:
            reading, writing = os.pipe()
            self.given[stream] = writing if stream else reading
            self.copied |= {reading: stream} if stream else {0: writing}

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        yield


class _PseudoTerminal:
    """A pseudo-terminal in place of all terminals."""

    options = ("--ctty",)

    def __init__(self, terminals: Sequence[int]) -> None:
        self._master, slave = os.openpty()
        self.given = dict.fromkeys(terminals, slave)
        self.copied = {0: self._master, self._master: 1}

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Leave keys such as Ctrl-C to the pseudo-terminal, and keep its size that of the user's terminal."""
        self._resize()
        mode = termios.tcgetattr(0)
        signal.signal(signal.SIGWINCH, lambda _number, _frame: self._resize())
        try:
            tty.setraw(0)
            yield
        finally:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
            termios.tcsetattr(0, termios.TCSADRAIN, mode)

    def _resize(self) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))


class _Signals:
    """Signals for this process, which go to the command instead, also those that come while it starts."""

    def __init__(self) -> None:
        self._command = 0
        self._early: list[int] = []
        for number in _FORWARDED:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    def forward_to(self, command: int) -> None:
        """Send all signals to the command with this process id."""
        self._command = command
        for number in self._early:
            self._send(number)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._command:
            self._send(number)
        else:
            self._early.append(number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            try:
                os.killpg(self._command, number)
            except ProcessLookupError:
                # Its session is yet to come.
                os.kill(self._command, number)


def _relay(child: subprocess.Popen[bytes], copied: dict[int, int]) -> None:
    """Copy each descriptor to another until the command has ended and its output is shown."""
    ended = os.pidfd_open(child.pid)
    while copied:
        ready = set(select.select([*copied, ended], [], [])[0])
        if ended in ready and not ready - {0, ended}:
            return
        for source in ready.intersection(copied):
            if not _copy(source, copied[source]):
                target = copied.pop(source)
                if source == 0 and not os.isatty(target):
                    os.close(target)  # the end of the input


def _copy(source: int, target: int) -> bool:
    """Copy what can be read at once; return False at the end."""
    try:
        data = memoryview(os.read(source, _CHUNK))
        rest = data
        while rest:
            rest = rest[os.write(target, rest) :]
    except OSError:  # the other end was closed
        return False
    return bool(data)
