# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop: a round, what follows from it, and the wait for the next one. No problem ends it."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from meshctl_headscale import _collection
from meshctl_headscale._exit import ExitCode, MeshctlError
from meshctl_headscale._history import facts as history_facts
from meshctl_headscale._history.facts import Facts
from meshctl_headscale._history.store import DamagedError, HistoryError, Store, open_to_write
from meshctl_headscale._watch import metrics, notices, rounds, sampled, schedule, state


class PartlyError(MeshctlError):
    """Some services have the message: sending it again would duplicate it."""


_RESULTS = {ExitCode.PASSED: "passed", ExitCode.FAILED: "failed", ExitCode.INTERRUPTED: "interrupted"}


class Clock(Protocol):
    """Time, as tests may compress it."""

    def now(self) -> float:
        """Return seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(kw_only=True)
class Watch:
    """Watches one mesh."""

    mesh: str
    every_s: float
    run_round: Callable[[], rounds.Outcome]
    history: Path
    told_file: Path
    say: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)
    send: Callable[[str, str], None] | None = None
    """Sends a subject and a message; raises MeshctlError if that is not possible."""
    textfile: Path | None = None
    chance: Callable[[], float] = random.random
    keep_runs: int = 300
    version: str = ""

    def __post_init__(self) -> None:
        """Begin with what was told and counted before."""
        self._store: Store | None = None
        self._problems: dict[str, str] = {}
        kept, problem = state.load(self.told_file)
        self._told = dict(kept.told)
        self._sampled = kept.sampled
        now = self.clock.now()
        self.snapshot = metrics.Snapshot(
            version=self.version,
            every_s=self.every_s,
            # A watch that is killed in each of its first rounds must not look as if it had just started.
            started=min(kept.started or now, now) if kept.last_round is None else now,
            last_round=None if kept.last_round is None else min(kept.last_round, now),
            stories=dict(kept.stories),
            flapping=self._flapping(),
            rounds={result: kept.rounds.get(result, 0) for result in metrics.RESULTS},
            failures=dict(kept.failures),
        )
        self._report({"state": problem} if problem else {})
        self._undelivered = kept.undelivered if self.send else ""
        if self._undelivered:
            self._problems["notification"] = self._undelivered
        self._unsure = kept.doing == state.SENDING
        if kept.doing:
            twice = ", which may arrive twice" if self._unsure else ""
            self.say(f"The previous watch was killed while it was {kept.doing}{twice}; this one continues.")

    def run(self, *, once: bool = False) -> ExitCode:
        """Make rounds until the process ends, or one; return the result of the last round."""
        first = self.clock.now()
        if not once:
            # A service that was restarted may have other URLs.
            self._undelivered = ""
            self._problems.pop("notification", None)
        try:
            while True:
                code = self.round()
                if once:
                    return code
                self._note(state.WAITING)
                now = self.clock.now()
                # A clock that was set back must not stop the rounds.
                first = min(first, now)
                self.clock.sleep(schedule.next_start(first, now, self.every_s, self.chance()) - now)
        finally:
            self._close()
            self._note("")

    def round(self) -> ExitCode:
        """Make a round and all that follows from it."""
        began = self.clock.now()
        self._note(state.ROUND)
        outcome = self.run_round()
        ended = self.clock.now()
        found, problems = self._facts(outcome)
        problem = problems.get("round", "")
        result = _RESULTS.get(outcome.code, "not_run") if found else "not_run"
        if outcome.code == ExitCode.INTERRUPTED:
            result = "interrupted"
        seen = None
        if found:
            self._sampled = sampled.after(self._sampled, found)
            seen = sampled.completed(found, self._sampled)
        self.snapshot = self.snapshot.after(seen, result, began=began, ended=ended)
        if found:
            self._note(state.HISTORY)
            problems |= self._keep(found)
        problems |= self._tell(seen, problem, ended)
        self._publish(problems)
        self._report(problems)
        self.say(_line(seen, result, problem, ended - began))
        with contextlib.suppress(OSError):
            rounds.tidy(_collection.paths.runs_dir(), self.keep_runs, self.told_file.parent)
        return outcome.code

    def _facts(self, outcome: rounds.Outcome) -> tuple[Facts | None, dict[str, str]]:
        """Return what the report of a round says, and why there is none."""
        reasons = " ".join(outcome.reasons)
        if outcome.run_dir is None or not (outcome.run_dir / "report.json").is_file():
            interrupted = outcome.code == ExitCode.INTERRUPTED
            return None, {} if interrupted else {"round": reasons or "The round left no report."}
        try:
            found = history_facts.read(_collection.model.load(outcome.run_dir))
        except _collection.errors.HeadscaleError as error:
            return None, {"round": str(error)}
        # A run that was not possible may have made some checks before.
        ran = outcome.code in _RESULTS
        return found, {} if ran else {"round": reasons or "The round could not run."}

    def _keep(self, found: Facts) -> dict[str, str]:
        """Add the round to the history; without one, everything else goes on."""
        try:
            store = self._opened()
            try:
                store.add(found)
            except DamagedError:
                store = self._opened(again=True)
                store.add(found)
            store.prune()
        except (HistoryError, _collection.errors.HeadscaleError, OSError) as error:
            self._close()
            return {"history": str(error)}
        return {}

    def _opened(self, *, again: bool = False) -> Store:
        """Return the history; a file that was removed or damaged is replaced."""
        if self._store and not again and self.history.exists():
            return self._store
        self._close()
        self._store, said = open_to_write(self.history)
        if said:
            self.say(said)
        return self._store

    def _close(self) -> None:
        if self._store:
            self._store.close()
            self._store = None

    def _tell(self, found: Facts | None, problem: str, now: float) -> dict[str, str]:
        """Send what changed; what cannot be sent is sent after the next round."""
        stories = found.stories if found and found.complete else ()
        decision = notices.decide(self._told, stories, problem, now)
        told: Mapping[str, notices.Told] = decision.after
        if decision.changes and self.send:
            self._note(state.SENDING)
            again = (
                "\nThis may repeat a message: the watch was killed while it was sending one." if self._unsure else ""
            )
            try:
                self.send(notices.subject(decision.changes, self.mesh), notices.body(decision.changes) + again)
                self._undelivered = ""
            except PartlyError as error:
                self._undelivered = str(error)
            except MeshctlError as error:
                told, self._undelivered = decision.untold, str(error)
        # Only a message that was sent shows that they work again.
        problems = {"notification": self._undelivered} if self._undelivered else {}
        self._told, self._unsure = dict(told), False
        if problem := self._note(state.TEXTFILE if self.textfile else state.WAITING):
            problems["state"] = problem
        return problems

    def _flapping(self) -> frozenset[str]:
        return frozenset(story for story, told in self._told.items() if told.flaps)

    def _note(self, doing: str) -> str:
        """Save what was told and counted, and what comes next; return what prevents that."""
        counted = self.snapshot
        try:
            state.save(
                self.told_file,
                state.Kept(
                    told=self._told,
                    rounds=counted.rounds,
                    failures=counted.failures,
                    doing=doing,
                    started=counted.started,
                    last_round=counted.last_round,
                    stories=counted.stories,
                    sampled=self._sampled,
                    undelivered=self._undelivered,
                ),
            )
        except OSError as error:
            return f"{self.told_file} cannot be written: {error.strerror or error}."
        return ""

    def _publish(self, problems: dict[str, str]) -> None:
        """Write the textfile as a whole."""
        self.snapshot.problems, self.snapshot.flapping = dict(problems), self._flapping()
        if self.textfile is None:
            return
        fresh = self.textfile.with_name(f".{self.textfile.name}.new")
        try:
            # Others may write to this directory: a link of theirs must not say what is written.
            fresh.unlink(missing_ok=True)
            with os.fdopen(_collection.private.new_file(fresh), "wb") as file:
                file.write(metrics.text(metrics.registry(lambda: self.snapshot)))
                # node_exporter runs as another user.
                os.fchmod(file.fileno(), 0o644)
            os.replace(fresh, self.textfile)  # noqa: PTH105
        except OSError as error:
            problems["textfile"] = f"{self.textfile} cannot be written: {error.strerror or error}."
            self.snapshot.problems = dict(problems)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)

    def _report(self, problems: dict[str, str]) -> None:
        """Say a problem once, and once that it is gone."""
        for part, problem in problems.items():
            # The line of the round says the other one.
            if part != "round" and self._problems.get(part) != problem:
                self.say(problem)
        for part in self._problems.keys() - problems.keys() - {"round"}:
            self.say(f"The {part} works again.")
        self._problems = problems


def _line(found: Facts | None, result: str, problem: str, seconds: float) -> str:
    """Return the line of a round for the log."""
    verdicts = ", ".join(f"{story.story} {story.verdict}" for story in found.stories) if found else ""
    cause = problem or next((story.cause for story in (found.stories if found else ()) if story.cause), "")
    said = "; ".join(filter(None, [verdicts, "" if result != "not_run" else "not possible", cause]))
    return f"round: {said or result} ({seconds:.0f} s)"
