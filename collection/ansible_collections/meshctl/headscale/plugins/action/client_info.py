# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the state of a Tailscale client; the module of the same name documents it."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.probing import ProbingAction
from ..plugin_utils._judge.answer import Answer, addresses, items, mapping, text
from ..plugin_utils._judge.brief import cut
from ..plugin_utils._standing.notes import note

# Every task of every host gets these facts.
_LONGEST, _MOST = 300, 100


class ActionModule(ProbingAction):
    """Asks tailscaled through its socket."""

    PREFIX = "client_info: "
    ARGUMENTS = {  # noqa: RUF012
        "socket": {"type": "path"},
        "timeout": {"type": "float", "default": 5.0},
        "required": {"type": "bool", "default": True},
    }

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the client's state, also as a fact."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        seen = Answer(self.probe([{"id": "status", "kind": "status", "peers": False}], seconds=self.options["timeout"]))
        status = mapping(seen.data("status"))
        if not status and not self.options["required"]:
            unknown = missing(seen)
            return self.with_silence(
                {**result, "changed": False, "client": unknown, "ansible_facts": {"mesh_client": unknown}}
            )
        if not status:
            failed = failure(f"{self.host}: {seen.why('status')}", "could_not_run")
            return {**result, **failed, "error": seen.error("status")}
        client = describe(status)
        note("addresses", self.host, {"addresses": client["addresses"]})
        return self.with_silence(
            {**result, "changed": False, "client": client, "ansible_facts": {"mesh_client": client}}
        )


def missing(seen: Answer) -> dict[str, Any]:
    """Return the fact `mesh_client` of a client that did not tell its status."""
    return {**describe({}), "error": seen.why("status")}


def describe(status: dict[str, Any]) -> dict[str, Any]:
    """Return the fact `mesh_client` from a client's status."""
    me = mapping(status.get("Self"))
    state = text(status.get("BackendState"))
    joined = bool(addresses(me.get("TailscaleIPs")))
    return {
        # A client that has never joined has a key too, but the server does not know it.
        "key": cut(text(me.get("PublicKey")), _LONGEST) if joined else "",
        "id": cut(text(me.get("ID")), _LONGEST),
        "name": cut(text(me.get("HostName")), _LONGEST),
        "dns_name": cut(text(me.get("DNSName")).rstrip("."), _LONGEST),
        "addresses": addresses(me.get("TailscaleIPs"))[:_MOST],
        "version": cut(text(status.get("Version")).partition("-")[0], _LONGEST),
        "backend_state": cut(state, _LONGEST),
        "online": me.get("Online") is True,
        "endpoints": [cut(text(entry), _LONGEST) for entry in items(me.get("Addrs"))[:_MOST]],
        "home_derp": cut(text(me.get("Relay")), _LONGEST),
        "health": [cut(text(entry), _LONGEST) for entry in items(status.get("Health"))[:_MOST]],
    }
