# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record what a story changes in a lab's mesh, and restore it; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._faults import snapshot
from ..plugin_utils._faults.context import LabContext, this_play
from ..plugin_utils._faults.record import FaultError
from ..plugin_utils._lab.lab import environment

if TYPE_CHECKING:
    from ..plugin_utils._faults.engine import Engine

_SPEC = {"state": {"type": "str", "choices": ["kept", "restored"], "required": True}}


class ActionModule(ControllerAction):
    """Runs on the controller."""

    ARGUMENTS = _SPEC

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return whether anything was kept or brought back."""
        found = LabContext(self, known)
        engine = found.engine(drill=this_play())
        if self._task.check_mode:
            return {"changed": False}
        if options["state"] == "restored":
            return self._restore(engine)
        # A play that was killed may have left its record: what it changed was not there before.
        self._restore(engine)
        groups = known.get("groups") or {}
        machines = found.topology()["machines"]
        steps = snapshot.steps(
            snapshot.runner(found.lab.enter, environment()),
            clients=[str(host) for host in groups.get("clients") or ()],
            server=str(groups["headscale"][0]),
            others=[str(host) for host in groups.get("lan") or () if host in machines],
        )
        engine.keep(snapshot.ID, snapshot.TITLE, steps)
        return {"changed": True}

    def _restore(self, engine: Engine) -> dict[str, Any]:
        there = any(entry.id == snapshot.ID for entry in engine.active())
        if left := engine.clear([snapshot.ID]) if there else []:
            raise FaultError(f"the mesh is not as it was: {left[0].problem}; run `meshctl down` and `meshctl up`")
        return {"changed": there}
