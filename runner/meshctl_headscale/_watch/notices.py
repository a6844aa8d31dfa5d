# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide what to tell people after a round: only changes, grouped, and while a story fails or flaps only what else fails."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from meshctl_headscale._events import BAD
from meshctl_headscale._history import flapping
from meshctl_headscale._history.facts import Made, StoryRun

# Told of a round that was not possible, as if that were a story.
ROUND = "watch"
_GOOD, _BAD, _FLAPS = "passed", "failed", "flapping"
_MOST_SUBJECTS = 100
# Of a story: checks that are remembered, and causes that one message names.
_MOST_FAILING = 5000
_MOST_CAUSES = 3


@dataclass(frozen=True, kw_only=True)
class Told:
    """What people know of a story, and what happened since."""

    verdict: str = _GOOD
    """What was told last: `passed` (also if nothing was ever told), `failed` or `flapping`."""
    since: float = 0.0
    """When the present verdict began."""
    recent: tuple[bool, ...] = ()
    flaps: bool = False
    failing: Mapping[str, int] | None = field(default_factory=dict)
    """What people know to be bad, and how many rounds ago it was: a check that comes and goes is told once.

    None if an earlier version has not kept it.
    """


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
        known = {story: self.before.get(story, Told()) for story in self.after}
        return {
            story: replace(told, verdict=known[story].verdict, failing=known[story].failing)
            for story, told in self.after.items()
        }


def decide(known: Mapping[str, Told], stories: Sequence[StoryRun], problem: str, now: float) -> Decision:
    """Return what to tell after a round that ended so; `problem` says why it was not possible."""
    verdicts = {story.story: (story.verdict, story.cause, story.checks) for story in stories}
    if problem:
        verdicts[ROUND] = ("error", problem, ())
    elif stories:
        verdicts[ROUND] = (_GOOD, "", ())
    after = dict(known)
    changes = []
    for story, (verdict, cause, checks) in verdicts.items():
        if verdict not in ("passed", "failed", "error"):
            # Neither good nor bad: nothing was proven.
            continue
        if story not in after and len(after) >= _MOST_SUBJECTS:
            continue
        before = known.get(story, Told(since=now))
        told = replace(_next(before, verdict == _GOOD, now), failing=_failing(before.failing or {}, checks))
        after[story] = told
        wanted = _FLAPS if told.flaps else (_GOOD if verdict == _GOOD else _BAD)
        if wanted != told.verdict:
            changes.append(
                Change(story=story, verdict=wanted, text=_text(wanted, story, cause, told, known.get(story)))
            )
            after[story] = replace(told, verdict=wanted)
        # A story that begins to fail is told with its cause.
        if before.failing is not None and (before.verdict != _GOOD or wanted == _FLAPS):
            changes += [Change(story=story, verdict=_BAD, text=text) for text in _also(story, before.failing, checks)]
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


def _key(*words: str) -> str:
    # A digest, since names come from nodes and may be long.
    return hashlib.blake2s("\0".join(words).encode(), digest_size=8).hexdigest()


def _stars(check: Made) -> tuple[str, ...]:
    """Return what stands for the same check of the source with all other hosts, and of all other hosts with the target."""
    source = _key(check.id, check.source, "*")
    # Without a target, other hosts have only the kind of the check in common.
    return (source, _key(check.id, "*", check.target)) if check.target else (source,)


def _failing(known: Mapping[str, int], checks: Sequence[Made]) -> dict[str, int]:
    """Return what is bad, and what was bad within the window of flapping: checks, or all of a host's with any other."""
    bad = _bad(checks)
    passing = {star for check in checks if check.verdict == _GOOD for star in _stars(check)}
    count = Counter(star for check in bad for star in _stars(check))
    whole = {star for star, number in count.items() if number > 1 and star not in passing}
    now = {key: 0 for check in bad for key in whole.intersection(_stars(check)) or {_key(*check.key)}}
    past = {key: age + 1 for key, age in known.items() if key not in now and age < flapping.WINDOW}
    return dict(islice({**now, **past}.items(), _MOST_FAILING))


def _bad(checks: Sequence[Made]) -> list[Made]:
    return [check for check in checks if check.verdict in BAD]


def _also(story: str, known: Mapping[str, int], checks: Sequence[Made]) -> Iterator[str]:
    """Yield a line for each cause of what was not bad before; none once more is bad than can be remembered."""
    causes: dict[str, list[Made]] = {}
    for check in _bad(checks) if len(known) < _MOST_FAILING else ():
        if known.keys().isdisjoint((_key(*check.key), *_stars(check))):
            causes.setdefault(check.hint or check.id, []).append(check)
    for cause, found in islice(causes.items(), _MOST_CAUSES):
        pair = f"{found[0].source} → {found[0].target}" if found[0].target else found[0].source
        more = f" ({len(found)} checks)" if len(found) > 1 else ""
        yield f"{story} also fails: {pair}: {cause}{more}"
    if rest := sum(len(found) for found in islice(causes.values(), _MOST_CAUSES, None)):
        yield f"{story} also fails in {rest} more checks"


def _text(wanted: str, story: str, cause: str, told: Told, before: Told | None) -> str:
    if wanted == _FLAPS:
        changes = flapping.changes(told.recent)
        since = f"{changes} changes in the last {len(told.recent)} rounds"
        return f"{story} flaps: {since}; no more messages until it is stable, unless another check fails"
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
    bad = list(dict.fromkeys(change.story for change in changes if change.verdict == _BAD))
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
