# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide whether a run proved anything: an empty run must not look like a success."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from . import model
from .collect import Collector

# Ansible gives these a special meaning.
_SPECIAL_TAGS = frozenset({"all", "always", "never", "tagged", "untagged"})


@dataclass(frozen=True)
class Problem:
    """The reason why a run is worth nothing, although no check failed."""

    message: str
    kind: Literal["bad_input", "could_not_run"]


def problem(
    run: Collector, stories: Collection[str] | None, tags: Collection[str] = (), *, sliced: bool = False
) -> Problem | None:
    """Return what keeps these stories (None: all that began) from being a proof; None when nothing does."""
    if run.unwritable:
        return Problem(f"{run.unwritable}. Name a writable directory with MESHCTL_RUNS_DIR", "could_not_run")
    if unknown := sorted(set(tags) - run.tags - _SPECIAL_TAGS):
        return Problem(f"no task has the tag '{unknown[0]}': correct --tags", "bad_input")
    if sliced:
        # Only all slices together have to prove something.
        return None
    began = run.began if stories is None else [story for story in run.began if story in stories]
    counts = {story: model.Counts.of(run.of_story(story)) for story in began}
    if empty := [story for story in began if not counts[story].total]:
        return Problem(
            f"{', '.join(empty)} made no check: no assertion ran on any host; correct --limit, --tags or --skip-tags, "
            "or the groups of the inventory",
            "could_not_run",
        )
    if stories is None and began and not any(count.passed + count.failed + count.error for count in counts.values()):
        return Problem(f"nothing was proved: {_skipped(run)}", "could_not_run")
    return None


def _skipped(run: Collector) -> str:
    reasons = list(dict.fromkeys(check["hint"] for check in run.checks if check["hint"]))
    return "every check was skipped" + (f" ({reasons[0]})" if reasons else "")
