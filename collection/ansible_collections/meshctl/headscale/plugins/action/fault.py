# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inject a fault into a lab, or undo it; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._faults import catalogue
from ..plugin_utils._faults.context import LabContext
from ..plugin_utils._faults.engine import Engine
from ..plugin_utils._faults.record import FaultError

_SPEC: dict[str, dict[str, Any]] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "abandoned": {"type": "bool", "default": False},
    "playbooks": {"type": "path"},
}


class ActionModule(ControllerAction):
    """Runs on the controller."""

    ARGUMENTS = _SPEC

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return which faults were injected or undone."""
        found = LabContext(self, known)
        engine = found.engine(up=found.bring_up(options["playbooks"]))
        if options["state"] == "present":
            return self._inject(engine, options["name"])
        return self._clear(engine, options["name"], abandoned=options["abandoned"], lab=found.lab.name)

    def _inject(self, engine: Engine, name: str | None) -> dict[str, Any]:
        if not name:
            raise BadInput("the name of the fault is missing: set name; `meshctl faults list` shows the faults")
        (fault,) = catalogue.choose([name])
        if not self._task.check_mode:
            engine.inject(fault)
        return {"changed": True, "injected": [fault.id], "msg": f"{fault.id}: {fault.title}"}

    def _clear(self, engine: Engine, name: str | None, *, abandoned: bool, lab: str) -> dict[str, Any]:
        active = [entry for entry in engine.active() if entry.abandoned or not abandoned]
        there = [entry.id for entry in active]
        if name and name not in there:
            raise BadInput(
                f"the fault {name!r} is not in the lab '{lab}'; its faults are: {', '.join(there) or 'none'}"
            )
        chosen = [name] if name else there
        left = [] if self._task.check_mode or not chosen else engine.clear(chosen)
        if left:
            problems = "; ".join(f"{entry.id} could not be undone: {entry.problem}" for entry in left)
            raise FaultError(f"{problems}; run `meshctl down` and `meshctl up` to rebuild the lab")
        return {"changed": bool(chosen), "undone": chosen, "msg": f"undone: {', '.join(chosen) or 'nothing'}"}
