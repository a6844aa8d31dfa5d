# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Returns what its arguments say: the runner is tested with it, and no story is."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Returns checks, or an error, without looking at anything."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments as a result; `many` makes that number of passing checks."""
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        checks = [self._check(given, number) for number in range(int(given.pop("many", 0)))]
        checks += [{**self._check(given, 0), **check} for check in given.pop("checks", [])]
        if checks:
            given["checks"] = checks
            given.setdefault("failed", any(check["verdict"] in ("failed", "error") for check in checks))
        return given

    @staticmethod
    def _check(given: dict[str, Any], number: int) -> dict[str, Any]:
        return {
            "id": "demo.reachable.ipv4",
            "story": given.get("story", "demo"),
            "assertion": "reachable",
            "aspect": "ipv4",
            "family": "ipv4",
            "source": "client-node-1",
            "target": f"client-node-{number + 2}",
            "verdict": "passed",
            "expected": {},
            "observed": {"latency_ms": 0.8, "path": "direct", "endpoint": "203.0.113.2:41642"},
            "duration_ms": 1.0,
            "evidence": {},
            "hint": "",
            "reproduce": "",
        }
