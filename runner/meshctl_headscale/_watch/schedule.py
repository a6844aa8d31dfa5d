# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide when the next round begins."""

from __future__ import annotations

import math

# Many watchers that start at the same time (a power cut) shall not stay in step.
JITTER = 0.1


def next_start(first: float, now: float, every_s: float, chance: float) -> float:
    """Return when the next round begins; `chance` is a random number from 0 to 1.

    The rounds keep to a grid that begins with the first one, and those that a long round has missed are left out.
    """
    slot = math.floor((now - first) / every_s) + 1
    return max(first + slot * every_s + chance * JITTER * every_s, now)
