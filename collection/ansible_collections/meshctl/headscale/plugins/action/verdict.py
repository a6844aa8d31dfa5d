# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fails a story whose assertions did not all hold; see the module of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._inventory.reading import plain
from ..plugin_utils._judge.answer import items, mapping


class ActionModule(ActionBase):
    """Reads what the assertions of this host have left in the fact `mesh_bad_checks`."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the checks that did not hold on this host; any of them fails the task."""
        super().run(tmp, task_vars)
        known = task_vars or {}
        _result, options = self.validate_argument_spec(argument_spec={"stories": {"type": "list", "elements": "str"}})
        found = mapping(plain(known.get("mesh_bad_checks") or {}))
        stories = list(found) if options["stories"] is None else options["stories"]
        bad = {story: sorted(set(items(found.get(story)))) for story in stories if items(found.get(story))}
        if not bad:
            return {"changed": False, "bad_checks": {}}
        named = "; ".join(f"{story} failed: {', '.join(checks)}" for story, checks in bad.items())
        return {"changed": False, "failed": True, "bad_checks": bad, "msg": f"{known['inventory_hostname']}: {named}"}
