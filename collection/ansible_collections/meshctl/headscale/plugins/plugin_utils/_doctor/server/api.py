# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server's API can be asked."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server, because

AFTER = ("start",)


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return an error if the server does not list its nodes."""
    if not server.listed:
        hint = f"{server.why('nodes')}: the server's records were not examined"
        check = context.check(None, expected="the API answers", observed=None, hint=hint)
        yield because(check, server.cause("start"))
