# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examine a client or the control server; see the module of the same name."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..module_utils._errors import BadInput
from ..module_utils._plain import plain
from ..plugin_utils._action.expected_paths import expected_paths, path_of
from ..plugin_utils._action.options import COMMON, MEMBERS, SERVER
from ..plugin_utils._action.peers import expectation
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.server import server, server_url
from ..plugin_utils._action.slowness import SLOWEST, PatientAssertion, slower
from ..plugin_utils._doctor import client, client_log, finding, mesh, settling, view
from ..plugin_utils._doctor import server as control
from ..plugin_utils._doctor.control import trouble
from ..plugin_utils._doctor.files.finding import SEVERITIES
from ..plugin_utils._doctor.observed import Client, ClientContext
from ..plugin_utils._doctor.records import LOG_WORDS, Server, ServerContext
from ..plugin_utils._doctor.view import ClientView
from ..plugin_utils._inventory.variables import typed
from ..plugin_utils._judge.answer import Answer, mapping, number, text
from ..plugin_utils._judge.saturation import Load, slow
from .client_info import describe, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.path import ExpectedPath

_LOOK_S = 7.5
_SHORT_LOOK_S = 3.0
# All looks at a client: with the start and the end of Ansible, 20 seconds.
_ALL_S = 14.0
# A client that starts, or connects again, gets this time after it was examined, and is examined again.
_SETTLE_S, _SETTLE_PAUSE_S = 6.0, 1.0
# It waits in vain if its server does not answer either, unless that is just being restarted.
_RESTART_S = 2.0
# A resolver that hangs delays only what needs names; WireGuard's second handshake needs more time.
_BY_NAME_S, _BY_NAME = 5.5, ("http", "getaddrinfo", "stun", "headscale")
_FILES_S = 2.0
# In a large mesh, many hosts look at the same time.
_EACH_S, _FEW_CLIENTS = 0.1, 10
_FEW_PEERS = 20
# The inputs of the findings' requests.
_FIRST = ("status", "prefs", "derpmap", "dns_config", "dns_map", "resolv_conf", "addresses")
_API = {"nodes": "node", "users": "user", "preauthkeys": "preauthkey", "apikeys": "apikey", "policy": "policy"}
# In the lab, and where systemd does not run, the service writes this file.
_LOG = {"kind": "log", "unit": "headscale", "paths": ["/var/log/meshctl/headscale/current"], "words": LOG_WORDS}


class ActionModule(PatientAssertion):
    """Look once at a host and judge what was seen; change nothing."""

    ASSERTION = "diagnose"
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        **SERVER,
        "part": {"type": "str", "choices": ["look", "server", "client", "mesh"], "required": True},
        "config": {"type": "path", "default": "/etc/headscale/config.yaml"},
        "warning_days": {"type": "float"},
        "min_severity": {"type": "str", "choices": list(SEVERITIES)},
    }

    _facts: dict[str, Any]

    def probe(self, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
        """Probe with as much time as slow hosts need."""
        began = time.monotonic()
        answer = super().probe([self._slower(request) for request in requests], seconds=seconds * self.patience)
        if not self.load.explains(time.monotonic() - began):
            self.load = Load()
        self.note_load()
        return answer

    def _slower(self, request: Request) -> Request:
        limits: Request = {"timeout_s": _BY_NAME_S} if request.get("kind") in _BY_NAME else {}
        return slower({**limits, **request}, self.patience)

    def _converge(self) -> list[Check]:
        """Examine once: the doctor does not wait for a problem to go away."""
        self._facts = {}
        return {"look": self._look, "server": self._server, "client": self._client, "mesh": self._mesh}[
            self.options["part"]
        ]()

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return what later examinations need of this one."""
        return {"ansible_facts": self._facts} if self._facts else {}

    def _look(self) -> list[Check]:
        """Look at the client and at the server of this host, whichever it has, while other hosts do the same."""
        checks = self._server() if self.host in self.group("headscale") else []
        if self.host in self.group("clients"):
            self._facts["mesh_examined_since"] = time.monotonic()
            seen = self._observed(few_only=True)
            status = mapping(Answer(seen).data("status"))
            self._facts["mesh_client"] = describe(status) if status else missing(Answer(seen))
            # In a large mesh, each client's status names all others: then it is asked again rather than kept by Ansible.
            if _has_few_peers(seen):
                self._facts["mesh_first_look"] = {**seen, "saturated": asdict(self.busiest)}
        return checks

    def _observed(self, *, few_only: bool = False) -> dict[str, Any]:
        """Look at the client, and again if it settles while it has the time to; `few_only` if it has few peers."""
        began = time.monotonic()
        seen = self._examined(self._first_look(), few_only=few_only)
        # The examination alone may take as long as a client needs.
        since, longest = (began, _RESTART_S) if self._unserved(seen) else (time.monotonic(), _SETTLE_S)
        while settling.settles(Answer(seen).data("status")) and time.monotonic() < since + longest * self.patience:
            time.sleep(_SETTLE_PAUSE_S)
            first = self._first_look()
            settled = not settling.settles(Answer(first).data("status"))
            seen = self._examined(first, few_only=few_only) if settled else _together(seen, first)
        return seen

    def _unserved(self, answer: dict[str, Any]) -> bool:
        """Whether the client was seen to get no answer from its server."""
        seen = Client(answer, self._known_before)
        rows = seen.rows("server")
        return bool(rows and trouble([*rows], seen.url))

    def _first_look(self) -> dict[str, Any]:
        return self.probe([{"id": kind, "kind": kind} for kind in _FIRST], seconds=_SHORT_LOOK_S)

    def _examined(
        self, first: dict[str, Any], *, few_only: bool = False, seconds: float | None = None
    ) -> dict[str, Any]:
        """Return what a client tells of itself, with what the findings need besides."""
        seen = Client(first, self._known_before)
        if seen.failed or (few_only and not _has_few_peers(first)):
            return first
        requests = [*finding.requests(client, seen), *view.requests(seen)] if seen.status else [client_log.REQUEST]
        return _together(first, self.probe(requests, seconds=self._seconds if seconds is None else seconds))

    @property
    def _seconds(self) -> float:
        more = max(0, len(self.group("clients")) - _FEW_CLIENTS)
        return _LOOK_S + _EACH_S * more

    def _server(self) -> list[Check]:
        ask = self._ask
        url, trust = ask["url"], {"ca_file": ask["ca_file"]} if "ca_file" in ask else {}
        requests: list[Request] = [
            *(_listing(name, ask) for name in _API),
            {"id": "web", "kind": "http", "targets": [{"url": f"{url}/version", **trust}]},
            {"id": "config", "kind": "config", "path": self.options["config"]},
            {"id": "log", **_LOG},
            {"id": "listening", "kind": "listening"},
        ]
        first = self.probe(requests, seconds=self._seconds)
        seen = Server(first, self._server_context(url))
        more = finding.requests(control, seen)
        if not seen.listed:
            # The log may have the reason only since headscale was asked.
            more = [*more, {"id": "log", **_LOG}]
        if more:
            again = self.probe(more, seconds=_FILES_S)
            seen = Server(_together(first, again), self._server_context(url))
        checks = finding.judge(control, seen, self.context)
        self._facts["mesh_diagnosis_server"] = {**seen.as_fact(), "source": self.host}
        return checks

    def _client(self) -> list[Check]:
        looked = mapping(plain(self.known.get("mesh_first_look")))
        if looked:
            load = mapping(looked.get("saturated"))
            self.busiest = Load(slowdown=number(load.get("slowdown")) or 1.0, said=text(load.get("said")))
        answer = looked or self._observed()
        known = replace(self._known_before, expected_paths=self._expected_paths(), server=self._records())
        seen = Client(answer, known)
        checks = self._judged(seen)
        left = self._left_s
        if seen.status and self.busiest.saturated and left > 0 and any(check.bad and slow(check) for check in checks):
            # What was too slow on a machine that had too much to do is asked once more, with more time.
            self.patience = max(self.patience, min(SLOWEST, self.patience * self.busiest.patience))
            seen = Client(self._examined(answer, seconds=min(self._seconds, left / self.patience)), known)
            checks = self._judged(seen)
        self._facts["mesh_diagnosis"] = ClientView.of(self.host, seen, saturated=self.busiest.said).as_fact()
        return checks

    @property
    def _known_before(self) -> ClientContext:
        """Return what decides which questions a client is asked."""
        url = text(self.setting("server_url", self.options.get("url")))
        return ClientContext(
            server_url=url,
            outside=tuple(self.setting("outside_names")),
            domain=text(self.setting("domain")),
            accepts_dns=typed("boolean", self.variable("tailscale_client_accept_dns")) is not False,
        )

    @property
    def _left_s(self) -> float:
        """Return how long a client may still be looked at."""
        since = number(self.known.get("mesh_examined_since"))
        spent = 0.0 if since is None else max(0.0, time.monotonic() - since)
        return _ALL_S * max(1.0, self.patience / 1.5) - spent

    def _judged(self, seen: Client) -> list[Check]:
        return finding.judge(client, seen, self.context, only="" if seen.status else "client")

    def _expected_paths(self) -> tuple[ExpectedPath, ...]:
        try:
            peers = self.peers(every=True)
        except BadInput:  # no other node is known
            return ()
        expect = expectation(self)
        seen = [peer for peer in peers if expect.sees(self.host, peer.name)]
        return expected_paths(self, seen, kind=path_of(self), deep=True)

    def _mesh(self) -> list[Check]:
        server = self._records()
        if settling.outdated(server):
            server = self._records(self.probe([_listing("nodes", self._ask)], seconds=_SHORT_LOOK_S))
        if said := next((one.saturated for one in server.known.views if one.saturated), ""):
            self.busiest = Load(said=said)
        return finding.judge(mesh, server, self.context)

    def _records(self, more: dict[str, Any] | None = None) -> Server:
        """Return the server as its examination left it, with what was observed since."""
        fact = mapping(self.shared("mesh_diagnosis_server"))
        return Server.read(_together(fact, more or {}), self._server_context(text(fact.get("url"))))

    @property
    def _ask(self) -> dict[str, Any]:
        """Return how the server's API is asked."""
        return {**server(self), "url": server_url(self).rstrip("/")}

    def _server_context(self, url: str) -> ServerContext:
        clients = [str(name) for name in mapping(plain(self.known.get("groups") or {})).get("clients") or []]
        facts = {name: mapping(self.of_host(name, "mesh_diagnosis")) for name in clients}
        return ServerContext(
            url=url,
            clients=tuple(clients),
            views=tuple(ClientView.read(name, fact) for name, fact in facts.items() if fact),
            warning_days=self.setting("expiry_warning_days", self.options.get("warning_days")),
            min_severity=self.setting("min_severity", self.options.get("min_severity")),
            expect=expectation(self),
        )


def preload() -> None:
    """Load all findings, before Ansible forks."""
    for part in (control, client, mesh):
        finding.load(part)


def _has_few_peers(seen: dict[str, Any]) -> bool:
    return len(mapping(mapping(Answer(seen).data("status")).get("Peer"))) <= _FEW_PEERS


def _listing(name: str, ask: dict[str, Any]) -> Request:
    return {"id": name, "kind": "headscale", "path": f"/api/v1/{_API[name]}", **ask}


def _together(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {**first, "observations": {**mapping(first.get("observations")), **mapping(second.get("observations"))}}
