# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that nothing between client and server breaks the upgrade that clients need."""

from __future__ import annotations

from ..._judge.answer import mapping, text
from ..._judge.quoting import quoted
from .. import control
from ..observed import NO_SERVER, Check, CheckContext, Client, because

AFTER = ("server",)


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the server's upgrade passes."""
    url, expected = f"{client.url}{control.UPGRADE}", {"status": control.SWITCHING}
    row = client.row("server", url=url)
    if client.has_no_server:
        return context.skipped(NO_SERVER, expected=expected)
    if not row:
        check = context.check(None, expected=expected, observed=None, hint=client.why("server"))
        return because(check, client.cause("exit_node", "network", *client.lost_server, "server"))
    if text(row.get("outcome")) != "answered":
        return context.skipped(f"the server cannot be queried: {control.no_answer(row)}", expected=expected)
    hint = control.agent_rejected(row, client.row("as_meshctl", url=url)) or control.not_upgraded(row)
    check = context.check(
        not hint,
        expected=expected,
        observed={"status": row.get("status"), "server": text(mapping(row.get("headers")).get("server"))},
        hint=hint,
        command=f"curl -sSi --http1.1 -X POST -H 'Upgrade: tailscale-control-protocol' -H 'Connection: upgrade' "
        f"-A Go-http-client/1.1 {quoted(url)}",
    )
    return because(check, client.cause("server"))
