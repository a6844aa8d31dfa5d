# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that no other process keeps the SQLite database locked."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import text
from ..._judge.quoting import quoted
from ..records import Check, CheckContext, Iterator, Server, setting


def requests(server: Server) -> list[dict[str, Any]]:
    """Look at the locks on the database's files."""
    path = _path(server)
    return (
        [{"id": "locks", "kind": "locks", "paths": [path, f"{path}-shm", f"{path}-wal", f"{path}-journal"]}]
        if path
        else []
    )


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the processes that lock the database."""
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


def _path(server: Server) -> str:
    kind = text(setting(server.settings, "database.type"))
    return text(setting(server.settings, "database.sqlite.path")) if kind.startswith("sqlite") else ""
