# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make an action of what Ansible would tell it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def tell(action: Any, host: str, options: dict[str, Any], known: dict[str, Any]) -> None:
    """Give an action its host, the options of its task and the variables of its host."""
    action.host, action.options, action.known = host, options, known
    action._templar = SimpleNamespace(template=lambda value: value)
    action._task = SimpleNamespace(args={})
