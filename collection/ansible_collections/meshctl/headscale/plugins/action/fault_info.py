# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List the catalogue of faults, and the faults of a lab; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._action.errors import reports_errors
from ..plugin_utils._faults import catalogue
from ..plugin_utils._faults.context import LabContext
from ..plugin_utils._faults.record import Faults

_FILTERS = ("faults", "families", "stories")


class ActionModule(ActionBase):
    """Runs on the controller, and only reads."""

    _supports_check_mode = True
    _requires_connection = False

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the faults that satisfy every filter."""
        super().run(tmp, task_vars)
        spec = {name: {"type": "list", "elements": "str", "default": []} for name in _FILTERS}
        _result, options = self.validate_argument_spec(argument_spec=spec)
        active = Faults(LabContext(self, task_vars).lab.directory).active()
        chosen = catalogue.choose(*(options[name] for name in _FILTERS))
        return {"changed": False, "faults": catalogue.described(chosen, {entry.id: entry.since for entry in active})}
