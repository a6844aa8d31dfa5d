# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examine a client or the control server; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils._errors import BadInput
from ..module_utils._plain import plain
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.expected_paths import expected_paths
from ..plugin_utils._action.options import COMMON, MEMBERS
from ..plugin_utils._action.peers import expectation
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.server import server, server_url
from ..plugin_utils._doctor import client, finding, mesh, view
from ..plugin_utils._doctor import server as control
from ..plugin_utils._doctor.observed import Client, ClientContext
from ..plugin_utils._doctor.records import Server, ServerContext
from ..plugin_utils._doctor.view import ClientView
from ..plugin_utils._judge.answer import mapping, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.path import ExpectedPath

_LOOK_S = 12.0
# The inputs of the findings' requests.
_FIRST = ("status", "prefs", "derpmap", "dns_config", "resolv_conf")
_API = {"nodes": "node", "users": "user", "preauthkeys": "preauthkey", "policy": "policy"}


class ActionModule(Assertion):
    """Look once at a host and judge what was seen; change nothing."""

    ASSERTION = "diagnose"
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "part": {"type": "str", "choices": ["client", "server"], "required": True},
        "config": {"type": "path", "default": "/etc/headscale/config.yaml"},
        "url": {"type": "str"},
        "api_key": {"type": "str", "no_log": True},
        "api_key_file": {"type": "path"},
        "ca_path": {"type": "path", "aliases": ["ca_file"]},
        "warning_days": {"type": "float"},
    }

    _view: ClientView | None = None

    def _converge(self) -> list[Check]:
        """Examine once: the doctor does not wait for a problem to go away."""
        return self._examine_client() if self.options["part"] == "client" else self._examine_server()

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return what the examination of the server needs of a client."""
        return {"ansible_facts": {"mesh_diagnosis": self._view.as_fact()}} if self._view else {}

    def _examine_client(self) -> list[Check]:
        known = ClientContext(
            expected_paths=self._expected_paths(),
            server_url=text(self.setting("server_url", self.options.get("url"))),
            outside=tuple(self.setting("outside_names")),
        )
        first = self.probe([{"id": kind, "kind": kind} for kind in _FIRST], seconds=_LOOK_S)
        seen = Client(first, known)
        if seen.status:
            second = self.probe([*finding.requests(client, seen), *view.requests(seen)], seconds=_LOOK_S)
            observations = {**mapping(first.get("observations")), **mapping(second.get("observations"))}
            seen = Client({**first, "observations": observations}, known)
        self._view = ClientView.of(self.host, seen)
        return finding.judge(client, seen, self.context, only="" if seen.status else "client")

    def _expected_paths(self) -> tuple[ExpectedPath, ...]:
        try:
            peers = self.peers()
        except BadInput:  # no other node is known
            return ()
        expect = expectation(self)
        seen = [peer for peer in peers if expect.sees(self.host, peer.name)]
        return expected_paths(self, seen, kind="auto", deep=True)

    def _examine_server(self) -> list[Check]:
        url = server_url(self).rstrip("/")
        ask = {**server(self), "url": url}
        trust = {"ca_file": ask["ca_file"]} if "ca_file" in ask else {}
        requests: list[Request] = [
            *({"id": name, "kind": "headscale", "path": f"/api/v1/{path}", **ask} for name, path in _API.items()),
            {"id": "web", "kind": "http", "targets": [{"url": f"{url}/version", **trust}]},
            {"id": "config", "kind": "config", "path": self.options["config"]},
        ]
        seen = Server(self.probe(requests, seconds=_LOOK_S), self._server_context(url))
        return [check for part in (control, mesh) for check in finding.judge(part, seen, self.context)]

    def _server_context(self, url: str) -> ServerContext:
        clients = [str(name) for name in mapping(plain(self.known.get("groups") or {})).get("clients") or []]
        facts = {name: mapping(self.of_host(name, "mesh_diagnosis")) for name in clients}
        return ServerContext(
            url=url,
            clients=tuple(clients),
            views=tuple(ClientView.read(name, fact) for name, fact in facts.items() if fact),
            warning_days=self.setting("expiry_warning_days", self.options.get("warning_days")),
            expect=expectation(self),
        )
