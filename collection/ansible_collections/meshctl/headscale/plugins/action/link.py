# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Implement meshctl.headscale.link; the module of the same name documents it."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._errors import BadInput
from ..plugin_utils import _backend
from ..plugin_utils._action.errors import reports_errors


class ActionModule(ActionBase):
    """Changes the far end of the cable, so that the host sees what it would see of a real one."""

    _supports_check_mode = True
    _requires_connection = False

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether the cable was moved, and when."""
        super().run(tmp, task_vars)
        known = {"mesh_backend": "hosts", **(task_vars or {})}
        _result, options = self.validate_argument_spec(
            argument_spec={"state": {"type": "str", "choices": ["plugged", "unplugged"], "required": True}}
        )
        host = str(known["inventory_hostname"])
        started_at = time.time()
        plugged = options["state"] == "plugged"
        try:
            lab = _backend.configured(self, known)
            if self._task.check_mode:
                changed = lab.cable_plugged(host) != plugged
            else:
                changed = lab.pull_cable(host, plugged=plugged)
        except BadInput as exc:
            raise BadInput(f"the cable of {host} cannot be moved: {exc}") from None
        return {"changed": changed, "started_at": started_at}
