# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep what people were told and what was counted, so that a restart repeats no message and resets no counter."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection
from meshctl_headscale._history.facts import Made, StoryRun
from meshctl_headscale._watch.notices import Told
from meshctl_headscale._watch.sampled import Failure

WAITING, ROUND, HISTORY = "waiting for the next round", "making a round", "adding a round to the history"
SENDING, TEXTFILE = "sending a message", "writing the textfile"
_STATES = (WAITING, ROUND, HISTORY, SENDING, TEXTFILE)
_VERSION = 1
_MOST_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What outlives a watch."""

    told: Mapping[str, Told] = field(default_factory=dict)
    rounds: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    doing: str = ""
    """What a watch that has not ended by itself was doing."""
    started: float | None = None
    last_round: float | None = None
    stories: Mapping[str, StoryRun] = field(default_factory=dict)
    """How the stories ended, without their checks."""
    sampled: tuple[Failure, ...] = ()
    undelivered: str = ""
    """Why the last message did not reach every service."""


def load(path: Path) -> tuple[Kept, str]:
    """Return what was kept, and a sentence if that cannot be read."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
        if data["version"] != _VERSION:
            raise ValueError("another version")
        told = {story: _told(known) for story, known in data["told"].items()}
        rounds, failures = (
            {str(key): int(count) for key, count in data[part].items()} for part in ("rounds", "failures")
        )
        doing = data.get("doing") if data.get("doing") in _STATES else ""
        return Kept(told=told, rounds=rounds, failures=failures, doing=doing, **_recent(data)), ""
    except FileNotFoundError:
        return Kept(), ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Kept(), f"{path} cannot be read ({error}): what was told before is unknown."


def _recent(data: dict[str, Any]) -> dict[str, Any]:
    """Return what earlier versions did not keep."""
    times = {part: data.get(part) for part in ("started", "last_round")}
    return {
        **{part: None if at is None else float(at) for part, at in times.items()},
        "stories": {name: StoryRun(**{**story, "checks": ()}) for name, story in data.get("stories", {}).items()},
        "sampled": tuple(Failure(**{**one, "check": Made(**one["check"])}) for one in data.get("sampled", ())),
        "undelivered": str(data.get("undelivered", "")),
    }


def _told(known: dict[str, Any]) -> Told:
    kept = known.get("failing")
    failing = None if kept is None else {str(check): int(age) for check, age in kept.items()}
    return Told(**{**known, "recent": tuple(known["recent"]), "failing": failing})


def save(path: Path, kept: Kept) -> None:
    """Replace the file as a whole; raise OSError if that is not possible."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(_collection.private.new_file(fresh), "w", encoding="utf-8") as file:
            json.dump({"version": _VERSION, **asdict(kept)}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
