# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record which faults are in a lab, with the steps that undo them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...module_utils._errors import CouldNotRun
from .._lab.supervisor import Process
from .catalogue import Step


class FaultError(CouldNotRun):
    """A fault cannot be injected, undone or drilled: which one, where and why."""


@dataclass(frozen=True, kw_only=True)
class Active:
    """A fault that is in a lab now."""

    id: str
    title: str
    since: str
    undo: tuple[Step, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    drill: tuple[int, int] | None = None
    """PID and start time of the drill that injected it; None for a fault that a person injected."""
    problem: str = ""
    """Why it could not be undone."""

    @property
    def abandoned(self) -> bool:
        """Whether a drill injected it and was killed."""
        return self.drill is not None and not Process(*self.drill).alive

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for the record."""
        return {**vars(self), "undo": [step.as_dict() for step in self.undo], "variables": dict(self.variables)}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Active:
        """Return a fault from the record."""
        drill = data.get("drill")
        undo = tuple(Step(**step) for step in data["undo"])
        return cls(**{**data, "undo": undo, "drill": (int(drill[0]), int(drill[1])) if drill else None})


class Faults:
    """The faults of one lab, in its state directory."""

    def __init__(self, directory: Path) -> None:
        """Name the state directory of the lab; it need not exist."""
        self._path = directory / "faults.json"

    def active(self) -> list[Active]:
        """Return the faults that are in the lab, the latest last; raise `FaultError` when the record is damaged."""
        try:
            return [Active.read(entry) for entry in json.loads(self._path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise FaultError(
                f"{self._path} cannot be read ({exc}): run `meshctl down` and `meshctl up` to rebuild the lab"
            ) from None

    def write(self, entries: Sequence[Active]) -> None:
        """Replace the record; a reader sees the old one or the new one."""
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps([entry.as_dict() for entry in entries], indent=1) + "\n", encoding="utf-8")
        fresh.replace(self._path)
