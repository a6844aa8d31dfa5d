# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With a sample of the pairs, remember what failed until it is checked again: a round that left it out proves nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from meshctl_headscale._events import BAD
from meshctl_headscale._history.facts import Facts, Made, Pair, StoryRun, is_arrival

_MOST = 2000


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A check of a pair that failed when it was made last."""

    story: str
    check: Made
    missed: int = 0
    """How many rounds of the story have not made it since."""


def after(known: Sequence[Failure], found: Facts) -> tuple[Failure, ...]:
    """Return what fails, as far as is known after a round."""
    failures: list[Failure] = []
    for story in found.stories:
        made = [check for check in story.checks if check.verdict != "skipped"]
        failures += [
            Failure(story=story.story, check=check)
            for check in made
            if found.sampled and check.verdict in BAD and {check.source, check.target} <= found.hosts
        ]
        keys, kinds = {check.key for check in made}, {(check.id, check.source) for check in made}
        failures += [
            replace(one, missed=one.missed + 1)
            for one in known
            if one.story == story.story and one.check.key not in keys and _may_fail(one, story, kinds, found)
        ]
    ran = {story.story for story in found.stories}
    failures += [one for one in known if one.story not in ran]
    return tuple(failures[:_MOST])


def _may_fail(one: Failure, story: StoryRun, kinds: Collection[tuple[str, str]], found: Facts) -> bool:
    """Whether a check that failed before may still fail, although the story has not made it."""
    # A round that ended early knows no hosts.
    if found.hosts and not {one.check.source, one.check.target} <= found.hosts:
        return False
    # Other runs of the mesh take samples as well. Later, the pair is not to be checked any more.
    if found.sampled and one.missed >= 2 * found.sampled:
        return False
    # Some findings exist only while they are bad. In a sample, each node still has other targets.
    left_out = bool(found.sampled) and (one.check.id, one.check.source) in kinds
    return story.verdict != "passed" or left_out


def completed(found: Facts, failures: Sequence[Failure]) -> Facts:
    """Return a round together with what failed before and was not checked again."""
    missed = [one for one in failures if one.missed]
    if not missed:
        return found
    measured = {(pair.source, pair.target) for pair in found.pairs}
    lost = {(one.check.source, one.check.target) for one in missed if is_arrival(one.story, one.check)} - measured
    return replace(
        found,
        stories=tuple(
            _completed(story, [one.check for one in missed if one.story == story.story]) for story in found.stories
        ),
        pairs=(*found.pairs, *(Pair(source=source, target=target, reachable=False) for source, target in sorted(lost))),
    )


def _completed(story: StoryRun, missed: Sequence[Made]) -> StoryRun:
    if not missed:
        return story
    checks = (*story.checks, *missed)
    if story.verdict != "passed":
        return replace(story, checks=checks)
    first = missed[0]
    cause = f"{first.source} → {first.target}: {first.hint or first.id} (not checked again yet)"
    return replace(story, checks=checks, verdict="failed", cause=cause)
