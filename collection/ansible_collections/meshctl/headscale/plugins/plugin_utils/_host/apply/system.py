# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and commands of a host."""

from __future__ import annotations

import os
import stat
import subprocess
import time


class Failed(Exception):
    """The host cannot be brought to the requested state."""


def read(path: str):
    """Return the text of a file; None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(path: str, content: bytes, mode: int) -> None:
    """Write a file with a mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as handle:
        handle.write(content)
    os.chmod(path, mode)


def keep(path: str):
    """Return a function that makes a file what it is now."""
    # Also a link that leads nowhere.
    if os.path.islink(path):
        target = os.readlink(path)
        return lambda: replace(path, lambda fresh: os.symlink(target, fresh))
    try:
        with open(path, "rb") as handle:
            content, found = handle.read(), os.fstat(handle.fileno())
    except (FileNotFoundError, NotADirectoryError):
        return lambda: os.unlink(path)

    def make(fresh: str) -> None:
        write(fresh, content, stat.S_IMODE(found.st_mode))
        os.chown(fresh, found.st_uid, found.st_gid)

    return lambda: replace(path, make)


def replace(path: str, make) -> None:
    """Make a file next to `path` and move it there, so that a reader sees either the old file or the new one."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.meshctl-new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    make(fresh)
    os.replace(fresh, path)


def execute(command: list):
    """Run a command and return the result."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False
        )
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed on the host") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"it did not end within 60 s: {' '.join(command)}") from None


def must(command: list) -> None:
    """Run a command that must succeed."""
    done = execute(command)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {said(done)}")


def said(done) -> str:
    """Return the last line that a command printed."""
    lines = (done.stderr or done.stdout or b"").decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit {done.returncode}"


def until(true, seconds: float, otherwise: str) -> None:
    """Wait until `true` returns true; raise `Failed` with `otherwise` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.02)
