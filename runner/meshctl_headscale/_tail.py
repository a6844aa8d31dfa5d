# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print log files, and follow them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

_POLL_S = 0.2


def show(files: Mapping[str, Path], *, lines: int, follow: bool) -> None:
    """Print the last lines of each file, then, with `follow`, every new line of any."""
    at: dict[str, tuple[int, int]] = {}
    for name, path in files.items():
        if len(files) > 1:
            print(f"==> {name} <==", flush=True)
        at[name] = _last(path, lines)
    while follow:
        for name, path in files.items():
            at[name] = _more(name if len(files) > 1 else "", path, at[name])
        time.sleep(_POLL_S)


def _last(path: Path, lines: int) -> tuple[int, int]:
    """Print the last lines; return the inode and the offset."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in deque(file, maxlen=lines):
            print(line.rstrip("\n"), flush=True)
        return path.stat().st_ino, file.tell()


def _more(name: str, path: Path, at: tuple[int, int]) -> tuple[int, int]:
    """Print new lines; read a file that replaced the old one from its start."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return at
    inode, offset = at if now.st_ino == at[0] and now.st_size >= at[1] else (now.st_ino, 0)
    with path.open("rb") as file:
        file.seek(offset)
        # An unfinished line is printed next time.
        whole, newline, _rest = file.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        print(f"{name}: {line}" if name else line, flush=True)
    return inode, offset + len(whole) + len(newline)
