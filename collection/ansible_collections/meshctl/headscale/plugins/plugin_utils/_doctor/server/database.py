# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that headscale can write its SQLite database: no other process locks it, and its disk has space."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import mapping, number, text
from ..._judge.quoting import quoted
from ..records import Check, CheckContext, Iterator, Server, setting

# SQLite needs a few free pages to save anything.
_LEAST = 64 * 1024


def requests(server: Server) -> list[dict[str, Any]]:
    """Look at the locks on the database's files."""
    path = _path(server)
    locks = {"id": "locks", "kind": "locks", "paths": [path, f"{path}-shm", f"{path}-wal", f"{path}-journal"]}
    return [locks, {"id": "space", "kind": "space", "path": path}] if path else []


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the processes that lock the database, and whether its file system takes no more."""
    yield from _space(server, context)
    if not _path(server) or server.data("locks") is None:
        return
    holders = [f"{text(row.get('name')) or 'a process'} (pid {row.get('pid')})" for row in server.rows("locks")
               if row.get("name") != "headscale"]  # fmt: skip
    yield context.check(
        not holders,
        expected={"locked_by": []},
        observed={"locked_by": holders},
        hint=f"{', '.join(holders)} keeps {_path(server)} locked, so headscale cannot write to its database: stop that process; "
        "make backups with `sqlite3 … '.backup …'`, which does not lock it",
        command=f"fuser -v {quoted(_path(server))}",
    )


def _space(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return that nothing can be written where the database is: headscale goes on to serve what it has in memory."""
    seen, path = mapping(server.data("space")), _path(server)
    free = number(seen.get("free"))
    full = free is not None and free < _LEAST
    if not path or not (full or seen.get("read_only") is True):
        return
    why = (
        f"is read-only: make it writable (`findmnt -T {quoted(path)}`; after an error of the disk, `dmesg` has the reason)"
        if seen.get("read_only") is True
        else f"is full ({(free or 0) / 1024:.0f} KiB are free): free space there (`df -h {quoted(path)}`)"
    )
    yield context.check(
        False,
        aspect="space",
        expected={"free": f"{_LEAST} bytes or more", "read_only": False},
        observed=seen,
        hint=f"the file system of {path} {why}; until then headscale cannot save nodes, users or routes, and the mesh goes on with what was saved",
        command=f"df -h {quoted(path)}",
    )


def _path(server: Server) -> str:
    kind = text(setting(server.settings, "database.type"))
    return text(setting(server.settings, "database.sqlite.path")) if kind.startswith("sqlite") else ""
