# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of the host that an action runs for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError

from ...module_utils._errors import BadInput
from ...module_utils._plain import plain
from .._inventory.resolved import Settings

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase


def settings_of(action: ActionBase, task_vars: Mapping[str, Any] | None) -> Settings:
    """Return the settings of an action's host, with the defaults of `variables.yml`."""
    known = task_vars or {}

    def variable(name: str) -> Any:  # noqa: ANN401 - an inventory's data
        try:
            return plain(action._templar.template(known.get(name)))
        except AnsibleError as exc:
            raise BadInput(f"{name} cannot be read: {exc}; correct its template") from None

    return Settings(variable, [str(host) for host in (known.get("groups") or {}).get("clients") or ()])
