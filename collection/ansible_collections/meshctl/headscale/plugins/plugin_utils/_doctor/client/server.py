# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the control server answers this client."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import items, text
from ..._judge.quoting import quoted
from .. import control
from ..observed import Check, CheckContext, Client

KEY_VERSION = 113
"""A capability version that every supported server knows."""


def requests(client: Client) -> list[dict[str, Any]]:
    """Fetch the public pages of the server."""
    if not client.url:
        return []
    pages = [*control.asked(client.url), {"url": f"{client.url}/key?v={KEY_VERSION}"}]
    return [{"id": "server", "kind": "http", "targets": pages, "try_timeout_s": 5.0}]


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the server is healthy."""
    expected = {"url": f"{client.url}{control.HEALTH}", "status": control.OK}
    row = client.row("server", url=expected["url"])
    if not row:
        rows = client.data("server")
        hint = client.why("server") if rows is None else control.trouble(items(rows), client.url)
        return context.check(None, expected=expected, observed=None, hint=hint)
    return context.check(
        not control.unwell(row),
        expected=expected,
        observed={"outcome": text(row.get("outcome")), "status": row.get("status")},
        hint=control.unwell(row),
        command=f"curl -sS {quoted(expected['url'])}",
    )
