# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's log, the locks on its files, and the space for them."""

from __future__ import annotations

import os
import time

from .base import Unseen, left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json

_TAIL, _LINES, _LONGEST, _HEAD = 64 << 10, 40, 1000, 80


def log(ask: Dict, until: float) -> Json:
    """Return the last lines of the first file that can be read, else of the unit's journal, which adds times on request."""
    for path in ask.get("paths") or []:
        try:
            with open(path, "rb") as file:
                at = max(0, os.path.getsize(path) - _TAIL)
                file.seek(at)
                # The first line is whole only at the beginning of the file.
                return dict(_lines((b"" if at else b"\n") + file.read(), ask), **{"from": path})
        except OSError:
            continue
    import subprocess

    unit, form = str(ask["unit"]), "short-unix" if ask.get("times") else "cat"
    try:
        done = subprocess.run(
            ["journalctl", "--quiet", "--no-pager", f"--output={form}", "--lines=500", f"--unit={unit}"],  # noqa: S607
            capture_output=True, timeout=left(until), check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unseen("no_log", f"no log of {unit} can be read: {exc}") from exc
    if not done.stdout.strip():
        raise Unseen("no_log", f"no log of {unit} can be read by this user")
    return dict(_lines(b"\n" + done.stdout, ask), **{"from": f"journalctl -u {unit}"})


def _lines(raw: bytes, ask: Dict) -> Dict:
    """Return the lines that contain one of the words which are asked for, the last one, and the first that was looked at."""
    cut = raw.decode("utf-8", "replace").splitlines()
    lines = [line[:_LONGEST] for line in cut[1:] or cut if line.strip()]
    found = [line for line in lines[:-1] if any(word in line for word in ask["words"])]
    since = found[-_LINES] if len(found) > _LINES else (lines or [""])[0]
    return {"since": since[:_HEAD], "lines": found[-_LINES:] + lines[-1:]}


def locks(ask: Dict, until: float) -> Json:
    """Return the processes that keep a file locked for writing, as two looks show them."""
    first = _writers(ask)
    if not first:
        return []
    time.sleep(min(float(ask.get("interval_s") or 1.0), left(until)))
    again = _writers(ask)
    return [dict(holder, pid=pid) for pid, holder in again.items() if pid in first]


def space(ask: Dict, _until: float) -> Json:
    """Return how much the owner of a file can still write where it is, and whether that is read-only."""
    path = str(ask["path"])
    try:
        owner, seen = os.stat(path).st_uid, os.statvfs(os.path.dirname(os.path.realpath(path)))
    except OSError as exc:
        raise Unseen("no_file", f"{path}: {exc.strerror}") from exc
    # A file system in memory may have no limit.
    free = (seen.f_bavail if owner else seen.f_bfree) * seen.f_frsize if seen.f_blocks else None
    return {"free": free, "read_only": bool(seen.f_flag & os.ST_RDONLY)}


def _writers(ask: Dict) -> Dict:
    inodes: Dict = {}
    for path in ask.get("paths") or []:
        try:
            inodes[os.stat(path).st_ino] = path
        except OSError:
            continue
    found: Dict = {}
    with open("/proc/locks", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    for row in rows:
        words = [word for word in row if word != "->"]
        inode = int(words[5].rpartition(":")[2])
        if "->" not in row and words[3] == "WRITE" and inode in inodes:
            pid = int(words[4])
            found[pid] = {"path": inodes[inode], "name": _name(pid)}
    return found


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
