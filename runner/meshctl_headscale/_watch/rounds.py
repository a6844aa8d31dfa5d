# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start rounds, each in a separate process, and never two at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection
from meshctl_headscale._exit import ExitCode, MeshctlError
from meshctl_headscale._watch.worker import MARK, NAME

# A round that takes longer hangs: playbooks have their own deadlines.
LONGEST_S = 3600.0
_STOP_S = 60.0
_LOCK_S = 90.0
_ANSWER_BYTES = 1 << 20
_ROUND = re.compile(rf"\d{{8}}T\d{{6}}Z-{NAME}(-\d+)?")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a round ended."""

    code: ExitCode
    run_dir: Path | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What each round runs."""

    stories: Sequence[str]
    inventory: str
    command: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Path] = ()
    limit: Sequence[str] = ()
    state: Path | None = None
    """The directory of the watch, of which each run directory takes note."""
    lock: int | None = None
    """The descriptor of the lock: a round that outlives its watcher keeps the next one waiting."""
    longest_s: float = LONGEST_S

    def run(self) -> Outcome:
        """Run a round and return how it ended."""
        asked = {
            "stories": list(self.stories),
            "inventory": self.inventory,
            "command": self.command,
            "variables": dict(self.variables),
            "files": [str(path) for path in self.files],
            "limit": list(self.limit),
            "state": str(self.state or ""),
        }
        try:
            worker = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "meshctl_headscale._watch.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[] if self.lock is None else [self.lock],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            return Outcome(code=ExitCode.COULD_NOT_RUN, reasons=(f"The round could not be started: {error.strerror}.",))
        with _ended(worker):
            try:
                said, _stderr = worker.communicate(json.dumps(asked).encode(), timeout=self.longest_s)
            except subprocess.TimeoutExpired:
                hours = f"{self.longest_s / 60:.0f} minutes"
                return Outcome(
                    code=ExitCode.COULD_NOT_RUN, reasons=(f"The round did not end within {hours}; it was stopped.",)
                )
        return _outcome(said, worker.returncode)


@contextlib.contextmanager
def _ended(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process of the round, whatever happens."""
    try:
        yield
    finally:
        if worker.poll() is None:
            worker.terminate()
            try:
                worker.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        for stream in (worker.stdin, worker.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _outcome(said: bytes, code: int) -> Outcome:
    try:
        answer = json.loads(said[-_ANSWER_BYTES:].strip().splitlines()[-1])
        return Outcome(
            code=ExitCode(answer["code"]),
            run_dir=Path(answer["run_dir"]) if answer["run_dir"] else None,
            reasons=tuple(map(str, answer["reasons"])),
        )
    except (ValueError, IndexError, KeyError, TypeError):
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return Outcome(code=ExitCode.COULD_NOT_RUN, reasons=(f"The round {how} and gave no answer.",))


@contextlib.contextmanager
def locked(directory: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock of a mesh; wait for a round of a watcher that was killed."""
    path = (
        _collection.private.directory(directory, remedy="Set MESHCTL_STATE_DIR to a directory that you own.") / "lock"
    )
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_S
        waiting = False
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise MeshctlError(
                    f"Another `meshctl watch` watches this mesh ({path} is locked). Stop it, or choose another --history."
                )
            if not waiting:
                say("Waiting for another watch of this mesh to end.")
            waiting = True
            time.sleep(0.5)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def tidy(runs: Path, keep: int, state: Path) -> None:
    """Remove the oldest run directories of a watch; those of other runs and other watches stay."""
    found = sorted(path for path in runs.glob(f"*Z-{NAME}*") if _is_round(path, state))
    for path in found[: max(len(found) - keep, 0)]:
        shutil.rmtree(path, ignore_errors=True)


def _is_round(path: Path, state: Path) -> bool:
    """Whether a directory is that of a round of this watch."""
    if not _ROUND.fullmatch(path.name) or path.is_symlink():
        return False
    try:
        return _collection.reading.content(path / MARK) == str(state)
    except (OSError, ValueError):
        return False
