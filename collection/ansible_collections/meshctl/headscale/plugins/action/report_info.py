# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Returns the report of the run so far; see the module of the same name."""

from __future__ import annotations

import re
from typing import Any

from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._judge.check import BAD
from ..plugin_utils._report import collect

_SHOWN = 20


class ActionModule(ControllerAction):
    """Reads the report that the callback `report` has collected before this task."""

    ARGUMENTS = {"story": {"type": "str"}}  # noqa: RUF012

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the summary of all stories, or of one."""
        collector = collect.shared()
        if collector is None:
            msg = "there is no report of this run: enable the callback meshctl.headscale.report (callbacks_enabled)"
            return {"failed": True, "changed": False, "msg": msg}
        report = collector.report("", collect.utc_now(), interrupted=False, finished=True).as_dict()
        return {"changed": False, "summary": _inert(summary(report, options["story"]))}


def _inert(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return data in which no text begins a template: artifacts become variables of other jobs, and hints quote hosts."""
    if isinstance(value, str):
        return re.sub(r"\{(?=[{%#])", "{ ", value)
    if isinstance(value, dict):
        return {_inert(key): _inert(item) for key, item in value.items()}
    return [_inert(item) for item in value] if isinstance(value, list) else value


def summary(report: dict[str, Any], story: str | None) -> dict[str, Any]:
    """Return a summary that fits into a notification: verdict, counts and bad checks."""
    stories = [entry for entry in report["stories"] if story in (None, entry["id"])]
    checks = [check for check in report["checks"] if story in (None, check["story"])]
    bad = [check for check in checks if check["verdict"] in BAD]
    verdict = report["verdict"] if story is None else next((entry["verdict"] for entry in stories), "error")
    return {
        "verdict": verdict,
        "counts": report["counts"] if story is None else next((entry["counts"] for entry in stories), {}),
        "stories": [
            {key: entry[key] for key in ("id", "title", "verdict", "duration_s", "counts")} for entry in stories
        ],
        "bad": [{key: check[key] for key in ("id", "source", "target", "verdict", "hint")} for check in bad[:_SHOWN]],
        "more_bad": max(0, len(bad) - _SHOWN),
        "schema_version": report["schema_version"],
    }
