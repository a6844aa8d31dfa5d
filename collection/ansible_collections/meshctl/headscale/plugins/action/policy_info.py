# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Do on the controller what the module of the same name does."""

from __future__ import annotations

from ..plugin_utils._action.api import ApiAction


class ActionModule(ApiAction):
    """Only the requests are made on the host."""

    MODULE = "policy_info"
