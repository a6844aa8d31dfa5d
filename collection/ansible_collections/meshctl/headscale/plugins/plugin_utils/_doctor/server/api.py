# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server's API can be asked."""

from __future__ import annotations

from ..._judge.answer import text
from ..records import Check, CheckContext, Iterator, Server, because, setting

AFTER = ("start", "database")


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return an error if the server does not list its nodes, its users or its policy."""
    if hint := _unread(server):
        check = context.check(None, expected="the API answers", observed=None, hint=hint)
        yield because(check, server.cause("start", "database"))


def _unread(server: Server) -> str:
    if not server.listed:
        return server.why("nodes").followed_by(f"{_waits(server)}: the server's records were not examined")
    if not server.names_are_known:
        return server.why("users").followed_by(": what depends on the users was not examined")
    if not server.policy_answered:
        return server.why("policy").followed_by(": the policy was not examined")
    return ""


def _waits(server: Server) -> str:
    """Return where to look if the API alone does not answer; what it waits for cannot be seen from outside."""
    if "timed out" not in server.why("nodes") or not any(
        row.get("outcome") == "answered" for row in server.rows("web")
    ):
        return ""
    where = (
        "ask PostgreSQL what waits for a lock (`select pid, query from pg_stat_activity where wait_event_type = 'Lock'`)"
        if text(setting(server.settings, "database.type")) == "postgres"
        else "read headscale's log"
    )
    return f", while its page /version answers, so its database may keep it waiting, which was not seen ({where})"
