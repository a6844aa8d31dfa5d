# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what to tell people after a round: only changes, grouped, and nothing while a verdict flaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from meshctl_headscale._history import flapping
from meshctl_headscale._history.facts import StoryRun

# Told of a round that was not possible, as if that were a story.
ROUND = "watch"
_GOOD, _BAD, _FLAPS = "passed", "failed", "flapping"
_MOST_SUBJECTS = 100


@dataclass(frozen=True, kw_only=True)
class Told:
    """What people know of a story, and what happened since."""

    verdict: str = _GOOD
    """What was told last: `passed` (also if nothing was ever told), `failed` or `flapping`."""
    since: float = 0.0
    """When the present verdict began."""
    recent: tuple[bool, ...] = ()
    flaps: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of a message."""

    story: str
    verdict: str
    """`passed`, `failed` or `flapping`."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to tell, and what is known once it was told."""

    changes: tuple[Change, ...] = ()
    before: Mapping[str, Told] = field(default_factory=dict)
    after: Mapping[str, Told] = field(default_factory=dict)

    @property
    def untold(self) -> dict[str, Told]:
        """Return what is known if the message could not be sent: the changes are told after the next round."""
        return {
            story: replace(told, verdict=self.before[story].verdict if story in self.before else _GOOD)
            for story, told in self.after.items()
        }


def decide(known: Mapping[str, Told], stories: Sequence[StoryRun], problem: str, now: float) -> Decision:
    """Return what to tell after a round that ended so; `problem` says why it was not possible."""
    verdicts = {story.story: (story.verdict, story.cause) for story in stories}
    if problem:
        verdicts[ROUND] = ("error", problem)
    elif stories:
        verdicts[ROUND] = (_GOOD, "")
    after = dict(known)
    changes = []
    for story, (verdict, cause) in verdicts.items():
        if verdict not in ("passed", "failed", "error"):
            # Neither good nor bad: nothing was proven.
            continue
        if story not in after and len(after) >= _MOST_SUBJECTS:
            continue
        after[story] = told = _next(known.get(story, Told(since=now)), verdict == _GOOD, now)
        wanted = _FLAPS if told.flaps else (_GOOD if verdict == _GOOD else _BAD)
        if wanted != told.verdict:
            changes.append(
                Change(story=story, verdict=wanted, text=_text(wanted, story, cause, told, known.get(story)))
            )
            after[story] = replace(told, verdict=wanted)
    return Decision(changes=tuple(changes), before=dict(known), after=after)


def _next(told: Told, good: bool, now: float) -> Told:
    recent = (*told.recent, good)[-flapping.WINDOW :]
    changed = bool(told.recent) and told.recent[-1] != good
    return Told(
        verdict=told.verdict,
        since=now if changed or not told.recent else told.since,
        recent=recent,
        flaps=flapping.flaps(recent, before=told.flaps),
    )


def _text(wanted: str, story: str, cause: str, told: Told, before: Told | None) -> str:
    if wanted == _FLAPS:
        changes = flapping.changes(told.recent)
        return f"{story} flaps: {changes} changes in the last {len(told.recent)} rounds; no more messages until it is stable"
    if wanted == _GOOD:
        calm = " and is stable again" if before and before.flaps else ""
        what = "The mesh can be examined" if story == ROUND else f"{story} passes"
        return f"{what} again{calm}, after {_minutes(told.since - (before.since if before else told.since))}"
    what = "The mesh cannot be examined" if story == ROUND else f"{story} fails"
    return f"{what}: {cause}" if cause else what


def _minutes(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"  # noqa: PLR2004


def subject(changes: Sequence[Change], mesh: str) -> str:
    """Return the first line of a message."""
    bad = [change.story for change in changes if change.verdict == _BAD]
    flaps = [change.story for change in changes if change.verdict == _FLAPS]
    if bad:
        return f"meshctl {mesh}: {', '.join(bad[:5])} failed"
    if flaps:
        return f"meshctl {mesh}: {', '.join(flaps[:5])} flaps"
    return f"meshctl {mesh}: {', '.join(change.story for change in changes[:5])} recovered"


def body(changes: Sequence[Change]) -> str:
    """Return a message, with equal causes told once."""
    lines: list[str] = []
    causes: dict[str, str] = {}
    for change in sorted(changes, key=lambda change: (change.verdict != _BAD, change.story)):
        head, colon, cause = change.text.partition(": ")
        if change.verdict == _BAD and colon and cause in causes:
            lines.append(f"{head}: as {causes[cause]}")
        else:
            lines.append(change.text)
            causes[cause] = change.story
    return "\n".join(lines)
