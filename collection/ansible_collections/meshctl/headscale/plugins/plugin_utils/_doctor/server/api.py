# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server's API can be asked."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server, because

AFTER = ("start", "database")


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return an error if the server does not list its nodes, its users or its policy."""
    if hint := _unread(server):
        check = context.check(None, expected="the API answers", observed=None, hint=hint)
        yield because(check, server.cause("start", "database"))


def _unread(server: Server) -> str:
    if not server.listed:
        return f"{server.why('nodes')}: the server's records were not examined"
    if not server.names_are_known:
        return f"{server.why('users')}: what depends on the users was not examined"
    if not server.policy_answered:
        return f"{server.why('policy')}: the policy was not examined"
    return ""
