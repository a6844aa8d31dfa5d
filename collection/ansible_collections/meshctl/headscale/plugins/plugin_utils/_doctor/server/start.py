# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that headscale runs; if it does not, its log has the reason."""

from __future__ import annotations

import re

from ..._judge.answer import mapping, text
from ..records import NO_FILES, RECENT_S, STOPPED, Check, CheckContext, Iterator, Server, because

AFTER = ("config", "database")
# It goes on if the last end is not much longer ago than those before were apart.
_CRASHES, _STILL = 3, 3
_OFTEN_S = 60.0
_UNWRITABLE = re.compile(r"readonly database|SQLITE_READONLY|no space left on device|disk is full")
_ERROR = re.compile(r"^(Error:|FTL|panic:)")
# A line may quote a client, with any words inside it.
_GAVE_UP = re.compile(r"^Error: ")
_EXHAUSTED = re.compile(re.escape(NO_FILES))
# A password with blanks is in the log in part, because headscale does not quote it.
_PASSWORD = re.compile(r"password=[^`]*")
# What headscale says of its database, and what to do about it.
_REMEDIES = tuple((re.compile(pattern), remedy) for pattern, remedy in (
    (r"SQLSTATE 28P01|SQLSTATE 28000", "correct database.postgres.user and database.postgres.pass"),
    (r"SQLSTATE 3D000", "create that database, or correct database.postgres.name"),
    (r"failed to connect to `.*hostname resolving error", "correct database.postgres.host"),
    (r"failed to connect to `.*tls error", "correct database.postgres.ssl, or the certificate of PostgreSQL"),
    (r"failed to connect to `.*dial error", "start PostgreSQL, or correct database.postgres.host and database.postgres.port"),
    (r"cannot parse `.*password=", "use a password without blanks, quotes or backslashes"),
    (r"SQLSTATE 25006", "name a PostgreSQL server that is no standby in database.postgres.host, or set its default_transaction_read_only to off"),
    (r"SQLSTATE 53300", "end unused connections to PostgreSQL, or raise its max_connections"),
    (r"database is locked|SQLITE_BUSY", "stop the process that keeps the SQLite database locked"),
    (r"readonly database|SQLITE_READONLY", "let headscale's user write the SQLite database and its directory, and mount that writable"),
    (r"disk image is malformed|not a database", "restore the SQLite database from a backup"),
    (r"unable to open database file", "create the directory of database.sqlite.path, or let headscale's user write there"),
    (r"no space left on device|disk is full", "free space on that disk"),
    (r"address already in use", "stop the program that has the port (`ss -Hltnp`), or give that listener another one"),
    (r"cannot assign requested address", "write an address of this host into that listener, or 0.0.0.0"),
    (r"creating OIDC provider", "check that this host reaches oidc.issuer, or set oidc.only_start_if_oidc_is_available to false"),
    (r"getting DERPMap: invalid character", "correct derp.urls: one of them does not answer with a map in JSON"),
    (r"permission denied", "let headscale's user read that file, and write its directory"),
    (r"no such file or directory", "restore that file, or correct its path in the configuration"),
))  # fmt: skip


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return why headscale does not serve, if it does not, or ends again and again."""
    ended = server.ended_abruptly()
    if _goes_on(ended):
        yield _crashes(server, context, ended)
        return
    if server.listed and _goes_on(server.recent_lines(_GAVE_UP, _OFTEN_S)):
        yield _replaced(server, context)
    if not server.listed and server.recent_lines(_EXHAUSTED, _OFTEN_S):
        yield _exhausted(server, context)
        return
    if server.listed or not server.log or server.data("listening") is None or _listens(server):
        return
    # A service manager starts it again and again: the error may belong to the start before the last.
    errors = [line for line in server.log_since(STOPPED) if _ERROR.search(line)]
    log = [_PASSWORD.sub("password=…", line) for line in server.log]
    said = _said((errors or server.log)[-1])
    starts = "does not start" if errors else "is not running"
    check = context.check(
        False,
        expected={"headscale": "listens"},
        observed={"headscale": "does not listen", "log": said},
        evidence={"log": log[-5:], "from": text(mapping(server.data("log")).get("from"))},
        hint=f"headscale {starts}; the last {'error' if errors else 'line'} in its log: {said}{_remedy(said)}",
        command="headscale configtest",
    )
    space = server.cause("database.space") if _UNWRITABLE.search(said) else None
    yield because(check, server.cause("config") or space)


def _said(line: str) -> str:
    """Return what a line of the log says, without a password."""
    return _PASSWORD.sub("password=…", _ERROR.sub("", line, count=1).strip())


def _goes_on(ages: list[float]) -> bool:
    """Whether something happened several times, and the last time not longer ago than usual."""
    return len(ages) >= _CRASHES and ages[0] <= _STILL * (ages[-1] - ages[0]) / (len(ages) - 1)


def _crashes(server: Server, context: CheckContext, ended: list[float]) -> Check:
    """Return that headscale is started again and again after it was killed or panicked."""
    panics = [line for line in server.log if line.startswith("panic: ")]
    why = (
        f"its log has {panics[-1]}"
        if panics
        else "its log does not say why, as when it is killed: see `journalctl -u headscale`, and `dmesg` for a lack of memory"
    )
    return context.check(
        False,
        expected={"ended": f"less than {_CRASHES} times in {RECENT_S:.0f} s"},
        observed={"ended": len(ended)},
        evidence={"seconds_ago": [round(age) for age in ended]},
        hint=f"headscale ends and is started again, {len(ended)} times in the last {RECENT_S / 60:.0f} minutes, and cuts all connections: "
        f"{why}",
        command="journalctl -u headscale",
    )


def _replaced(server: Server, context: CheckContext) -> Check:
    """Return that something answers, although headscale's service does not start."""
    said = _said(next(line for line in reversed(server.log) if _GAVE_UP.search(line)))
    return context.check(
        False,
        expected={"headscale": "starts"},
        observed={"headscale": "does not start", "log": said, "api": "answers"},
        hint=f"headscale's service does not start, and another process answers in its place, which may have another configuration, key or "
        f"database; the last error in its log: {said}{_remedy(said)}",
        command="ss -Hltnp",
    )


def _exhausted(server: Server, context: CheckContext) -> Check:
    """Return that headscale has no file left for another connection."""
    said = _said(next(line for line in reversed(server.log) if _EXHAUSTED.search(line)))
    return context.check(
        False,
        expected={"headscale": "accepts connections"},
        observed={"headscale": "accepts none", "log": said},
        hint=f"headscale accepts no connections, because it has too few open files; its log has: {said}; raise LimitNOFILE of its service "
        "to 65536 (`systemctl edit headscale`), and restart it",
        command='grep "open files" /proc/$(pidof headscale)/limits',
    )


def _remedy(said: str) -> str:
    found = next((remedy for pattern, remedy in _REMEDIES if pattern.search(said)), "")
    return f": {found}" if found else ""


def _listens(server: Server) -> bool:
    return any(text(mapping(row.get("process")).get("name")) == "headscale" for row in server.rows("listening"))
