# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Number the runs of a mesh, so that each of them checks another sample of its pairs."""

from __future__ import annotations

import contextlib
import fcntl
import re
from typing import TYPE_CHECKING

from ...module_utils._errors import BadInput
from .. import _paths
from .._inventory.pairs import read_pairs
from .._judge.answer import number, text

if TYPE_CHECKING:
    from pathlib import Path

    from .members import MeshAction

_LONGEST = 20


def run_number(task: MeshAction) -> int:
    """Return the number of this run among those of its mesh; all stories of a run have the same.

    AWX forgets what a job writes, so there it is the number of the job.
    """
    known = number(task.shared("mesh_pairs_run"))
    if known is not None:
        return int(known)
    if read_pairs(task.setting("pairs")) is None:
        return 0
    if text(job := task.variable("awx_job_id")).isdecimal():
        return int(job)
    return 0 if task._task.check_mode else _next(_counter(task))


def _counter(task: MeshAction) -> Path:
    name = task.setting("lab_name") if task.setting("backend") != "hosts" else task.setting("server_url")
    safe = re.sub(r"[^a-z0-9.-]+", "_", text(name).lower().partition("://")[2] or text(name).lower())
    return _paths.state_dir() / "pairs" / (safe or "mesh")


def _next(path: Path) -> int:
    """Count a run and return its number, from zero; without a place to keep it, every run is the first."""
    with contextlib.suppress(OSError, BadInput):
        _paths.make(path.parent)
        with path.open("a+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            said = file.read(_LONGEST)
            turn = int(said) if said.isdecimal() else 0
            file.seek(0)
            file.truncate()
            file.write(str(turn + 1))
            return turn
    return 0
