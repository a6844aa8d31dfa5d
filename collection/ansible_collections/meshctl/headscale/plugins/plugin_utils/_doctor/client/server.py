# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the control server answers this client."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from ..._judge.answer import endpoint, items, text
from ..._judge.quoting import quoted
from ..._judge.reason import late
from .. import control
from ..observed import NO_SERVER, Cause, Check, CheckContext, Client, because

AFTER = ("exit_node", "upstream_dns", "domain", "mtu", "network")
_UNASKED = late(
    "its health page was not fetched in time, although another page of it was: packets are lost on the way, or it is slow"
)
KEY_VERSION = 113
"""A capability version that every supported server knows."""


def requests(client: Client) -> list[dict[str, Any]]:
    """Fetch the public pages of the server."""
    if not client.url:
        return []
    pages = [*control.asked(client.url), {**control.AS_CLIENT, "url": f"{client.url}/key?v={KEY_VERSION}"}]
    # A proxy may treat programs by their name.
    ours = [{**page, "user_agent": "meshctl"} for page in pages[:2]]
    return [{"id": name, "kind": "http", "targets": targets, "try_timeout_s": 5.0}
            for name, targets in (("server", pages), ("as_meshctl", ours))]  # fmt: skip


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the server is healthy."""
    expected = {"url": f"{client.url}{control.HEALTH}", "status": control.OK}
    if client.has_no_server:
        return context.skipped(NO_SERVER, expected="a server that answers")
    row = client.row("server", url=expected["url"])
    if not row:
        rows = client.data("server")
        hint = client.why("server") if rows is None else control.trouble(items(rows), client.url) or _UNASKED
        check = context.check(None, expected=expected, observed=None, hint=hint)
        return because(check, client.cause("exit_node", "network", *client.lost_server))
    ours = client.row("as_meshctl", url=expected["url"])
    hint = control.agent_rejected(row, ours) or control.unproxied(row) or _behind(client, row) or control.unwell(row)
    check = context.check(
        not hint,
        expected=expected,
        observed={"outcome": text(row.get("outcome")), "status": row.get("status")},
        evidence=control.seen_at(row),
        hint=hint,
        command=f"curl -sS -A Go-http-client/1.1 {quoted(expected['url'])}",
    )
    return because(check, _cause(client, text(row.get("outcome"))) or client.stalled(row))


def _behind(client: Client, row: dict[str, Any]) -> str:
    """Return what a refused connection means if headscale itself was seen to listen on its host."""
    known = client.known.server.serves_at if client.known.server else []
    if not known or text(row.get("outcome")) != "refused":
        return ""
    where = ", ".join(known)
    if all(ip_address(endpoint(entry)[0] or "::").is_loopback for entry in known):
        return (
            f"headscale listens at {where} alone, where no other host reaches it: start the proxy in front of it, or set listen_addr to "
            f"0.0.0.0:{endpoint(known[0])[1]}"
        )
    return (
        f"headscale listens at {where} on its own host, but {text(row.get('address')) or 'the address of its name'} refuses "
        "connections: check the port forwarding of its router, the proxy in front of it, and where the name leads"
    )


def _cause(client: Client, outcome: str) -> Cause | None:
    if outcome == "no-name":
        return client.cause("exit_node", "network", "upstream_dns", "domain")
    if outcome == "refused":
        return client.servers_cause("start")
    if outcome == "timeout":
        return client.cause("exit_node", "network") or client.servers_cause("start", "database")
    return client.cause("exit_node") or client.servers_cause("start", "database")
