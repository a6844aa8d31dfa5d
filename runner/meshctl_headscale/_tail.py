# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print log files, and follow them."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from meshctl_headscale import _collection, _streams

_POLL_S = 0.2
# What is read of a log at once, and shown of a line.
_MOST = 4_000_000
_LONGEST = 4096


def show(files: Mapping[str, Path], *, lines: int, follow: bool) -> None:
    """Print the last lines of each file, then, with `follow`, every new line of any."""
    at: dict[str, tuple[int, int]] = {}
    for name, path in files.items():
        if len(files) > 1:
            print(f"==> {_collection.visible.line(name)} <==", flush=True)
        at[name] = _last(path, lines)
    while follow and _streams.has_reader():
        for name, path in files.items():
            at[name] = _more(name if len(files) > 1 else "", path, at[name])
        time.sleep(_POLL_S)


def size(path: Path) -> int:
    """Return the size of a log file; 0 for what is no regular file."""
    try:
        with _open(path) as file:
            return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


def _open(path: Path) -> BinaryIO:
    """Open a log file without following a link, neither to the file nor to its directory.

    A machine can write to that directory, but cannot replace the directories above it.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # Not to wait for the other end of a named pipe.
        file = open(os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent), "rb")  # noqa: PTH123, SIM115
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(path)
    return file


def _last(path: Path, lines: int) -> tuple[int, int]:
    """Print the last lines; return the inode and the offset."""
    try:
        file = _open(path)
    except OSError:
        return 0, 0
    with file:
        now = os.fstat(file.fileno())
        start = max(0, now.st_size - _MOST)
        file.seek(start)
        content = file.read(_MOST)
        # The last line may be unfinished, and the first one may have begun earlier.
        found = content.removesuffix(b"\n").split(b"\n") if content else []
        for line in deque(found[1:] if start and len(found) > 1 else found, maxlen=min(lines, _MOST)):
            print(_visible(line), flush=True)
        return now.st_ino, start + len(content)


def _more(name: str, path: Path, at: tuple[int, int]) -> tuple[int, int]:
    """Print new lines; read a file that replaced the old one from its start."""
    try:
        file = _open(path)
    except OSError:
        return at
    with file:
        now = os.fstat(file.fileno())
        label = f"{_collection.visible.line(name)}: " if name else ""
        inode, offset = at if now.st_ino == at[0] and now.st_size >= at[1] else (now.st_ino, 0)
        if now.st_size - offset > _MOST:
            print(f"{label}{now.st_size - offset - _MOST} bytes are left out", flush=True)
            offset = now.st_size - _MOST
        file.seek(offset)
        content = file.read(_MOST)
        # An unfinished line is printed next time, unless it is too long anyway.
        whole, newline, _rest = content.rpartition(b"\n") if len(content) < _MOST else (content, b"", b"")
    if whole or newline:
        for line in whole.removesuffix(b"\n").split(b"\n"):
            print(f"{label}{_visible(line)}", flush=True)
    return inode, offset + len(whole) + len(newline)


def _visible(line: bytes) -> str:
    """Return a line as harmless text of limited length: a machine's root can write anything to its logs."""
    shown = _collection.visible.text(line[:_LONGEST].decode(errors="replace").rstrip("\r"))
    return shown if len(line) <= _LONGEST else f"{shown}… ({len(line) - _LONGEST} more bytes)"
