# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the client uses the right server, under a URL from which it recovers."""

from __future__ import annotations

from ..._judge.quoting import quoted
from .. import urls
from ..observed import NO_SERVER, Check, CheckContext, Client


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the URL is the inventory's and safe."""
    if client.has_no_server:
        return context.skipped(NO_SERVER, expected="a control server")
    if not client.url:
        return context.check(None, expected="a control server", observed=None, hint=client.why("prefs"))
    wanted = client.known.server_url.rstrip("/")
    problem = urls.problem(client.url)
    if not problem and wanted and urls.normal(wanted) != urls.normal(client.url):
        problem = (
            f"the client uses {client.url}, and the inventory has {wanted}: correct mesh_server_url, or join with "
            f"`tailscale up --login-server={quoted(wanted)} --force-reauth`"
        )
    return context.check(
        not problem,
        expected={"url": wanted or "https://…"},
        observed={"url": client.url},
        hint=problem,
        command="tailscale debug prefs",
    )
