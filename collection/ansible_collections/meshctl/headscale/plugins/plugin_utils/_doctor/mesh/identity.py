# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that all clients see one server, and accept it."""

from __future__ import annotations

from ..._judge.quoting import quoted
from ..records import Check, CheckContext, ClientView, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return whether the keys that the clients were shown are the same, and whether clients accept them."""
    if not server.listed:
        yield from _replaced(server, context)
        return
    keys = {view.name: view.server_key for view in server.known.views if view.server_key}
    if not keys:
        yield context.skipped("no client could ask the server for its key", expected="one key")
        return
    # A client that has no connection yet proves nothing; the server's log does.
    cut_off = [view.name for view in server.known.views if _cut_off(view)] if server.key_errors else []
    hint = "the clients see different servers under one URL: its name resolves to two machines, or a proxy balances between two"
    if cut_off:
        hint = (
            f"{', '.join(cut_off)} cannot connect to a healthy server whose log shows failed handshakes, as after its "
            "noise key (noise.private_key_path) was lost or replaced: restore the key from a backup, or restart tailscaled on "
            "every client"
        )
    yield context.check(
        len(set(keys.values())) == 1 and not cut_off,
        expected={"keys": 1, "cannot_authenticate": []},
        observed={"keys": len(set(keys.values())), "cannot_authenticate": cut_off},
        evidence={"keys": keys, "log": server.key_errors[-3:]},
        hint=hint,
        command=f"curl -sS {quoted(server.known.url + '/key?v=113')}",
    )


def _replaced(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a finding if the server answers, but refuses the API key and no client can connect any more."""
    views = server.known.views
    cut_off = [view.name for view in views if _cut_off(view)]
    if "refuses the API key" in server.why("nodes") and views and len(cut_off) == len(views):
        yield context.check(
            False,
            expected={"cannot_authenticate": []},
            observed={"api_key": "refused", "cannot_authenticate": cut_off},
            evidence={"log": server.key_errors[-3:]},
            hint="the server answers, but refuses the API key, and clients can no longer connect to it, as after its database and its "
            "noise key were lost or replaced: restore both from a backup, or make a new API key and join the clients again; just after a "
            "restart, clients may need half a minute to connect",
            command=f"curl -sS {quoted(server.known.url + '/key?v=113')}",
        )


def _cut_off(view: ClientView) -> bool:
    return view.state == "Running" and not view.online and view.server_answers
