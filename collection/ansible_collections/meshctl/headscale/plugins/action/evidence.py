# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read evidence from a host and write it to files on the controller; see the module of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..module_utils._errors import BadInput, HeadscaleError
from ..plugin_utils._action.errors import reports_errors
from ..plugin_utils._action.options import SERVER
from ..plugin_utils._action.probing import ProbingAction
from ..plugin_utils._action.server import server
from ..plugin_utils._evidence import files, requests

_LOOK_S = 20.0


class ActionModule(ProbingAction):
    """Reads once; what a host does not answer is listed as missing."""

    PREFIX = "evidence: "
    ARGUMENTS = {  # noqa: RUF012
        "dest": {"type": "path", "required": True},
        "socket": {"type": "path"},
        **SERVER,
    }

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the names of the files; their contents are in the files alone."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        groups = [str(name) for name in self.known.get("group_names") or []]
        asked = requests.of_host(
            client="clients" in groups or "spare" in groups,
            server=self._server() if "headscale" in groups else None,
            service=self._service(groups),
        )
        answer = self.probe(asked, seconds=_LOOK_S)
        directory = Path(str(self.options["dest"])) / files.host_name(self.host)
        try:
            written = files.write(answer, [request["id"] for request in asked], directory)
        except OSError as error:
            raise BadInput(f"{directory} cannot be written: {error.strerror}; choose another dest") from None
        return {**result, "changed": False, "files": written}

    def _server(self) -> dict[str, Any] | None:
        try:
            return server(self)
        except HeadscaleError:
            return None

    @staticmethod
    def _service(groups: list[str]) -> str:
        known = {"headscale": "headscale", "relays": "derper", "clients": "tailscaled", "spare": "tailscaled"}
        return next((service for group, service in known.items() if group in groups), "")
