# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the stories with one fault; see the module of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._action.errors import failure
from ..plugin_utils._faults import catalogue, interruption
from ..plugin_utils._faults.context import LabContext, this_play
from ..plugin_utils._faults.drill import STATES, Drill, State
from ..plugin_utils._faults.record import FaultError

_SPEC: dict[str, dict[str, Any]] = {
    "fault": {"type": "str"},
    "state": {"type": "str", "choices": ["drilled", "finished"], "default": "drilled"},
    "lab": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "playbooks": {"type": "path", "required": True},
    "deadline": {"type": "float", "default": 5.0},
    "keep_going": {"type": "bool", "default": True},
    "keep_lab": {"type": "bool", "default": False},
}


class ActionModule(ControllerAction):
    """Runs on the controller; the playbooks that it starts are separate processes."""

    _supports_check_mode = False
    ARGUMENTS = _SPEC

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return how the fault went; whether that is good is decided by the module fault_verdict."""
        found = LabContext(self, known, options["lab"])
        path = Path(options["directory"]).absolute() / STATES / f"{found.lab.name}.json"
        state = State.load(path) or State(own=found.lab.record is None)
        if options["state"] == "finished":
            return self._finished(found, state, options)
        if state.stopped:
            return {"changed": False, "skipped": True, "skip_reason": state.stopped}
        try:
            with interruption.raised():
                return {"changed": True, "outcome": self._drill(found, state, options)}
        except KeyboardInterrupt:
            if state.own and not options["keep_lab"]:
                found.lab.down()
            state.stopped = "interrupted"
            return failure("the drill was interrupted; the fault is undone", "could_not_run")
        except (FaultError, BadInput) as exc:
            state.stopped = str(exc)
            raise
        finally:
            state.save(path)

    def _drill(self, found: LabContext, state: State, options: dict[str, Any]) -> dict[str, Any]:
        if not options["fault"]:
            raise BadInput("the fault is missing: set fault to an id of the catalogue")
        (fault,) = catalogue.choose([options["fault"]])
        runs = Path(options["directory"]).absolute()
        playbooks = found.playbooks(options["playbooks"], runs)
        engine = found.engine(up=found.bring_up(options["playbooks"]), drill=this_play())
        drill = Drill(engine, playbooks, state, deadline=options["deadline"])
        return drill.fault(fault, found.topology, keep_going=options["keep_going"]).as_dict()

    def _finished(self, found: LabContext, state: State, options: dict[str, Any]) -> dict[str, Any]:
        """Take down the lab that the drill brought up."""
        there = state.own and not options["keep_lab"] and found.lab.directory.exists()
        if there:
            found.lab.down()
        return {"changed": there}
