# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sent to a host: compare its services with what was applied to it, and observe, in one process; change nothing.

Standard library only, Python 3.8 or later.
"""

from __future__ import annotations

import os

from .apply import main as apply
from .apply.work import not_ready
from .probe import main as probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .probe._types import Dict, List


def main(request: Dict) -> Dict:
    """Return what would change for each service, and which files are not empty, and the observations of the probe."""
    changes: List = []
    for wanted in request["services"]:
        answer = apply({**wanted, "check": True})
        changes += answer["changes"]
        if answer.get("failed"):
            changes.append(answer["msg"])
        elif wanted.get("ready") and not answer["changes"]:
            problem = not_ready(wanted["ready"])
            changes += [f"{wanted['name']} is not ready: {problem}"] if problem else []
    changes += [f"{path} is not empty" for path in request["empty"] if _size(path)]
    return {"changes": changes, **probe(request)}


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
