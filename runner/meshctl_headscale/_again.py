# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repeat an `up` of an embedded lab without a play where the play would find nothing to change.

The tasks of `up` note what they compare. If nothing that determines the tasks has changed since, the next `up` makes the
same comparisons itself, in one process on each machine. Whatever differs or is unknown is left to the play.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshctl_headscale import _collection, _fingerprint, _labs
from meshctl_headscale._events import Tally
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._play import Ended, Request, new_run_dir
from meshctl_headscale._progress import Log
from meshctl_headscale._run import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = "up.json"
_NOTES = "notes"


@dataclass(kw_only=True)
class Up:
    """An `up` of a lab."""

    lab: str
    request: Request
    variables: Mapping[str, str]
    command: str

    @property
    def _path(self) -> Path:
        return _collection.lab.Lab(self.lab).directory / _FILE

    @contextlib.contextmanager
    def noting(self, run_dir: Path, why: str) -> Iterator[Request]:
        """Log why a play is needed, and give the request with which its tasks note what they compare."""
        with contextlib.closing(Log(run_dir / "meshctl.log")) as log:
            log.write(f"a playbook is needed: {why}")
        path = run_dir / "artifacts" / _NOTES
        os.close(_collection.private.new_file(path))
        try:
            yield replace(self.request, environment={**self.request.environment, _collection.notes.VARIABLE: str(path)})
        finally:
            # They contain the content of files.
            path.unlink(missing_ok=True)

    def keep(self, result: Result, fingerprint: str) -> None:
        """Keep the notes of an `up` that has ended, if it has reached its end."""
        if result.code != ExitCode.PASSED or result.ended.interrupted:
            return
        try:
            lines = (result.run_dir / "artifacts" / _NOTES).read_text(encoding="utf-8").splitlines()
            report = json.loads((result.run_dir / _collection.model.FILE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        # A file that was edited meanwhile may have been read before or after.
        if _collection.notes.read(lines) is None or fingerprint != _fingerprint.of(self.request):
            return
        kept = {"fingerprint": fingerprint, "notes": lines, "report": report}
        fresh = self._path.with_suffix(".new")
        # Without the notes, as after a `down` in another terminal, the next `up` takes a play.
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
            with os.fdopen(_collection.private.new_file(fresh), "w", encoding="utf-8") as file:
                json.dump(kept, file)
            fresh.replace(self._path)

    def again(self, fingerprint: str) -> tuple[Result, dict[str, Any]] | str:
        """Return the result of another `up` and the status of the lab, or why that needs a play."""
        began, started = time.monotonic(), datetime.now(tz=UTC)
        try:
            kept = _read(self._path)
            notes = _collection.notes.read(kept.get("notes", ()))
            if notes is None:
                return "no earlier up has noted what to compare"
            if kept.get("fingerprint") != fingerprint:
                return "the inventory, the options, the environment or meshctl itself has changed"
            seen = self._compared(notes)
        except _collection.errors.HeadscaleError as error:
            return str(error)
        if isinstance(seen, str):
            return seen
        record, answers = seen
        return self._result(kept.get("report"), started, began), _labs.described(self.lab, record, answers)

    def _compared(
        self, notes: _collection.notes.Notes
    ) -> tuple[_collection.lab_record.Record, Mapping[str, Any]] | str:
        """Return the record of the lab and the answers of its machines, or the first difference."""
        found = _collection.lab.Lab(self.lab)
        record = found.record
        if record is None:
            return found.missing()
        if notes.lab["name"] != self.lab or not all(_untouched(found, notes)):
            return "the lab, its programs or its record have changed, or another play uses it"
        observe = _labs.questions(found, record, self.variables)
        asked = {host: {"services": [], "empty": [], "observe": more} for host, more in observe.items()}
        for host, request in _collection.standing.requests(notes).items():
            ids = {question["id"] for question in request["observe"]}
            others = [question for question in observe.get(host, ()) if question["id"] not in ids]
            asked[host] = {**request, "observe": [*request["observe"], *others]}
        if not asked.keys() <= record.machines.keys():
            return "the lab has other machines"
        timed = {host: {**request, "deadline_s": _labs.PROBE_S} for host, request in asked.items()}
        answers = _labs.ask(found, _collection.package.script_with("look", "apply", "probe"), timed)
        return _collection.standing.difference(notes, answers) or (record, answers)

    def _result(self, document: object, started: datetime, began: float) -> Result:
        """Write the run directory and return the result."""
        run_dir = new_run_dir("up")
        seconds = time.monotonic() - began
        report = replace(
            _collection.model.parse(document),
            run_id=run_dir.name,
            started=_collection.model.utc_text(started),
            finished=_collection.model.utc_text(datetime.now(tz=UTC)),
            duration_s=round(seconds, 3),
            command=self.command,
        )
        _collection.rundir.write(report, run_dir, known_valid=True)
        with contextlib.closing(Log(run_dir / "meshctl.log")) as log:
            log.write(f"meshctl up: {' '.join(map(str, self.request.playbooks))} -i {self.request.inventory}")
            log.write("nothing differs from what the last up compared: no playbook was needed")
            log.write(f"ended rc=0 interrupted=False exit={int(ExitCode.PASSED)}")
        ended = Ended(rc=0, interrupted=False, stats=None)
        return Result(code=ExitCode.PASSED, run_dir=run_dir, tally=Tally(), ended=ended, seconds=seconds)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _untouched(found: _collection.lab.Lab, notes: _collection.notes.Notes) -> Iterator[bool]:
    """Yield whether each part of the controller's side is as noted; stop at the first that is not."""
    yield _collection.lab_use.holder(found.directory) is None
    yield _collection.lab_record.load_server(found.directory) == notes.lab["server"]
    yield not any(fault.abandoned for fault in _collection.record.Faults(found.directory).active())
    wanted = notes.binaries
    programs = _collection.binaries.look(wanted["found"], paths=wanted["paths"], versions=wanted["versions"])
    yield {name: str(program.path) for name, program in programs.items()} == wanted["found"]
    yield found.unchanged(notes.lab["topology"], notes.lab["programs"])
