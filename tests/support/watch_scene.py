# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watch whose clock is compressed and whose rounds are recorded runs, not runs of a real mesh."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from meshctl_headscale._exit import ExitCode
from meshctl_headscale._watch import loop, rounds
from watch_reports import START, report

MINUTE = 60.0


@dataclass
class FakeClock:
    """A clock that only moves when told to."""

    at: float = START

    def now(self) -> float:
        """Return the time."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.at += seconds


@dataclass
class Scene:
    """A watch whose rounds are recorded runs."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    down: Callable[[float], set[str]] = lambda _now: set()
    nodes: Callable[[float], list[str]] = lambda _now: ["server", "one", "two"]
    outcome: Callable[[], rounds.Outcome] | None = None
    sent: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    overlap: int = 0

    def round(self) -> rounds.Outcome:
        """Leave the report of a run, as a round does."""
        if self.outcome:
            return self.outcome()
        self.overlap += 1
        assert self.overlap == 1
        self.clock.sleep(20)
        now = self.clock.now()
        made = report(now, self.nodes(now), down=self.down(now))
        run = self.directory / "runs" / f"{made.run_id}"
        run.mkdir(parents=True, exist_ok=True)
        (run / "report.json").write_text(json.dumps(made.as_dict()))
        self.overlap -= 1
        return rounds.Outcome(code=ExitCode.PASSED if made.verdict == "passed" else ExitCode.FAILED, run_dir=run)

    def watch(self, **options: object) -> loop.Watch:
        """Return a watch of this scene; a second one is the same watch after a restart."""
        defaults = {
            "mesh": "mesh", "every_s": 5 * MINUTE, "run_round": self.round, "history": self.directory / "h" / "h.sqlite",
            "told_file": self.directory / "told.json", "say": self.said.append, "clock": self.clock,
            "send": lambda subject, body: self.sent.append((subject, body)), "chance": random.Random(1).random,  # noqa: S311
        }  # fmt: skip
        return loop.Watch(**{**defaults, **options})  # type: ignore[arg-type]


def rounds_of(watch: loop.Watch, scene: Scene, count: int) -> None:
    """Make rounds, five minutes apart."""
    for _ in range(count):
        watch.round()
        scene.clock.sleep(280)
