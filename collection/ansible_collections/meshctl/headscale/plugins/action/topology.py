# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the inventory's topology and settings as facts; see the module of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action import common
from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._action.settings import settings_of
from ..plugin_utils._action.view import HostView
from ..plugin_utils._expectations.requirements import lacking
from ..plugin_utils._inventory.identities import check_identities
from ..plugin_utils._inventory.reading import check_inventory, read_existing, read_inventory
from ..plugin_utils._inventory.resolved import Settings
from ..plugin_utils._judge.check import SUPPORTED
from ..plugin_utils._judge.context import CheckContext
from ..plugin_utils._lab.lab import Lab
from ..plugin_utils._standing.notes import POLICY_NOTE, note


class ActionModule(HostView, ControllerAction):
    """Runs on the controller and changes nothing."""

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the facts; the first host of the play checks the whole inventory before."""
        settings = settings_of(self, known)
        _check_groups(known.get("groups") or {}, ("clients",) if settings["slices"] > 1 else ("headscale", "clients"))
        check_identities(known["groups"], known["hostvars"])
        odd = check_inventory(known) if _is_first(known) else []
        if odd:
            # Each `up` says so.
            note("odd", str(known.get("inventory_hostname")), {})
        places, told = self._places(known, settings)
        return {
            "changed": False,
            **({"warnings": odd, "meshctl_notes": odd} if odd else {}),
            **self._story(known, places, {"mesh": dict(settings), "mesh_policy_note": POLICY_NOTE, **told}),
        }

    def _places(self, known: dict[str, Any], settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the facts about the places of all hosts, and those of them that the result must contain."""

        def make() -> dict[str, Any]:
            if not settings.in_lab:
                return {"mesh_topology": read_existing(known)}
            topology = read_inventory(known)
            # The processes of later tasks inherit the record, which each command on a machine needs.
            Lab(settings["lab_name"]).record  # noqa: B018
            return {"mesh_topology": topology.facts(), "mesh_resolver": topology.resolver}

        key = (self._task._uuid, tuple(known.get("ansible_play_batch") or ()), settings.in_lab)
        return common.facts(key, make, first=_is_first(known))

    def _story(self, known: dict[str, Any], places: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        """Return the facts, with the reason why the story of the play cannot run; its first host reports it."""
        if not known.get("mesh_story"):
            return {"ansible_facts": {**facts, "mesh_story_lacks": ""}}
        self.known, self.host, self._topology = known, str(known["inventory_hostname"]), places["mesh_topology"]
        reason = lacking(self)
        found: dict[str, Any] = {"ansible_facts": {**facts, "mesh_story_lacks": reason}}
        if reason and _is_first(known):
            context = CheckContext(story=str(self.variable("mesh_story")), assertion=SUPPORTED, source=self.host)
            found["checks"] = [context.skipped(reason).as_dict()]
        return found


def _check_groups(groups: dict[str, Any], wanted: Sequence[str]) -> None:
    """Refuse an inventory without one of the groups; a slice that AWX makes may be without the server."""
    if lacking := [group for group in wanted if not groups.get(group)]:
        raise BadInput(
            f"the inventory has no host in the group {' and none in '.join(lacking)}: headscale holds the server, "
            "clients the nodes"
        )


def _is_first(known: dict[str, Any]) -> bool:
    """Whether this host checks for all: one check is enough for a play."""
    host = known.get("inventory_hostname")
    return next(iter(known.get("ansible_play_hosts") or ()), host) == host
