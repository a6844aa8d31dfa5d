# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each client is a node of the server."""

from __future__ import annotations

from ..._judge.answer import text
from ..._judge.quoting import quoted
from ..records import Cause, Check, CheckContext, ClientView, Iterator, Server, because, given_name

_JOIN = (
    "join it again with a key of `headscale preauthkeys create`: `tailscale up --login-server={} --force-reauth --auth-key=file:KEYFILE`, and its "
    "other options, which tailscale names if they are missing"
)


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each client of the inventory."""
    views = {view.name: view for view in server.known.views}
    for name in server.known.clients if server.listed else ():
        if name in views:
            yield because(_registered(server, context, views[name]), _cause(server, views[name], context.story))
        else:
            yield context.skipped(f"{name} was not examined", target=name, expected={"registered": True})


def _cause(server: Server, view: ClientView, story: str) -> Cause | None:
    """Return what the server knows of a node's key, or why the client is not in the mesh."""
    node = server.node_of(view.key)
    if not view.key:  # its client did not tell it, or has none
        return view.cause("client")
    if not node:
        return None
    return server.expired(given_name(node), story) or view.cause("client")


def _registered(server: Server, context: CheckContext, view: ClientView) -> Check:
    found = bool(view.key) and any(text(node.get("nodeKey")) == view.key for node in server.nodes)
    return context.check(
        found and view.state in ("Running", "Stopped"),
        target=view.name,
        expected={"registered": True, "state": "Running"},
        observed={"registered": found, "state": view.state},
        evidence={"health": list(view.health), "preauthkeys": server.keys},
        hint=_hint(server, view, found=found),
        command="headscale nodes list",
    )


def _hint(server: Server, view: ClientView, *, found: bool) -> str:
    keys = server.keys
    none = f"; there is no usable preauthkey ({keys['used']} used, {keys['expired']} expired)"
    remedy = _JOIN.format(quoted(server.known.url or "URL")) + ("" if keys["usable"] else none)
    if found:
        return f"the server knows it, but its client is {view.state}: {remedy}"
    if view.key:
        return f"the server does not know its key, because it was deleted there or belongs to another server: {remedy}"
    return f"it is not registered ({view.state or 'no tailscaled'}): {remedy}"
