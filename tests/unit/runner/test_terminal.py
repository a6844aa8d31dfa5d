# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command in a session of its own has a terminal like the user's, but never the user's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

_RUN = (
    "import os, sys; from meshctl_headscale import _terminal; sys.exit(_terminal.run(sys.argv[1:], dict(os.environ)))"
)


@dataclass
class Screen:
    """The user's terminal, and meshctl in it."""

    master: int
    slave: int
    process: subprocess.Popen[bytes]
    said: bytes = b""

    def until(self, text: bytes, *, seconds: float = 20) -> bytes:
        """Read until the screen shows a text."""
        deadline = time.monotonic() + seconds
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            if select.select([self.master], [], [], 0.05)[0]:
                self.said += os.read(self.master, 65536)
        return self.said

    def waiting_input(self) -> int:
        """Return how many bytes the user's shell would read next."""
        return int(struct.unpack("i", fcntl.ioctl(self.slave, termios.FIONREAD, b"\0" * 4))[0])


@contextlib.contextmanager
def _screen(*command: str, stdin: int | None = None, stdout: int | None = None) -> Iterator[Screen]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    process = subprocess.Popen(
        # Whoever runs the tests in the background ignores Ctrl-C, and processes inherit that.
        ["setsid", "--ctty", "env", "--default-signal=INT", sys.executable, "-c", _RUN, *command],
        stdin=stdin if stdin is not None else slave,
        stdout=stdout if stdout is not None else slave,
        stderr=slave,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    try:
        yield Screen(master, slave, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test_an_interactive_command_gets_a_terminal_of_the_same_size() -> None:
    with _screen("sh", "-c", "stty size; tty; echo err >&2; read -r line; echo got:$line; exit 7") as screen:
        own = os.ttyname(screen.slave).encode()
        screen.until(b"err")
        assert b"33 77" in screen.said
        assert own not in screen.said
        fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        os.write(screen.master, b"hello\r")
        screen.until(b"got:hello")
        assert screen.process.wait(20) == 7
        assert termios.tcgetattr(screen.slave)[3] & termios.ICANON, "the user's terminal is as it was"


def test_a_resized_terminal_and_ctrl_c_reach_the_command() -> None:
    script = "trap 'stty size' WINCH; trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    with _screen("sh", "-c", script) as screen:
        screen.until(b"ready")
        fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        screen.until(b"44 88")
        os.write(screen.master, b"\x03")
        screen.until(b"interrupted")
        assert screen.process.wait(20) == 3


_INJECT = """
import fcntl, sys, termios
for name in (0, 1, 2, "/dev/tty"):
    try:
        file = name if isinstance(name, int) else open(name)
        for byte in "echo injected\\n":
            fcntl.ioctl(file, termios.TIOCSTI, byte.encode())
    except OSError:
        pass
"""


@pytest.mark.parametrize("piped", [False, True], ids=["interactive", "stdout is a pipe"])
def test_a_command_cannot_type_into_the_users_terminal(piped: bool) -> None:
    reading, writing = os.pipe()
    with _screen(sys.executable, "-c", _INJECT, stdout=writing if piped else None) as screen:
        assert screen.process.wait(20) == 0
        assert screen.waiting_input() == 0
    os.close(reading)
    os.close(writing)


def test_pipes_are_handed_over_and_their_end_is_seen() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "sh", "-c", "cat; echo err >&2; kill -TERM $$"],
        input=b"x" * 200_000,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert (len(done.stdout), done.stderr, done.returncode) == (200_000, b"err\n", 128 + signal.SIGTERM)


def test_typed_input_ends_with_the_terminals_end_of_file() -> None:
    reading, writing = os.pipe()
    with _screen("sh", "-c", "cat; echo end", stdout=writing) as screen:
        os.write(screen.master, b"line\n\x04")
        assert screen.process.wait(20) == 0
    os.close(writing)
    assert os.read(reading, 100) == b"line\nend\n"
    os.close(reading)


def test_a_signal_is_passed_on() -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            _RUN,
            "sh",
            "-c",
            "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.stdout.readline() == b"told\n"
        assert process.wait(20) == 5


def test_a_signal_while_the_command_starts_is_passed_on() -> None:
    at_once = (
        "import os, signal, subprocess\nstart = subprocess.Popen\ndef started(*a, **k):\n    child = start(*a, **k)\n"
    )
    at_once += "    os.kill(os.getpid(), signal.SIGTERM)\n    return child\nsubprocess.Popen = started\n"
    done = subprocess.run(
        [sys.executable, "-c", at_once + _RUN.replace("; ", "\n"), "sleep", "60"],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        timeout=30,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM
