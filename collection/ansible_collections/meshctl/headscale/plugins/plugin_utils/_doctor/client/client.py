# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the client is logged in and connected to its server."""

from __future__ import annotations

from ..._judge import causes
from ..._judge.answer import items, text
from ..observed import Check, CheckContext, Client


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the client runs, and the reason that it gives if it does not."""
    expected = {"state": "Running", "online": True}
    if not client.status:
        why = f"{client.why('status')}: start tailscaled on this host"
        return context.check(None, expected=expected, observed=None, hint=why)
    observed = {
        "state": text(client.status.get("BackendState")),
        "online": client.me.get("Online"),
        "health": [text(line) for line in items(client.status.get("Health"))],
    }
    hint = causes.client(client)
    return context.check(not hint, expected=expected, observed=observed, hint=hint, command="tailscale status")
