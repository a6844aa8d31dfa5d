# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run playbooks in separate processes, and read what their reports say."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from ...module_utils._errors import CouldNotRun
from .._judge.check import BAD
from .._report import model
from .verdict import StoryRun

PASSED, FAILED, COULD_NOT_RUN = 0, 1, 3
# Checks that the report makes of a task that failed, of a host that is lost and of a playbook that stopped.
_OF_THE_REPORT: Final = frozenset({"task", "host_reachable", "playbook"})
_STOPPING_S: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1
# Variables that the program running this playbook has set only for it.
_OUTER: Final = re.compile(
    r"MESHCTL_(RUN_DIR|COMMAND)|ANSIBLE_(STDOUT_CALLBACK|CALLBACK_PLUGINS)|ORIGINAL_STDOUT_CALLBACK"
    r"|AWX_ISOLATED_DATA_DIR|RUNNER_.*|ANSIBLE_LOCAL_TEMP"
)
_ERROR_LINE: Final = re.compile(r"^(?:fatal: .*|\[ERROR\]: .*|ERROR! .*)$", re.MULTILINE)
_CALLBACK: Final = "meshctl.headscale.report"


@dataclass(frozen=True, kw_only=True)
class Playbooks:
    """The project's playbooks, for one lab."""

    directory: Path
    lab: str
    runs: Path
    """Parent of the run directories."""
    arguments: Sequence[str] = ()
    """Arguments of every run: the inventory, the user's extra variables."""
    callbacks: Sequence[str] = ()

    def run(
        self, name: str, label: str, variables: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> StoryRun:
        """Run a playbook; `label` names its run directory."""
        began = time.monotonic()
        run_dir = self.runs / label
        (run_dir / "artifacts").mkdir(mode=0o700, parents=True, exist_ok=True)
        output = run_dir / "artifacts" / "output.txt"
        with output.open("w", encoding="utf-8") as log:
            code = _finish(self._start(name, run_dir, variables, environment or {}, log))
        seconds = time.monotonic() - began
        return story_run(code, _checks(run_dir), output.read_text(encoding="utf-8", errors="replace"), seconds)

    def _start(
        self, name: str, run_dir: Path, variables: Mapping[str, Any], environment: Mapping[str, str], log: IO[str]
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        playbook = str(self.directory / f"{name}.yml")
        given = json.dumps({**variables, "lab_name": self.lab})
        command = [sys.executable, "-P", "-m", "ansible", "playbook", *self.arguments, "-e", given, playbook]
        inherited = {key: value for key, value in os.environ.items() if not _OUTER.fullmatch(key)}
        ours = {
            "MESHCTL_RUN_DIR": str(run_dir),
            "MESHCTL_CLI": "1",
            "ANSIBLE_CALLBACKS_ENABLED": ",".join(dict.fromkeys([_CALLBACK, *self.callbacks])),
            "ANSIBLE_NOCOLOR": "1",
        }
        if "MESHCTL_RUNS_DIR" in environment:
            del ours["MESHCTL_RUN_DIR"]
        return subprocess.Popen(  # noqa: S603 - what this play itself was started with
            command,
            env={**inherited, **ours, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - a task's process has one thread
        )


def story_run(code: int, checks: Sequence[Mapping[str, Any]], output: str, seconds: float = 0.0) -> StoryRun:
    """Return what a run left; its exit code is that of `meshctl run`."""
    bad = [check for check in checks if check.get("verdict") in BAD]
    # The results of assertions count first, whatever failed after them.
    if any(check.get("assertion") not in _OF_THE_REPORT for check in bad):
        return StoryRun(exit_code=FAILED, checks=checks, seconds=seconds)
    if code == 0 and not bad:
        return StoryRun(exit_code=PASSED, checks=checks, seconds=seconds)
    reasons = [str(check.get("hint") or "") for check in bad] or _ERROR_LINE.findall(output)
    return StoryRun(
        exit_code=COULD_NOT_RUN,
        checks=checks,
        reasons=list(dict.fromkeys(reasons)) or [f"ansible-playbook ended with code {code}"],
        seconds=seconds,
    )


def _checks(run_dir: Path) -> list[dict[str, Any]]:
    try:
        return model.load(run_dir).checks
    except CouldNotRun:
        return []


def _finish(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a run, and end it with this task."""
    try:
        return process.wait()
    except BaseException:
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOPPING_S)
                break
        raise


def _end_with_parent() -> None:
    """Have the kernel interrupt this process when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGINT), 0, 0, 0)
