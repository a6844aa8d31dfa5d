# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make characters of foreign text visible in whatever Ansible prints: results, facts, warnings and errors.

Ansible's JSON escapes C0 controls alone, and a terminal acts on others as well: C1, and those that reverse text.
"""

from __future__ import annotations

import functools
from typing import Any

from . import visible


def show_controls() -> None:
    """Change what this process and its forks print from now on."""
    from ansible.utils.display import Display

    original: Any = getattr(Display.display, "as_it_is", Display.display)

    @functools.wraps(original)
    def display(self: Display, msg: str, *args: object, **options: object) -> None:
        original(self, visible.coloured(msg) if isinstance(msg, str) else msg, *args, **options)

    display.as_it_is = original  # type: ignore[attr-defined]
    Display.display = display  # type: ignore[method-assign]
