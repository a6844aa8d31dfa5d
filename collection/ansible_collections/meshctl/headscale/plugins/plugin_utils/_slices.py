# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the slices of a run on one machine tell each other through a directory, as each is a separate ansible-playbook.

Each slice runs the same plays on some of the hosts. It leaves the facts of its hosts for the others, and notes how far it has
come, so that no slice uses a fact before it is there, or ends a listener that another slice still needs.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from . import _private

VARIABLE: Final = "MESHCTL_SLICE"
# The facts of hosts that tasks of other hosts use, by the action that makes them: after it, a slice waits for the others.
MADE: Final = {
    "client_info": ("mesh_client",),
    "assert_registered": ("mesh_nodes", "mesh_pairs_run"),
    "assert_addressed": ("mesh_physical_ipv6",),
    "serve": ("mesh_serving", "mesh_noted"),
    "assert_isolated": ("mesh_knocked",),
    "diagnose": ("mesh_client", "mesh_diagnosis", "mesh_diagnosis_server"),
}
FACTS: Final = frozenset(fact for facts in MADE.values() for fact in facts)
_GONE: Final = "gone"


@dataclass(frozen=True)
class Slice:
    """One slice of a run, and the directory that all of them share."""

    number: int
    count: int
    directory: Path

    @classmethod
    def this(cls) -> Slice | None:
        """Return the slice that this process belongs to; None where the run has no slices."""
        number, _slash, rest = os.environ.get(VARIABLE, "").partition("/")
        count, _space, directory = rest.partition(" ")
        if not (number.isdigit() and count.isdigit() and directory):
            return None
        return cls(int(number), int(count), Path(directory))

    @property
    def word(self) -> str:
        """Return the value of the environment variable that tells a process which slice it is."""
        return f"{self.number}/{self.count} {self.directory}"

    def publish(self, host: str, facts: dict[str, Any]) -> None:
        """Leave facts of a host for the other slices."""
        for name, fact in facts.items():
            file = self._fact(host, name)
            _private.directory(file.parent, remedy="")
            fresh = file.with_suffix(f".{os.getpid()}")
            with os.fdopen(_private.new_file(fresh), "w", encoding="utf-8") as opened:
                json.dump(fact, opened)
            fresh.replace(file)

    def fact(self, host: str, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return what a slice has left of a host, None if it has left nothing."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self._fact(host, name).read_text(encoding="utf-8"))
        return None

    def enter(self, story: str) -> None:
        """Note that this slice has begun a story."""
        self._note(f"story {story}")

    def reach(self, story: str, point: str) -> None:
        """Note that this slice has come to a point of a story."""
        self._note(f"point {story} {point}")

    def leave(self) -> None:
        """Note that this slice has ended, so that no other waits for it."""
        self._note(_GONE)

    def behind(self, story: str, point: str) -> list[int]:
        """Return the slices that have not come as far as this point of the story."""
        others = (number for number in range(1, self.count + 1) if number != self.number)
        return [number for number in others if not _passed(self._notes(number), story, point)]

    def _note(self, line: str) -> None:
        with self._file(self.number).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _notes(self, number: int) -> list[str]:
        try:
            return self._file(number).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _file(self, number: int) -> Path:
        return self.directory / f"slice-{number}"

    def _fact(self, host: str, name: str) -> Path:
        return self.directory / f"host-{quote(host, safe='')}" / name


def _passed(notes: list[str], story: str, point: str) -> bool:
    """Whether a slice has come to a point, is in a later story, or has ended."""
    begun = [line for line in notes if line.startswith("story ")]
    later = f"story {story}" in begun[:-1] and begun[-1] != f"story {story}"
    return _GONE in notes or f"point {story} {point}" in notes or later
