# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the history of a mesh, and add runs to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from meshctl_headscale import _collection, _reports
from meshctl_headscale._history import facts
from meshctl_headscale._history.store import Store, open_to_write
from meshctl_headscale._inventory import DEFAULTS


def path(named: Path | None, inventory: str | None, lab: str | None) -> Path:
    """Return the file of a mesh: the one that is named, else one for this inventory and lab. Nothing is evaluated."""
    lab = _collection.lab.Lab(lab).name if lab else None
    if named:
        return _collection.home.expanded(named).absolute()
    name = f"lab-{lab or DEFAULTS['lab_name']}"
    if inventory:
        place = inventory if "," in inventory else str(_collection.home.expanded(inventory).absolute())
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(inventory).stem)[:40]
        name = f"{stem}-{hashlib.sha256(place.encode()).hexdigest()[:8]}" + (f"-{lab}" if lab else "")
    return _collection.paths.state_dir() / "history" / f"{name}.sqlite"


def add(file: Path, runs: Sequence[str]) -> list[str]:
    """Add runs to the history; return sentences about what the user should know."""
    found = [facts.read(_collection.model.load(_reports.find(run))) for run in runs]
    store, problem = open_to_write(file)
    with store:
        known = [run.run_id for run in sorted(found, key=lambda run: run.finished) if not store.add(run)]
        store.prune()
    return [*filter(None, [problem]), *(f"The run {run} is in the history already." for run in known)]


def opened(file: Path) -> Store:
    """Open the history to read it."""
    return Store(file)
