# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examine files of a server before they are deployed; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._doctor.files.examine import examine, severity_of
from ..plugin_utils._report import visible

_NAMED_IN_MSG = 5


class ActionModule(ControllerAction):
    """Runs on the controller, and only reads."""

    PREFIX = "examine_files: "
    ARGUMENTS = {  # noqa: RUF012
        "config": {"type": "path"},
        "policy": {"type": "path"},
        "users": {"type": "list", "elements": "str"},
        "headscale": {"type": "path"},
        "min_severity": {"type": "str"},
    }
    RULES = {"required_one_of": [("config", "policy")]}  # noqa: RUF012

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the findings, and fail if there is one."""
        severity = severity_of(options["min_severity"])
        found = examine(options["config"], options["policy"], users=options["users"], program=options["headscale"])
        # Ansible prints the result: text of the files must not act on a terminal.
        result = visible.data(found.result(severity))
        return {**result, "changed": False, "failed": not result["ok"], "msg": _message(result)}


def _message(result: dict[str, Any]) -> str:
    findings = result["findings"]
    if not findings:
        return f"nothing to fix in {' and '.join(result['files'])}"
    places = [(f"{one['file']}:{one['line']}" if one["line"] else one["file"], one) for one in findings[:_NAMED_IN_MSG]]
    said = "; ".join(f"{place}: {one['problem']}: {one['remedy']}" for place, one in places)
    more = len(findings) - len(places)
    return said + (f"; and {more} more" if more else "")
