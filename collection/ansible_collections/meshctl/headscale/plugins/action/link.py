# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Implement meshctl.headscale.link; the module of the same name documents it."""

from __future__ import annotations

import time
from typing import Any

from ..module_utils._errors import BadInput
from ..plugin_utils import _backend
from ..plugin_utils._action.controller import ControllerAction


class ActionModule(ControllerAction):
    """Changes the far end of the cable, so that the host sees what it would see of a real one."""

    ARGUMENTS = {"state": {"type": "str", "choices": ["plugged", "unplugged"], "required": True}}  # noqa: RUF012

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return whether the cable was moved, and when."""
        host = str(known["inventory_hostname"])
        started_at = time.time()
        plugged = options["state"] == "plugged"
        try:
            lab = _backend.configured(self, {"mesh_backend": "hosts", **known})
            if self._task.check_mode:
                changed = lab.cable_plugged(host) != plugged
            else:
                changed = lab.pull_cable(host, plugged=plugged)
        except BadInput as exc:
            raise BadInput(f"the cable of {host} cannot be changed: {exc}") from None
        return {"changed": changed, "started_at": started_at}
