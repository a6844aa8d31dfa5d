# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQLite file that holds the history of one mesh."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection
from meshctl_headscale._events import BAD
from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._history import absent
from meshctl_headscale._history.facts import Facts, Made, Node, Pair

VERSION = 1
KEEP_S = 30 * 86400.0
LARGEST_BYTES = 256 << 20
_PAGE_BYTES = 4096
_WAIT_S = 10.0
# What is dropped at once at most: a tenth.
_OLDEST = "SELECT id FROM run ORDER BY finished LIMIT (SELECT 1 + count(*) / 10 FROM run)"
# What lies further ahead comes from a clock that was wrong.
_AHEAD_S = 86400.0

_SCHEMA = """
CREATE TABLE run (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, started REAL NOT NULL, finished REAL NOT NULL,
  verdict TEXT NOT NULL, headline TEXT NOT NULL);
CREATE INDEX run_finished ON run (finished);
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE story_run (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, story TEXT NOT NULL, verdict TEXT NOT NULL,
  finished REAL NOT NULL, duration_s REAL NOT NULL, PRIMARY KEY (run, story)) WITHOUT ROWID;
CREATE TABLE pair_sample (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, source INTEGER NOT NULL, target INTEGER NOT NULL,
  reachable INTEGER, latency_s REAL, loss REAL, path INTEGER, relay INTEGER, bytes_per_s REAL,
  PRIMARY KEY (run, source, target)) WITHOUT ROWID;
CREATE TABLE node_sample (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, node INTEGER NOT NULL, online INTEGER,
  PRIMARY KEY (run, node)) WITHOUT ROWID;
CREATE TABLE node (
  node INTEGER PRIMARY KEY, seen REAL NOT NULL, online INTEGER, last_seen REAL, expiry REAL, version TEXT NOT NULL);
CREATE TABLE incident (
  id INTEGER PRIMARY KEY, check_id TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, verdict TEXT NOT NULL,
  hint TEXT NOT NULL, since REAL NOT NULL, seen REAL NOT NULL, runs INTEGER NOT NULL, until REAL, ended TEXT NOT NULL);
CREATE INDEX incident_until ON incident (until);
"""


class HistoryError(MeshctlError):
    """The history cannot be read or written."""


class DamagedError(HistoryError):
    """The file is no history, or not any more."""


class Store:
    """The history of one mesh. Every change is one transaction, so that it survives `kill -9` at any moment."""

    def __init__(self, path: Path, *, write: bool = False, largest_bytes: int = LARGEST_BYTES) -> None:
        """Open the file; `write` makes a missing one."""
        self.path = path
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BadInputError(f"The history {path} is not a regular file. Name another file with --history.")
        with self._explained():
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rwc' if write else 'rw'}",
                uri=True,
                timeout=_WAIT_S,
                isolation_level=None,
            )
        try:
            with self._explained():
                self._db.execute("PRAGMA foreign_keys = ON")
                self._prepare(write=write)
                # SQLite itself keeps the file from growing beyond this.
                self._db.execute(f"PRAGMA max_page_count = {largest_bytes // _PAGE_BYTES}")
        except HistoryError:
            self._db.close()
            raise

    def _prepare(self, *, write: bool) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "incident" not in tables:
            raise HistoryError(f"{self.path} is a database of another program. Specify another file with --history.")
        if version == 0 and write:
            with self._transaction():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise DamagedError(
                f"{self.path} is not a history that this meshctl reads (version {version}, not {VERSION}). "
                "Move it away to start a new one."
            )
        # Readers meet the damage where they read.
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0] if write else "ok"
        if found != "ok":
            raise DamagedError(f"The history {self.path} is damaged: {found}. Move it away to start a new one.")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Store:
        """Return the open history."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self.close()

    def rows(self, statement: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        with self._explained():
            yield from self._db.execute(statement, values)

    def add(self, facts: Facts) -> bool:
        """Add a run; return whether it was new."""
        return self._with_room(lambda: self._add(facts))

    def prune(self, keep_s: float = KEEP_S) -> None:
        """Drop what is older than `keep_s` when the newest run ended; little at a time, in case a clock has jumped."""
        with self._explained(), self._transaction():
            (newest,) = self._db.execute(
                "SELECT coalesce(max(finished), 0) FROM run WHERE finished <= ?", (self._horizon(),)
            ).fetchone()
            before = newest - keep_s
            old = self._db.execute(f"DELETE FROM run WHERE finished < ? AND id IN ({_OLDEST})", (before,)).rowcount  # noqa: S608
            self._db.execute(
                "DELETE FROM incident WHERE coalesce(until, seen) < (SELECT min(?, min(finished)) FROM run)", (before,)
            )
            if old:
                self._forget_names()

    def _horizon(self) -> float:
        """Return the latest time that is believed: any, if most runs say that it is this clock that is behind."""
        latest = time.time() + _AHEAD_S
        (ahead,) = self._db.execute("SELECT coalesce(avg(finished > ?), 0) FROM run", (latest,)).fetchone()
        return math.inf if ahead > 1 / 2 else latest

    def _with_room(self, write: Callable[[], bool]) -> bool:
        """Write in one transaction; drop the oldest runs if the file has reached its size."""
        for last_try in (False, True):
            try:
                with self._explained(), self._transaction():
                    return write()
            except _FullError:
                if last_try or not self._has_reached_its_size():
                    raise
                with self._explained(), self._transaction():
                    self._drop_oldest()
        raise AssertionError

    def _has_reached_its_size(self) -> bool:
        """Whether it is the limit of the file that was reached, and not that of the disk."""
        (pages,), (most,) = (self._db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "max_page_count"))
        return bool(pages >= most - most // 100)

    def _drop_oldest(self) -> None:
        self._db.execute(f"DELETE FROM run WHERE id IN ({_OLDEST})")  # noqa: S608
        self._db.execute("DELETE FROM incident WHERE until < (SELECT min(finished) FROM run)")
        self._forget_names()

    def _forget_names(self) -> None:
        """Forget the names of nodes that no run mentions any more."""
        self._db.execute("DELETE FROM node WHERE node NOT IN (SELECT node FROM node_sample)")
        self._db.execute(
            "DELETE FROM name WHERE id NOT IN (SELECT source FROM pair_sample UNION SELECT target FROM pair_sample "
            "UNION SELECT path FROM pair_sample WHERE path NOT NULL UNION SELECT relay FROM pair_sample WHERE relay NOT NULL "
            "UNION SELECT node FROM node_sample)"
        )

    def _add(self, facts: Facts) -> bool:
        if facts.finished > (horizon := self._horizon()):
            raise HistoryError(
                f"The run {facts.run_id} cannot be added to the history: it ended at {_shown(facts.finished)}, but this machine's clock says "
                f"{_shown(time.time())}. Correct the clock that is wrong."
            )
        added = self._db.execute(
            "INSERT OR IGNORE INTO run (run_id, started, finished, verdict, headline) VALUES (?, ?, ?, ?, ?)",
            (facts.run_id, facts.started, facts.finished, facts.verdict, facts.headline),
        )
        if not added.rowcount:
            return False
        run = int(added.lastrowid or 0)
        self._db.executemany(
            "INSERT OR REPLACE INTO story_run VALUES (?, ?, ?, ?, ?)",
            [(run, story.story, story.verdict, story.finished, story.duration_s) for story in facts.stories],
        )
        self._db.executemany(
            "INSERT INTO pair_sample VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self._pair(run, pair) for pair in facts.pairs],
        )
        for node in facts.nodes:
            self._node(run, node, facts.finished, horizon)
        self._incidents(facts, horizon)
        return True

    def _pair(self, run: int, pair: Pair) -> tuple[Any, ...]:
        path, relay = (self._name(text) if text else None for text in (pair.path, pair.relay))
        ends = (self._name(pair.source), self._name(pair.target))
        return (run, *ends, pair.reachable, pair.latency_s, pair.loss, path, relay, pair.bytes_per_s)

    def _node(self, run: int, node: Node, at: float, horizon: float) -> None:
        key = self._name(node.name)
        self._db.execute("INSERT INTO node_sample VALUES (?, ?, ?)", (run, key, node.online))
        self._db.execute(
            "INSERT INTO node VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (node) DO UPDATE SET seen = excluded.seen, "
            "online = coalesce(excluded.online, online), last_seen = coalesce(excluded.last_seen, last_seen), "
            # Whether it is online says that the server was asked: then no expiry means never.
            "expiry = CASE WHEN excluded.online IS NULL THEN expiry ELSE excluded.expiry END, "
            "version = CASE excluded.version WHEN '' THEN version ELSE excluded.version END "
            "WHERE excluded.seen >= seen OR seen > ?",
            (key, at, node.online, node.last_seen, node.expiry, node.version, horizon),
        )

    def _name(self, text: str) -> int:
        self._db.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (text,))
        return int(self._db.execute("SELECT id FROM name WHERE text = ?", (text,)).fetchone()[0])

    def _incidents(self, facts: Facts, horizon: float) -> None:
        """Open, continue and end incidents: a check that keeps failing is one incident."""
        rows = self._db.execute("SELECT id, check_id, source, target, seen FROM incident WHERE until IS NULL")
        running = {
            (check, source, target): (key, seen if seen <= horizon else 0.0)
            for key, check, source, target, seen in rows.fetchall()
        }
        for check in facts.checks:
            key, seen = running.pop(check.key, (None, 0.0))
            # A run that is added late does not change what later runs have said.
            if key is None:
                if check.verdict in BAD and not self._known_later(check, horizon):
                    self._begin(check)
            elif check.at >= seen and check.verdict in BAD:
                self._db.execute(
                    "UPDATE incident SET verdict = ?, hint = ?, since = min(since, ?), seen = ?, runs = runs + 1 WHERE id = ?",
                    (check.verdict, check.hint, check.at, check.at, key),
                )
            elif check.at >= seen and check.verdict == "passed":
                self._end(key, check.at, "passed")
        for over in absent.over(running.copy(), facts):
            key, seen = running.pop(over)
            if facts.finished >= seen:
                self._end(key, facts.finished, "passed")
        if facts.complete and facts.hosts:
            self._end_removed(running, facts)

    def _known_later(self, check: Made, horizon: float) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM incident WHERE check_id = ? AND source = ? AND target = ? AND until BETWEEN ? AND ? LIMIT 1",
            (*check.key, check.at, horizon),
        )
        return found.fetchone() is not None

    def _begin(self, check: Made) -> None:
        self._db.execute(
            "INSERT INTO incident (check_id, source, target, verdict, hint, since, seen, runs, until, ended) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 1, NULL, '')",
            (*check.key, check.verdict, check.hint, check.at, check.at),
        )

    def _end(self, incident: int, at: float, how: str) -> None:
        self._db.execute(
            "UPDATE incident SET since = min(since, ?), until = ?, ended = ? WHERE id = ?", (at, at, how, incident)
        )

    def _end_removed(self, left: dict[tuple[str, str, str], tuple[int, float]], facts: Facts) -> None:
        """End the incidents of hosts that are not in the inventory any more."""
        known = {text for (text,) in self._db.execute("SELECT text FROM node JOIN name ON name.id = node.node")}
        listed = facts.hosts | {node.name for node in facts.nodes}
        for (_check, source, target), (key, seen) in left.items():
            gone = source not in facts.hosts or (target in known and target not in listed)
            if gone and facts.finished >= seen:
                self._end(key, facts.finished, "removed")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # A full disk has ended the transaction already.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of SQLite into a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedError(
                    f"The history {self.path} is damaged ({error}). Move it away to start a new one."
                ) from None
            if code == sqlite3.SQLITE_FULL:
                raise _FullError(
                    f"The history {self.path} cannot be written: the disk is full. Free some space."
                ) from None
            if self.path.is_dir():
                raise HistoryError(f"The history {self.path} is a directory. Name a file with --history.") from None
            if code == sqlite3.SQLITE_CANTOPEN and not self.path.exists():
                raise HistoryError(
                    f"There is no history {self.path} yet. `meshctl watch` keeps one, and `meshctl history --add RUN` adds a run."
                ) from None
            raise HistoryError(f"The history {self.path} cannot be used: {error}.") from None


def _shown(moment: float) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class _FullError(HistoryError):
    """Nothing more fits, on the disk or in the file."""


def open_to_write(path: Path, *, largest_bytes: int = LARGEST_BYTES) -> tuple[Store, str]:
    """Open a history to write; move a damaged one away, and return a sentence that says so."""
    _collection.private.directory(path.parent, remedy="Name a file in a directory that you own with --history.")
    with contextlib.suppress(FileExistsError):
        # For this user alone, before SQLite writes to it.
        os.close(_collection.private.new_file(path))
    try:
        return Store(path, write=True, largest_bytes=largest_bytes), ""
    except DamagedError as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        for rest in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        os.close(_collection.private.new_file(path))
        said = str(error).partition(" Move it away")[0]
        return Store(
            path, write=True, largest_bytes=largest_bytes
        ), f"{said} It is now {aside}; a new history was started."
