# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Define what actions share that run on the controller, whatever the host of the task."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible.plugins.action import ActionBase

from .errors import reports_errors


class ControllerAction(ActionBase):
    """Reads the options, and returns errors as results; it opens no connection."""

    _supports_check_mode = True
    _requires_connection = False
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {}
    RULES: ClassVar[dict[str, Any]] = {}
    """Further arguments of `validate_argument_spec`."""

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(argument_spec=self.ARGUMENTS, **self.RULES)
        return {**result, **self.act(options, task_vars or {})}

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the result for these options and variables."""
        raise NotImplementedError
