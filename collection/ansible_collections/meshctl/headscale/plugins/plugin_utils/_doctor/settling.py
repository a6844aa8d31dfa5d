# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell what a moment later may look different: a client that starts or connects again, and what the server listed before. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._judge.answer import Json, mapping, text

if TYPE_CHECKING:
    from .records import Server

# In these states, a client waits for its server.
WAITING: Final = ("NoState", "Starting")


def settles(status: Json) -> bool:
    """Whether a client is on its way into the mesh, or has not found a home relay yet, as tailscaled's status tells."""
    known = mapping(status)
    state, me = text(known.get("BackendState")), mapping(known.get("Self"))
    lacks = me.get("Online") is False or me.get("Relay") == ""
    return state in WAITING or (state == "Running" and lacks and not me.get("Expired"))


def outdated(server: Server) -> bool:
    """Whether the server listed a node as offline, and its client, which was asked later, is online."""
    return any(view.online for node in server.nodes if node.get("online") is not True and (view := server.view(node)))
