# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps the checks of a run and writes its report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: aggregate
short_description: Writes a report of what the assertions found
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Gathers the C(checks) that assertions such as M(meshctl.headscale.assert_reachable) return, and writes them to a run
    directory as C(report.json), C(junit.xml) and C(report.html).
  - Hosts that could not be reached, and tasks that failed without a check while a story ran, are in the report as
    checks with the verdict V(error).
  - What a task returns with C(no_log) is never kept, and keys of headscale and Tailscale are replaced wherever they
    appear.
  - A playbook that has neither checks nor a story (the play variable C(mesh_story)) leaves no run directory, unless
    O(run_dir) is set.
  - The report is also written when the playbook fails, and when it is interrupted by C(SIGINT) or C(SIGTERM).
options:
  run_dir:
    description:
      - The directory to write to. It is made when it is not there.
      - By default a new one below C(runs) in the working directory (or below E(MESHCTL_RUNS_DIR)), named by the time
        and the story.
    type: path
    env:
      - name: MESHCTL_RUN_DIR
    ini:
      - section: callback_meshctl_report
        key: run_dir
  command_timeout:
    description:
      - The seconds within which a host must finish a command or a transfer of any task. It then counts as unreachable.
      - The connection V(local) has no such limit. The output of a command is limited to 8 MB as well.
    type: float
    default: 600
    version_added: 0.2.0
    env:
      - name: MESHCTL_COMMAND_TIMEOUT
    ini:
      - section: callback_meshctl_report
        key: command_timeout
  quiet:
    description: Whether the summary after the playbook is left out, as C(meshctl) does because it draws its own.
    type: bool
    default: false
    env:
      - name: MESHCTL_CLI
    ini:
      - section: callback_meshctl_report
        key: quiet
requirements:
  - enabled in the configuration
  - junitparser (for C(junit.xml))
  - jsonschema (to compare C(report.json) with its schema)
  - rich (for the summary)
"""

EXAMPLES = r"""
# ansible.cfg
# [defaults]
# callbacks_enabled = meshctl.headscale.report

- name: Prove a mesh
  hosts: clients
  gather_facts: false
  vars:
    mesh_story: nightly
  tasks:
    - name: Every client reaches every other
      meshctl.headscale.assert_reachable:
"""

import atexit
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.utils import color
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import unforked
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.preload import preload
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import foreign, guard
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import collect, environment, results, runs
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.display import show_controls

if TYPE_CHECKING:
    from types import FrameType

    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

_Method = TypeVar("_Method", bound=Callable[..., None])

# report.json is kept up to date, so that even `kill -9` leaves the checks; that takes at most a twentieth of the time.
_CHECKPOINT_SHARE = 20


def _guarded(method: _Method) -> _Method:
    """Make sure that nothing which goes wrong here touches the playbook: it becomes one warning."""

    @functools.wraps(method)
    def guarded(self: CallbackModule, *args: object, **kwargs: object) -> None:
        try:
            method(self, *args, **kwargs)
        except (OSError, BadInput) as error:
            self.unwritable(f"the report cannot be written: {error}")
        except Exception as error:
            self.lost(f"the report is incomplete: {type(error).__name__} in {method.__name__}: {error}")

    return cast(_Method, guarded)


class CallbackModule(CallbackBase):
    """Gathers checks from results, and writes the run directory."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "meshctl.headscale.report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's own
        """Prepare to gather; nothing is written yet."""
        super().__init__(*args, **kwargs)
        self._collector = collect.Collector(started=collect.utc_now())
        collect.share(self._collector)
        self._directory: Path | None = None
        self._pid = os.getpid()
        self._warned: set[str] = set()
        self._signal: int | None = None
        self._watching = False
        self._lost = False
        self._written = False
        self._ended = True
        self._dirty = False
        self._next_checkpoint = 0.0

    def lost(self, message: str) -> None:
        """Say that something is missing from the report, in the report as well: it must not read as a pass."""
        self._lost = True
        self._collector.lost(message)
        self.warn_once(message)

    def unwritable(self, message: str) -> None:
        """Say that the report cannot be written, to the story's verdict as well."""
        self._collector.unwritable = message
        self.warn_once(f"{message}. MESHCTL_RUN_DIR names another place for it.")

    def warn_once(self, message: str) -> None:
        """Warn about a problem with the report, once."""
        if message not in self._warned:
            self._warned.add(message)
            self._display.warning(f"meshctl.headscale.report: {message}")

    @_guarded
    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Note which stories the playbook will run, and watch for the end of the run."""
        self._ended = self._written = False
        self._collector.playbooks.append(environment.short_path(str(playbook._file_name)))
        self._collector.command = runs.command()
        self._collector.versions.update(environment.versions())
        self._collector.inventory["source"] = [
            environment.short_path(str(source)) for source in context.CLIARGS.get("inventory") or ()
        ]
        plays = playbook.get_plays()
        stories = list(dict.fromkeys(story for story in map(runs.story_of, plays) if story))
        self._collector.plan(stories)
        self._watch()
        preload(assertions=stories != ["doctor"] and any(map(runs.asserts, plays)), doctor="doctor" in stories)
        show_controls()
        guard.install(seconds=self.get_option("command_timeout"))
        foreign.install()
        unforked.install()

    @_guarded
    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Note where a story begins or ends."""
        story = runs.story_of(play)
        title = str(play.get_vars().get("mesh_story_title") or play.get_name() or "")
        self._collector.enter(story, title, collect.utc_now())
        self._describe_inventory(play)
        self._dirty = True
        self._checkpoint()

    @_guarded
    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Bring report.json up to date, now that a task's results are in."""
        self._collector.tags.update(task.tags)
        self._checkpoint()

    @_guarded
    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Keep the checks that passed."""
        self._keep(result)

    @_guarded
    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Keep the checks that say why they were not made."""
        self._keep(result)

    @_guarded
    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Keep the checks that failed; a failure without any is one itself, unless the playbook deals with it."""
        checks = self._keep(result)
        # The verdict of a story repeats its checks.
        if "bad_checks" in result.result or any(check["verdict"] in BAD for check in checks):
            return
        task = runs.task_of(result)
        data = result.result
        if ignore_errors:
            self._collector.task_noted(task, data, "ignored")
        elif runs.rescued(result.task):
            self._collector.task_noted(task, data, "rescued")
        else:
            self._collector.task_failed(task, data, collect.utc_now())

    @_guarded
    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Keep that a host does not answer."""
        self._keep(result)
        if result.task.ignore_unreachable:
            self._collector.task_noted(runs.task_of(result), result.result, "unreachable")
            return
        self._collector.unreachable(runs.task_of(result), result.result, collect.utc_now())

    @_guarded
    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Write the report: a playbook has come to its end."""
        self._collector.leave(collect.utc_now())
        # Ansible goes on to the next playbook, except after a failure.
        self._ended = len(self._collector.playbooks) >= len(runs.playbooks()) or bool(stats.failures or stats.dark)
        if self._ended:
            self._finish()
        else:
            self._dirty = True
            self._checkpoint()

    def _keep(self, result: CallbackTaskResult) -> list[model.Check]:
        """Hand a result to the collector, unless its task hides it."""
        self._dirty = True
        # Items of a loop can be uncensored in a censored result, so the task decides.
        if result.task.no_log is True or results.hidden(result.result):
            return []
        host, made_by = result.host.get_name(), runs.made_by(result.task)
        return self._collector.result(result.result, host, collect.utc_now(), made_by=made_by)

    def _describe_inventory(self, play: Play) -> None:
        """Note each host's group, and which lab this is."""
        manager = play.get_variable_manager()
        variables: Mapping[str, Any] = manager.get_vars(play=play, include_hostvars=False)
        self._collector.groups(environment.groups(variables.get("groups") or {}))
        hosts = play.get_variable_manager()._inventory.get_hosts("all", ignore_restrictions=True)
        if self._collector.inventory["backend"] or not hosts:
            return
        found: Mapping[str, Any] = manager.get_vars(play=play, host=hosts[0], include_hostvars=False)
        self._collector.inventory.update(environment.mesh(found))

    def _watch(self) -> None:
        """Take care that the report is written however the run ends."""
        if self._watching:
            return
        self._watching = True
        atexit.register(self._at_exit)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._chain(number)

    def _chain(self, number: signal.Signals) -> None:
        """See a signal before Ansible's own handler does."""
        previous = signal.getsignal(number)

        def handler(signum: int, frame: FrameType | None) -> None:
            if os.getpid() == self._pid:
                self._signal = signum
                # After SIGTERM Ansible kills itself without another word, so this is the last moment.
                if signum == signal.SIGTERM:
                    self._finish_quietly()
            if callable(previous):
                previous(signum, frame)
            else:
                signal.signal(signum, previous if previous is not None else signal.SIG_DFL)
                os.kill(os.getpid(), signum)

        signal.signal(number, handler)

    @_guarded
    def _finish_quietly(self) -> None:
        """Write the report from within a signal handler, where printing is not safe."""
        if not self._written:
            self._write(collect.utc_now())

    @_guarded
    def _at_exit(self) -> None:
        """Write the report of a run that did not come to its end."""
        if os.getpid() == self._pid and not self._written:
            self._finish()

    def _finish(self) -> None:
        """Write the report and print its summary."""
        written = self._write(collect.utc_now())
        if written is None:
            return
        report, directory, problems = written
        for problem in problems:
            self.warn_once(problem)
        if not self.get_option("quiet"):
            self._summarize(report, directory)

    def _write(self, now: datetime) -> tuple[model.Report, Path, list[str]] | None:
        """Write the whole run directory, where there is something to keep."""
        if not self._ended and self._signal is None:
            self._collector.stopped(now)
        if not self._kept:
            return None
        # The stories of a playbook that did not begin are unknown, so its name is listed instead.
        rest = runs.playbooks()[len(self._collector.playbooks) :]
        self._collector.plan([Path(playbook).stem for playbook in rest])
        self._written = True
        try:
            return self._write_files(now)
        except KeyboardInterrupt:
            # Interrupted in the midst of it: there is another chance at exit.
            self._written = False
            raise

    def _write_files(self, now: datetime) -> tuple[model.Report, Path, list[str]]:
        """Write the files, and return what they hold."""
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import rundir

        directory = self._run_directory()
        finished = self._ended and self._signal is None and not self._lost
        report = self._collector.report(directory.name, now, interrupted=self._signal is not None, finished=finished)
        clean, problems = rundir.write(report, directory)
        return clean, directory, problems

    def _checkpoint(self) -> None:
        """Bring report.json up to date when that is due: an unfinished run reads as an interrupted one."""
        if not self._dirty or time.monotonic() < self._next_checkpoint or not self._kept:
            return
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import rundir

        begun = time.monotonic()
        directory = self._run_directory()
        now = collect.utc_now()
        rundir.write_json(self._collector.report(directory.name, now, interrupted=True, finished=False), directory)
        self._dirty = False
        self._collector.unwritable = ""
        ended = time.monotonic()
        self._next_checkpoint = ended + _CHECKPOINT_SHARE * (ended - begun)

    @property
    def _kept(self) -> bool:
        """Whether this run leaves a run directory at all."""
        return self._collector.worth_keeping or bool(self.get_option("run_dir"))

    def _run_directory(self) -> Path:
        """Return the run directory, made when it is first needed."""
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import rundir

        if self._directory is None:
            named = self.get_option("run_dir")
            name = self._collector.name(runs.playbooks())
            self._directory = rundir.make(name, self._collector.started, named=named)
        return self._directory

    def _summarize(self, report: model.Report, directory: Path) -> None:
        """Print the closing summary."""
        try:
            from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import text

            width = max((self._display.columns or 79) + 1, 60)
            detail: text.Detail = "checks" if self._display.verbosity else "digest"
            lines = text.as_text(report, run_dir=directory, width=width, color=bool(color.ANSIBLE_COLOR), detail=detail)
        except ModuleNotFoundError as error:
            self.warn_once(f"The summary was left out: the Python package {error.name} is missing on the controller.")
            lines = f"{report.verdict}  {environment.short_path(str(directory))}"
        self._display.display(f"\n{lines}")
