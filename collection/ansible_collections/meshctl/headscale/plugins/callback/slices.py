# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets the slices of a run share facts and wait for each other."""

from __future__ import annotations

DOCUMENTATION = r"""
name: slices
type: aggregate
short_description: Lets the slices of a run share facts and wait for each other
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - C(meshctl run --slices) starts one ansible-playbook for each slice of the hosts, all on one machine, and enables this
    callback in them. It does nothing in any other run.
  - Leaves the facts of this slice's hosts that tasks of other hosts need in a directory that the slices share, such as where
    a node listens.
  - After a task that makes such a fact, waits until the other slices have come as far, and before listeners end, until no
    other slice needs them. A slice that has ended holds up no other.
options: {}
requirements:
  - enabled in the configuration
"""

EXAMPLES = r"""
# shell: meshctl run us1 us2 --slices 4 -i hosts.yml
"""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.meshctl.headscale.plugins.module_utils._plain import plain
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _slices
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import mapping
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import runs

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

_PREFIX = "meshctl.headscale."
_PAUSE_S = 0.1
# A slice that hangs must not hold up the others forever: without its facts, their checks say what is missing.
_LONGEST_S = 900.0


class CallbackModule(CallbackBase):
    """Runs in the process of ansible-playbook, between its tasks."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "meshctl.headscale.slices"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's own
        """Find out which slice this is."""
        super().__init__(*args, **kwargs)
        self._slice = _slices.Slice.this()
        self._story = ""
        self._made = ""
        self._count: Counter[str] = Counter()

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Note that a story begins."""
        self._meet()
        story = runs.story_of(play)
        if self._slice and story and story != self._story:
            self._story = story
            self._count.clear()
            self._slice.enter(story)

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Wait for the others where the task before made facts, or where this one ends what they may still use."""
        self._meet()
        name = task.action.removeprefix(_PREFIX)
        if name == "serve" and task.args.get("state") == "ended":
            self._made = "end"
            self._meet()
        if name in _slices.MADE:
            self._made = name

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Leave the facts of a host for the other slices."""
        facts = mapping(result.result.get("ansible_facts"))
        shared = {name: plain(facts[name]) for name in _slices.FACTS.intersection(facts)}
        if self._slice and shared:
            self._slice.publish(result.host.get_name(), shared)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Wait no longer for others: this playbook has ended."""
        self._made = ""

    def _meet(self) -> None:
        """Wait until the other slices have come as far as this one, if it has come to a point where that matters."""
        made, self._made = self._made, ""
        if not (made and self._slice and self._story):
            return
        self._count[made] += 1
        point = f"{made} {self._count[made]}"
        self._slice.reach(self._story, point)
        deadline = time.monotonic() + _LONGEST_S
        while self._slice.behind(self._story, point) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
