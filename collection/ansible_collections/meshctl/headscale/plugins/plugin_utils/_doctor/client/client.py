# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the client is logged in and connected to its server."""

from __future__ import annotations

from typing import Any

from ..._judge import causes
from ..._judge.answer import items, text
from ..._judge.reason import Reason
from .. import client_log
from ..observed import Cause, Check, CheckContext, Client, because
from ..settling import WAITING

AFTER = ("exit_node", "network", "upstream_dns", "server", "proxy", "server_url", "connection")


def requests(_client: Client) -> list[dict[str, Any]]:
    """Read what tailscaled logs of its start and of its connection."""
    return [client_log.REQUEST]


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the client runs, and the reason that it gives if it does not."""
    expected = {"state": "Running", "online": True}
    if not client.status:
        return context.check(None, expected=expected, observed=None, hint=_unseen(client))
    observed = {
        "state": text(client.status.get("BackendState")),
        "online": client.me.get("Online"),
        "health": [text(line) for line in items(client.status.get("Health"))],
    }
    hint = _lost_state(client) or causes.client(client)
    if causes.refused_key(client):
        hint = (
            f"{hint}: the server refuses its preauthkey, which is used up, expired or unknown; create another one with `headscale preauthkeys "
            "create`, and join with it"
        )
    elif remedy := _asks_differently(client):
        hint = f"{hint}: {remedy}"
    elif client.running and client.me.get("Online") is False and not client.me.get("Expired"):
        hint = (
            f"{hint}, which answers this host: after an outage a client may take half a minute to connect again; run the doctor "
            "again then, and read tailscaled's log if that does not help"
        )
    check = context.check(not hint, expected=expected, observed=observed, hint=hint, command="tailscale status")
    return because(check, _cause(client, context.story))


def _asks_differently(client: Client) -> str:
    """Return why tailscaled does not get to the server although its host does, from what tailscaled reports."""
    said = " ".join(text(line) for line in items(client.status.get("Health")))
    if client.me.get("Online") is True:
        return ""
    if "proxyconnect" in said:
        return (
            "tailscaled asks through the HTTP proxy of its environment, which does not connect it: correct or remove HTTPS_PROXY there "
            "(/etc/default/tailscaled, or `systemctl cat tailscaled`), and restart it"
        )
    answered = any(row.get("outcome") == "answered" for row in client.rows("server"))
    if "x509: certificate signed by unknown authority" in said and answered and client.url.startswith("https:"):
        return (
            "this host's trust store has the CA, and tailscaled does not know it: restart tailscaled, which reads that store when it "
            "starts, and if that does not help, correct SSL_CERT_FILE and SSL_CERT_DIR in its environment"
        )
    return ""


def _unseen(client: Client) -> Reason:
    """Return why tailscaled's status is unknown: it does not tell it, or its host could not be asked."""
    why = client.why("status")
    kind = text(client.error("status").get("type"))
    if kind == "no_socket":
        return why.followed_by(
            ": its socket was removed, or is elsewhere (--socket); restart tailscaled, which makes it again"
        )
    if kind == "no_python":
        return why
    if client.failed:
        return why.followed_by(": check the host's load, its disk and its Python")
    ended = client_log.end(client.data("tailscaled_log"))
    return why.followed_by(f": start tailscaled on this host, or restart it if it hangs{f'; {ended}' if ended else ''}")


def _lost_state(client: Client) -> str:
    """Return that tailscaled runs without its state, which only its log tells."""
    lost = client_log.lost_state(client.data("tailscaled_log"))
    if not lost or client.running:
        return ""
    return (
        f"tailscaled could not read its state when it started, and has forgotten its node: {lost}; make its state directory readable "
        "or restore it, and restart tailscaled, or delete the state and join the node again"
    )


def _cause(client: Client, story: str) -> Cause | None:
    """Return why the client is logged out, or why it has no connection although it has a network map."""
    server = client.known.server
    expired = server.expired(text(client.node.get("givenName")), story) if server and client.node else None
    waits = text(client.status.get("BackendState")) in WAITING and not _lost_state(client)
    if expired or not (client.running or waits or causes.login_error(client)):
        return expired
    cause = client.cause("exit_node", "network", *client.lost_server, "server", "proxy", "server_url", "connection")
    if not client.running:
        return cause
    # The comparison of all clients reports a lost key.
    lost = server and server.key_errors and client.me.get("Online") is False
    replaced = client.servers_cause("start") if client.me.get("Online") is False else None
    return cause or replaced or (Cause(id=f"{story}.identity", source=server.source) if server and lost else None)
