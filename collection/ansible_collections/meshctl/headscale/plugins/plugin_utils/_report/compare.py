# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare two reports: what broke, what was fixed, what became slower."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import pairs
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report

Key = tuple[str, str, str, int]

# Below these, a difference is noise whatever its ratio.
_LEAST_LATENCY_MS = 5.0
_LEAST_CHECK_MS = 500.0
_LEAST_STORY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """One check in both reports (or in one of them: the other verdict is then empty)."""

    id: str
    source: str
    target: str | None
    old: str
    new: str
    hint: str = ""
    reproduce: str = ""


@dataclass(frozen=True, kw_only=True)
class Slower:
    """One measure that grew beyond the threshold."""

    what: str
    id: str
    source: str
    target: str | None
    old: float
    new: float
    unit: str

    @property
    def ratio(self) -> float:
        """How many times as long it takes."""
        return self.new / self.old if self.old else float("inf")


@dataclass(kw_only=True)
class Comparison:
    """What changed from one run to another."""

    old: str
    new: str
    old_verdict: str
    new_verdict: str
    broke: list[Change] = field(default_factory=list)
    fixed: list[Change] = field(default_factory=list)
    still_failing: list[Change] = field(default_factory=list)
    unproven: list[Change] = field(default_factory=list)
    added: list[Change] = field(default_factory=list)
    removed: list[Change] = field(default_factory=list)
    slower: list[Slower] = field(default_factory=list)
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def worse(self) -> bool:
        """Whether the new run has a fault that the old one had not."""
        return bool(self.broke) or any(change.new in BAD for change in self.added)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return {**asdict(self), "worse": self.worse}


def compare(old: Report, new: Report, *, threshold: float = 1.5) -> Comparison:
    """Compare two reports; slower means `threshold` times as long, and a difference above the noise."""
    before, after = _by_key(old), _by_key(new)
    result = Comparison(old=old.run_id, new=new.run_id, old_verdict=old.verdict, new_verdict=new.verdict)
    for key, check in after.items():
        _sort_in(result, before.get(key), check)
    result.removed = [_change(check, None) for key, check in before.items() if key not in after]
    result.slower = sorted(
        [*_slow_checks(before, after, threshold), *_slow_stories(old, new, threshold)],
        key=lambda item: -item.ratio,
    )
    tools = sorted({*old.versions, *new.versions})
    both = {tool: (old.versions.get(tool, ""), new.versions.get(tool, "")) for tool in tools}
    result.versions = {tool: (was, now) for tool, (was, now) in both.items() if was != now}
    return result


def _by_key(report: Report) -> dict[Key, Check]:
    """Return the checks by id, pair and number; the n-th of equal checks matches the n-th of the other report."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found: dict[Key, Check] = {}
    for check in report.checks:
        same = (check["id"], check["source"], check["target"] or "")
        found[(*same, seen[same])] = check
        seen[same] += 1
    return found


def _sort_in(result: Comparison, old: Check | None, new: Check) -> None:
    """Put one check where it belongs."""
    change = _change(old, new)
    if old is None:
        result.added.append(change)
    elif new["verdict"] in BAD:
        (result.still_failing if old["verdict"] in BAD else result.broke).append(change)
    elif old["verdict"] in BAD and new["verdict"] == "passed":
        result.fixed.append(change)
    elif old["verdict"] != "skipped" and new["verdict"] == "skipped":
        result.unproven.append(change)


def _change(old: Check | None, new: Check | None) -> Change:
    """Return the record of a check that is in either report."""
    check = new if new is not None else old or {}
    return Change(
        id=check["id"],
        source=check["source"],
        target=check["target"],
        old=old["verdict"] if old is not None else "",
        new=new["verdict"] if new is not None else "",
        hint=check["hint"],
        reproduce=check["reproduce"],
    )


def _slow_checks(before: dict[Key, Check], after: dict[Key, Check], threshold: float) -> list[Slower]:
    """Return the checks whose latency grew, else those that took longer to come true."""
    found = []
    for key, new in after.items():
        old = before.get(key)
        if old is None or not new["verdict"] == old["verdict"] == "passed":
            continue
        for what, least, was, now in _measures(old, new):
            if now > was * threshold and now - was >= least:
                where = {"id": new["id"], "source": new["source"], "target": new["target"]}
                found.append(Slower(what=what, **where, old=was, new=now, unit="ms"))
                break
    return found


def _measures(old: Check, new: Check) -> list[tuple[str, float, float, float]]:
    """Return what can be compared of a check: name, least difference, old and new."""
    found = []
    for what, key in (("latency", "median_ms"), ("answer", "ms")):
        was, now = pairs.number(old["observed"], key), pairs.number(new["observed"], key)
        if was is not None and now is not None:
            found.append((what, _LEAST_LATENCY_MS, was, now))
    return [*found, ("check", _LEAST_CHECK_MS, old["duration_ms"], new["duration_ms"])]


def _slow_stories(old: Report, new: Report, threshold: float) -> list[Slower]:
    """Return the stories that took longer. One that did not pass has stopped early or waited in vain: no measure."""
    before = {story.id: story.duration_s for story in old.stories if story.verdict == "passed"}
    return [
        Slower(what="story", id=story.id, source="", target=None, old=was, new=story.duration_s, unit="s")
        for story in new.stories
        if story.verdict == "passed"
        and (was := before.get(story.id)) is not None
        and story.duration_s > was * threshold
        and story.duration_s - was >= _LEAST_STORY_S
    ]
