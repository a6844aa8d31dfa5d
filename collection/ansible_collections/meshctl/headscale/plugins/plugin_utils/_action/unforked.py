# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Skip tasks, and include files and roles, without a process for each host.

Ansible forks a process for each task of each host, and evaluates the task's condition there. Most tasks of a story are for
some of the hosts only, and a process that has nothing to do costs as much as a short task. Here, Ansible's own code decides
in ansible-playbook itself: it stops where it would go on to the task's action, which then gets its process as usual.

What only reads what ansible-playbook knows anyway needs no process at all, and makes what all hosts share only once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ansible import constants as C
from ansible._internal import _task
from ansible.executor import task_result
from ansible.executor.process.worker import WorkerProcess
from ansible.executor.task_executor import TaskExecutor

from . import common

if TYPE_CHECKING:
    from collections.abc import Iterator

_INCLUDES: Final = (*C._ACTION_INCLUDE_TASKS, *C._ACTION_INCLUDE_ROLE)
# Conditions of other collections' tasks may ask for what must not happen in ansible-playbook itself.
_OURS: Final = "meshctl.headscale."
_BUILTIN: Final = ("fail", "raw", "set_fact")
_READERS: Final = (
    "meshctl.headscale.topology",
    "meshctl.headscale.verdict",
    "ansible.builtin.validate_argument_spec",  # what Ansible begins each role with
)
_MEMBER: Final = re.compile(r"inventory_hostname in groups\.(\w+)")
_COMMON: Final = ["host", "play_context", "loader", "shared_loader_obj", "final_q", "variable_manager"]
_OLDER: Final = {*_COMMON, "task", "job_vars"}  # before ansible-core 2.21


class _GoesOnError(BaseException):
    """The condition is true. Ansible must not take this for an error of the task."""


def install() -> None:
    """Decide conditions here from now on, unless this version of Ansible works in another way."""
    if set(inspect.signature(TaskExecutor).parameters) not in (_OLDER, set(_COMMON)):
        return
    start = getattr(WorkerProcess.start, "forking", WorkerProcess.start)

    @functools.wraps(start)
    def start_if_needed(self: WorkerProcess) -> None:
        if _needs_none(self._task):
            _run(self)
        elif not _is_candidate(self._task):
            _prepare(self)
            start(self)
        elif _plainly_due(self) or not _decided(self):
            _prepare(self)
            with _due(self._task):
                start(self)

    start_if_needed.forking = start  # type: ignore[attr-defined]
    WorkerProcess.start = start_if_needed  # type: ignore[method-assign]


def _needs_none(task: Any) -> bool:  # noqa: ANN401
    """Whether a task may run here: it reads nothing but variables, and no later task reads its result."""
    unusual = (task.delegate_to, task.async_val, task.loop, task.loop_with, task.until, task.timeout, task.register)
    return str(task.action) in _READERS and not any(unusual)


def _run(worker: Any) -> None:  # noqa: ANN401
    """Run a task here, and keep the facts that it gives its host besides those in its result."""
    task = worker._task.copy(exclude_parent=True)
    task._parent = worker._task._parent
    with common.taking() as facts:
        _send_result(worker, task)
    if facts:
        worker._variable_manager.set_nonpersistent_facts(worker._host.name, facts)


def _is_candidate(task: Any) -> bool:  # noqa: ANN401
    if task.delegate_to or task.async_val or (task.loop_control and task.loop_control.pause):
        return False
    name = str(task.action)
    if name in _INCLUDES:
        return True
    if task.loop is not None or task.loop_with:
        return False
    return bool(task.when) and (name.startswith(_OURS) or name.removeprefix("ansible.builtin.") in _BUILTIN)


def _plainly_due(worker: Any) -> bool:  # noqa: ANN401
    """Whether the task is for the members of a group, and its host is one: Ansible need not evaluate that twice."""
    if worker._task.action in _INCLUDES:
        return False
    groups = worker._task_vars.get("groups") or {}
    named = [_MEMBER.fullmatch(condition) if isinstance(condition, str) else None for condition in worker._task.when]
    return all(match and worker._host.name in (groups.get(match[1]) or ()) for match in named)


def _prepare(worker: Any) -> None:  # noqa: ANN401
    """Do what the processes of all hosts would do, if the task is one of this collection."""
    if str(worker._task.action).startswith(_OURS):
        # Playbooks without such tasks need not load what it needs.
        from . import ahead

        ahead.prepare(worker)


@contextlib.contextmanager
def _due(task: Any) -> Iterator[None]:  # noqa: ANN401
    """Spare the process that is forked meanwhile the task's condition, which is known to be true.

    Ansible evaluates it first, and later, with the same method, what tells whether the task has failed or changed anything.
    """
    # Since ansible-core 2.21, with the condition that is false.
    methods = ("_resolve_conditional_with_item", "_resolve_conditional")
    name = next((method for method in methods if hasattr(task, method)), None)
    if name is None:
        yield
        return
    evaluate, condition = getattr(task, name), task.when
    result = (True, None) if name.endswith("_item") else True

    def known(conditional: list[Any], *args: object, **options: object) -> Any:  # noqa: ANN401
        delattr(task, name)
        return result if conditional == condition else evaluate(conditional, *args, **options)

    setattr(task, name, known)
    try:
        yield
    finally:
        delattr(task, name)


def _decided(worker: Any) -> bool:  # noqa: ANN401
    """Send the result of a task that is skipped or includes something; return whether it was one."""
    # Other hosts have the same task, and its fields become those of this host.
    task = worker._task.copy(exclude_parent=True)
    task._parent = worker._task._parent
    if task.action not in _INCLUDES:
        task.post_validate = _go_on
    try:
        _send_result(worker, task)
    except _GoesOnError:
        return False
    return True


def _go_on(*_args: object, **_options: object) -> NoReturn:
    raise _GoesOnError


def _send_result(worker: Any, task: Any) -> None:  # noqa: ANN401
    """Do what the worker's own process would do."""
    known, host = dict(worker._task_vars), worker._host
    given = {name: getattr(worker, f"_{name}") for name in _COMMON}
    if hasattr(_task.TaskContext, "create"):
        with _task.TaskContext.create(task=task, task_vars=known, host_name=host.name):
            task.squash()
            found = TaskExecutor(**given).run()
            found.finalize_registered_values()
            worker._final_q.send_task_result(host, task, found)
        return
    with _task.TaskContext(task):
        result = TaskExecutor(**given, task=task, job_vars=known).run()
        fields = task.dump_attrs()
        worker._final_q.send_task_result(
            task_result._RawTaskResult(host=host, task=task, return_data=result, task_fields=fields)
        )
