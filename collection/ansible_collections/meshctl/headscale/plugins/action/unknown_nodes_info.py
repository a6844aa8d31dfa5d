# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds clients that the server does not know; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.probing import ProbingAction
from ..plugin_utils._action.server import trust
from ..plugin_utils._judge.answer import Answer, items, mapping, text
from ..plugin_utils._judge.brief import cut
from ..plugin_utils._standing.notes import note


class ActionModule(ProbingAction):
    """Asks the server for its nodes through the probe: a fraction of what a module costs, as every `up` pays for it."""

    PREFIX = "unknown_nodes_info: "
    ARGUMENTS = {  # noqa: RUF012
        "keys": {"type": "dict", "required": True},
        "url": {"type": "str", "required": True},
        "api_key_file": {"type": "path", "required": True},
    }

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the hosts whose node key the server does not list."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        server = {"url": self.options["url"], "api_key_file": self.options["api_key_file"], **trust(self)}
        seen = Answer(self.probe([{"id": "nodes", "kind": "headscale", "path": "/api/v1/node", **server}], seconds=10))
        if "nodes" not in mapping(seen.data("nodes")):
            return {**result, **failure(f"{self.options['url']}: {cut(seen.why('nodes'))}", "could_not_run")}
        note("nodes", self.host, server)
        listed = {text(mapping(node).get("nodeKey")) for node in items(mapping(seen.data("nodes"))["nodes"])}
        # What hosts say of themselves.
        keys = {host: text(key) for host, key in self.options["keys"].items()}
        unknown = sorted(host for host, key in keys.items() if key and key not in listed)
        return {**result, "changed": False, "unregistered": unknown}
