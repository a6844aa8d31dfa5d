# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List the catalogue of faults, and the faults of a lab; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._faults import catalogue
from ..plugin_utils._faults.context import LabContext
from ..plugin_utils._faults.record import Faults

_FILTERS = ("faults", "families", "stories")


class ActionModule(ControllerAction):
    """Runs on the controller, and only reads."""

    ARGUMENTS = {name: {"type": "list", "elements": "str", "default": []} for name in _FILTERS}  # noqa: RUF012

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the faults that satisfy every filter."""
        active = Faults(LabContext(self, known).lab.directory).active()
        chosen = catalogue.choose(*(options[name] for name in _FILTERS))
        return {"changed": False, "faults": catalogue.described(chosen, {entry.id: entry.since for entry in active})}
