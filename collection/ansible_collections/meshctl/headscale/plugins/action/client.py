# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Join, stop or log out a Tailscale client; the module of the same name documents it."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils import _visible
from ..module_utils._errors import CouldNotRun
from ..module_utils._plain import plain
from ..plugin_utils._action.client import (
    SOCKET,
    UNSETTLED,
    Plan,
    awaits_exit_node,
    connecting,
    health,
    plan,
    still_connecting,
)
from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.settings import settings_of
from ..plugin_utils._doctor import control
from ..plugin_utils._host.package import script_of
from ..plugin_utils._host.remote import RemoteError, run_script
from ..plugin_utils._judge.answer import Answer, addresses, items, mapping, text
from ..plugin_utils._judge.brief import brief, cut
from ..plugin_utils._standing.notes import note

_HOST = Path(__file__).parent.parent / "plugin_utils" / "_host"
_LOOK_S, _SETTLE_S = 5.0, 10.0

_ARGUMENTS = {
    "state": {"type": "str", "choices": ["joined", "down", "logged_out"], "default": "joined"},
    "login_server": {"type": "str"},
    "auth_key": {"type": "str", "no_log": True},
    "force": {"type": "bool", "default": False},
    "require": {"type": "bool", "default": True},
    "hostname": {"type": "str"},
    "accept_dns": {"type": "bool"},
    "accept_routes": {"type": "bool"},
    "advertise_routes": {"type": "list", "elements": "str"},
    "advertise_tags": {"type": "list", "elements": "str"},
    "advertise_exit_node": {"type": "bool"},
    "exit_node": {"type": "str"},
    "exit_node_allow_lan_access": {"type": "bool"},
    "shields_up": {"type": "bool"},
    "snat_subnet_routes": {"type": "bool"},
    "ssh": {"type": "bool"},
    "relay_server_port": {"type": "str"},
    "socket": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
}


class ActionModule(ActionBase):
    """Reads the client's state, decides on the controller, changes what differs, and reads the state again."""

    _supports_check_mode = True

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what changed, and the state that the client reports afterwards."""
        super().run(tmp, task_vars)
        _result, raw = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        options = plain(raw)
        settings = settings_of(self, task_vars)
        slow = settings["patience"]
        options["socket"] = options["socket"] or settings["tailscaled_socket"] or SOCKET
        self._program = str(settings.variable("tailscale_client_program") or "")
        self._look_s, options["timeout"] = _LOOK_S * slow, round(options["timeout"] * slow)
        try:
            result = self._bring(options)
            note("client", str((task_vars or {}).get("inventory_hostname")), options | {"auth_key": None})
            return result
        except (RemoteError, CouldNotRun) as exc:
            return failure(f"client on {(task_vars or {}).get('inventory_hostname')}: {exc}", "could_not_run")

    def _bring(self, options: dict[str, Any]) -> dict[str, Any]:
        status, prefs = self._settled(options)
        planned = plan(options, status, prefs)
        started_at = time.time()
        if planned.needs_key and options["require"] and not self._task.check_mode:
            raise CouldNotRun("it must register with the control server, and no auth_key was given; see preauthkey")
        if planned.commands and not self._task.check_mode:
            self._execute(planned, options)
            status = self._reached(options)
        own = mapping(status.get("Self"))
        result = {
            "changed": bool(planned.commands) or (planned.needs_key and bool(self._task.check_mode)),
            "changes": planned.changes,
            "needs_key": planned.needs_key,
            "diff": {"before": planned.before, "after": planned.after},
            "started_at": started_at,
            "backend_state": text(status.get("BackendState")),
            "node_key": text(own.get("PublicKey")),
            "node_id": text(own.get("ID")),
            "addresses": addresses(status.get("TailscaleIPs")),
        }
        return brief(result)

    def _execute(self, planned: Plan, options: dict[str, Any]) -> None:
        request = {
            "commands": planned.commands,
            # `tailscale` is usually where `tailscaled` is.
            "directories": [str(PurePosixPath(self._program).parent)] if self._program.startswith("/") else [],
            "secret": options.get("auth_key"),
            "seconds": options["timeout"] + 10,
        }
        source = (_HOST / "execute.py").read_text(encoding="utf-8")
        answer = run_script(self, source, request, deadline_s=(options["timeout"] + 10) * len(planned.commands) + 5)
        if answer.get("ok") is not True:
            words = [word for word in map(text, items(answer.get("command"))) if word and not word.startswith("-")]
            name, said = _shown(" ".join(words[:2])) or "a command", _shown(text(answer.get("said")))
            raise CouldNotRun(f"{name} failed: {said or 'the host gives no reason'}{self._blame(options)}")

    def _blame(self, options: dict[str, Any]) -> str:
        """Return what is wrong with the control server as seen from the host; the client only reports a timeout."""
        url = str(options.get("login_server") or "").rstrip("/")
        if not url:
            return ""
        request = {
            "observe": [{"id": "web", "kind": "http", "targets": control.asked(url), "try_timeout_s": self._look_s}],
            "deadline_s": self._look_s + 1,
        }
        try:
            seen = Answer(run_script(self, script_of("probe"), request, deadline_s=self._look_s + 1))
        except RemoteError:
            return ""
        problem = _shown(control.trouble(items(seen.data("web")), url))
        return f"; of {url} this host says: {problem}" if problem else ""

    def _look(self, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the client's status and preferences."""
        where = {"socket": options["socket"]}
        request = {
            "observe": [
                {"id": "status", "kind": "status", "peers": bool(options["exit_node"]), **where},
                {"id": "prefs", "kind": "prefs", **where},
            ],
            "deadline_s": self._look_s,
        }
        seen = Answer(run_script(self, script_of("probe"), request, deadline_s=self._look_s))
        status, prefs = mapping(seen.data("status")), mapping(seen.data("prefs"))
        if not status or not prefs:
            raise CouldNotRun(_shown(seen.why("prefs" if status else "status")))
        return status, prefs

    def _settled(self, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Wait until the client, which may have just started, knows its state, and its exit node."""
        began_at = time.monotonic()
        while True:
            status, prefs = self._look(options)
            waited_s = time.monotonic() - began_at
            if connecting(options, status, prefs):
                if waited_s > options["timeout"]:
                    raise CouldNotRun(f"{still_connecting(status)}{self._blame(options)}")
            elif waited_s > _SETTLE_S or not self._unsettled(options, status):
                return status, prefs
            time.sleep(0.1)

    def _unsettled(self, options: dict[str, Any], status: dict[str, Any]) -> bool:
        # In check mode, the tasks that make a node an exit node have changed nothing.
        awaits = not self._task.check_mode and awaits_exit_node(options, status)
        return awaits or (status.get("BackendState") or "") in UNSETTLED

    def _reached(self, options: dict[str, Any]) -> dict[str, Any]:
        """Wait until the client is in the requested state, because its commands return earlier."""
        wanted = {"joined": ("Running",), "down": ("Stopped",), "logged_out": ("NeedsLogin",)}[options["state"]]
        deadline = time.monotonic() + options["timeout"]
        while True:
            status, _prefs = self._look(options)
            if status.get("BackendState") in wanted:
                return status
            if time.monotonic() > deadline:
                state = _shown(text(status.get("BackendState")))
                raise CouldNotRun(
                    f"state {state} instead of {wanted[0]} after {options['timeout']} s: "
                    f"{health(status)}{self._blame(options)}"
                )
            time.sleep(0.1)


def _shown(said: str) -> str:
    """Return what a host said as a message may show it."""
    return cut(_visible.text(said))
