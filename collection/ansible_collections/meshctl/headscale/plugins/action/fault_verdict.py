# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a drill by its outcomes; see the module of the same name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._faults import catalogue, figures
from ..plugin_utils._faults.drill import STATES, State


class ActionModule(ControllerAction):
    """Runs on the controller, after the faults were drilled in one lab or in several."""

    _supports_check_mode = False
    ARGUMENTS = {  # noqa: RUF012
        "faults": {"type": "list", "elements": "str", "required": True},
        "directory": {"type": "path", "required": True},
        "figures": {"type": "path"},
    }

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the figures of the drill; fail unless every fault went as the catalogue expects."""
        directory = Path(options["directory"]).absolute()
        outcomes = _outcomes(directory)
        found = {**figures.total(outcomes), "outcomes": outcomes}
        (directory / "drill.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if options["figures"]:
            figures.update(Path(options["figures"]), outcomes, catalogue.load())
        message = figures.sentence(found)
        good = {outcome["id"] for outcome in outcomes if outcome["good"]}
        if bad := [name for name in options["faults"] if name not in good]:
            message = f"{message} Not as expected: {', '.join(bad)}."
        return {"changed": bool(options["figures"]), "failed": bool(bad), "msg": message, "figures": found}


def _outcomes(directory: Path) -> list[dict[str, Any]]:
    """Return the outcomes of all labs, in the catalogue's order."""
    states = map(State.load, (directory / STATES).glob("*.json"))
    found = {outcome["id"]: outcome for state in states if state for outcome in state.outcomes}
    return [found[name] for name in catalogue.load() if name in found]
