# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage a supervised service on a host; the module of the same name documents it."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._plain import plain
from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.settings import settings_of
from ..plugin_utils._host.package import script_of
from ..plugin_utils._host.remote import RemoteError, run_script
from ..plugin_utils._judge.answer import items, mapping, text
from ..plugin_utils._judge.brief import cut
from ..plugin_utils._standing.notes import note

_DEADLINE_S = 120
# Of what a host answers.
_MOST = 200
_MOST_LINES = 2000
_LONGEST_FILE = 1_000_000

_FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "secret": {"type": "bool", "default": False},
}
_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "command": {"type": "list", "elements": "str"},
    "environment": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["started", "stopped", "restarted", "killed", "absent"], "default": "started"},
    "manager": {"type": "str", "choices": ["auto", "s6", "systemd"], "default": "auto"},
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "path", "required": True}, "mode": {"type": "str", "default": "0755"}},
    },
    "links": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "path", "required": True}, "target": {"type": "path", "required": True}},
    },
    "files": {"type": "list", "elements": "dict", "default": [], "options": _FILE},
    "validate": {"type": "list", "elements": "str"},
    "ready": {
        "type": "dict",
        "options": {
            "tcp": {"type": "list", "elements": "str"},
            "unix": {"type": "path"},
            "seconds": {"type": "float", "default": 20.0},
        },
        "mutually_exclusive": [("tcp", "unix")],
        "required_one_of": [("tcp", "unix")],
    },
}


class ActionModule(ActionBase):
    """Sends the request to the host, where one script compares and applies it."""

    _supports_check_mode = True

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what changed on the host."""
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(
            argument_spec=_ARGUMENTS,
            required_if=[("state", "started", ("command",))],
        )
        request = {key: value for key, value in plain(options).items() if value is not None}
        slow = settings_of(self, task_vars)["patience"]
        if ready := request.get("ready"):
            request["ready"] = {key: value for key, value in ready.items() if value is not None}
            request["ready"]["seconds"] *= slow
        request["check"] = bool(self._task.check_mode)
        started_at = time.time()
        try:
            answer = run_script(self, script_of("apply"), request, deadline_s=_DEADLINE_S * slow)
        except RemoteError as exc:
            return failure(f"service {request['name']}: {exc}", "could_not_run")
        result = {**_of_host(answer), "started_at": started_at}
        if answer.get("failed"):
            return {**result, **failure(cut(text(answer.get("msg"))) or "the host gives no reason", "could_not_run")}
        note("service", str((task_vars or {}).get("inventory_hostname")), request)
        return result


def _of_host(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what a host may say as the result of a task: in it, Ansible would obey words such as `add_host`."""
    return {
        "changed": answer.get("changed") is True,
        "changes": [cut(text(change)) for change in items(answer.get("changes"))[:_MOST]],
        "diff": [_diff(mapping(entry)) for entry in items(answer.get("diff"))[:_MOST]],
    }


def _diff(entry: dict[str, Any]) -> dict[str, str]:
    # The time that a comparison takes grows with the square of the lines.
    lines = {name: text(entry.get(name))[:_LONGEST_FILE].splitlines(keepends=True) for name in ("before", "after")}
    found = {name: "".join(known[:_MOST_LINES]) for name, known in lines.items()}
    return {"header": cut(text(entry.get("header"))), **found}
