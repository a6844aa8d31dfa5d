# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from Ansible what the report says of a run: its playbooks, stories, tasks and command."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ansible import context
from ansible.playbook.block import Block
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import collect, environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

_ASSERTIONS = "meshctl.headscale.assert_"


def playbooks() -> list[str]:
    """Return the playbooks that were asked for."""
    return [str(playbook) for playbook in context.CLIARGS.get("args") or ()]


def story_of(play: Play) -> str | None:
    """Return the story that a play belongs to."""
    story = play.get_vars().get("mesh_story")
    if not isinstance(story, str) or not story or "{{" in story:
        return None
    return str(story)


def asserts(play: Play) -> bool:
    """Whether a play belongs to a story or has assertions, as far as this is known before it runs."""
    return bool(story_of(play)) or any("assert_" in str(task.action) for task in _tasks(play.tasks))


def _tasks(entries: Iterable[Block | Task]) -> Iterator[Task]:
    for entry in entries:
        if isinstance(entry, Block):
            yield from _tasks([*entry.block, *entry.rescue, *entry.always])
        else:
            yield entry


def task_of(result: CallbackTaskResult) -> collect.Task:
    """Return a task as the report names it."""
    return collect.Task(
        name=result.task.get_name() or str(result.task.action),
        host=result.host.get_name(),
        action=str(result.task.action),
        where=environment.short_path(str(result.task.get_path() or "")),
    )


def made_by(task: Task) -> str:
    """Return what distinguishes an assertion from every other task of the run, empty for a task that makes no checks itself."""
    return str(task._uuid) if str(task.resolved_action).startswith(_ASSERTIONS) else ""


def rescued(task: Task) -> bool:
    """Whether the rescue of a surrounding block handles a failure of `task`."""
    child, parent = task, task._parent
    while parent is not None:
        if getattr(parent, "rescue", None) and any(item._uuid == child._uuid for item in parent.block):
            return True
        child, parent = parent, parent._parent
    return False


def command() -> str:
    """Return the command of this run; extra variables may hold secrets and stay out."""
    if given := os.environ.get("MESHCTL_COMMAND"):
        return given
    words = ["ansible-playbook"]
    words += [environment.short_path(playbook) for playbook in playbooks()]
    for source in context.CLIARGS.get("inventory") or ():
        words += ["-i", environment.short_path(str(source))]
    if limit := context.CLIARGS.get("subset"):
        words += ["--limit", str(limit)]
    for option, key in (("--tags", "tags"), ("--skip-tags", "skip_tags")):
        chosen = [tag for tag in context.CLIARGS.get(key) or () if tag != "all"]
        words += [option, ",".join(chosen)] if chosen else []
    words += ["--check"] if context.CLIARGS.get("check") else []
    return shlex.join(words)
