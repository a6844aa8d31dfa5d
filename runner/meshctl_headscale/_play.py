# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run playbooks with ansible-runner: environment, run directory and interruption."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from meshctl_headscale import _collection, _inputs
from meshctl_headscale._exit import MeshctlError
from meshctl_headscale._project import Project, project

if TYPE_CHECKING:
    from types import FrameType

    from ansible_runner.runner import Runner

_GUARD = Path(__file__).with_name("_guard.py")
_POLL_S = 0.2
# If the guard does not react for this long, ansible-runner kills Ansible.
_GIVE_UP_S = (30.0, 8.0)  # after the first request to stop, and after the second
_EXTRA_VARS = "extravars.json"
# -v lists checks and -vv shows Ansible's output; from the third on, they are Ansible's own.
_SHOWS_ANSIBLE = 2

# Only these reach the environment that ansible-runner writes into artifacts/; the rest goes to ansible through memory.
_PUBLIC = re.compile(
    r"PATH|LD_LIBRARY_PATH|HOME|USER|LOGNAME|SHELL|TERM|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|PWD|COLUMNS|NO_COLOR|VIRTUAL_ENV|XDG_[A-Z_]+"
    r"|MESHCTL_(CLI|RUN_DIR|RUNS_DIR|STATE_DIR|CACHE_DIR)|AWX_ISOLATED_DATA_DIR|RUNNER_[A-Z_]+|MAX_EVENT_RES"
    r"|ANSIBLE_(CONFIG|COLLECTIONS_PATH|CALLBACKS_ENABLED|CALLBACK_PLUGINS|STDOUT_CALLBACK|RETRY_FILES_ENABLED"
    r"|FORCE_COLOR|NOCOLOR|INVENTORY_ANY_UNPARSED_IS_FAILED)|ORIGINAL_STDOUT_CALLBACK"
)


@dataclass(kw_only=True)
class Request:
    """The arguments of ansible-playbook."""

    playbooks: Sequence[Path]
    inventory: str
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    extra_files: Sequence[Path] = ()
    limit: Sequence[str] = ()
    tags: str = ""
    skip_tags: str = ""
    check: bool = False
    verbosity: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, extra_vars: Path | None) -> list[str]:
        """Return the arguments of ansible-playbook."""
        words = ["-i", self.inventory]
        # The last one wins: the command line overrides files.
        for path in [*self.extra_files, *filter(None, [extra_vars])]:
            words += ["-e", f"@{path}"]
        if self.limit:
            words += ["--limit", _inputs.limit(self.limit)]
        for option, value in (("--tags", self.tags), ("--skip-tags", self.skip_tags)):
            if value:
                words += [option, value]
        if self.check:
            words += ["--check", "--diff"]
        if self.verbosity > _SHOWS_ANSIBLE:
            words.append("-" + "v" * (self.verbosity - _SHOWS_ANSIBLE))
        return [*words, *map(str, self.playbooks)]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of ansible-playbook."""

    rc: int | None
    interrupted: bool
    stats: Mapping[str, Any] | None
    asked_once: bool = False
    """Whether one Ctrl-C has stopped it, and nothing else."""


def new_run_dir(name: str) -> Path:
    """Create the directory of a new run and return it."""
    try:
        path = _collection.rundir.make(name, datetime.now(tz=UTC))
    except OSError as error:
        raise MeshctlError(
            f"The run directory {error.filename} cannot be created: {error.strerror}. "
            "Name a writable directory with MESHCTL_RUNS_DIR."
        ) from None
    (path / "artifacts").mkdir(mode=0o700)
    return path


class Interruption:
    """Handles Ctrl-C, SIGTERM and SIGHUP: the first stops cleanly, the second kills."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.heard: list[int] = []

    @property
    def count(self) -> int:
        """How often the user asked to stop."""
        return len(self.heard)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            # nohup has asked to ignore it.
            if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.heard.append(number)
        if self.count == 1:
            self._say(f"{signal.Signals(number).name}: stopping Ansible cleanly. Press Ctrl-C again to kill it.")
        elif self.count == 2:  # noqa: PLR2004
            self._say("Killing Ansible.")


class _GuardLink:
    """The memory file that passes the private environment to the guard, and the guard's PID back."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("meshctl")
        self._sent = 0
        self._since = [0.0, 0.0]

    def put(self, environment: Mapping[str, str]) -> None:
        os.pwrite(self.descriptor, json.dumps(environment).encode("utf-8", "surrogateescape"), 0)

    def close(self) -> None:
        os.close(self.descriptor)

    @property
    def _pid(self) -> int | None:
        content = os.pread(self.descriptor, 16, 0)
        return int(content) if content.isdigit() else None

    def pass_on(self, asked: int) -> bool:
        """Tell the guard how often the user asked to stop; return whether ansible-runner must kill instead."""
        if not asked:
            return False
        pid = self._pid
        for number in (signal.SIGINT, signal.SIGTERM)[self._sent : asked]:
            self._since[self._sent] = time.monotonic()
            self._sent += 1
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, number)
        waited = time.monotonic() - self._since[self._sent - 1]
        grace = float(os.environ.get("MESHCTL_GRACE_S", "0")) if self._sent == 1 else 0.0
        return pid is None or waited > _GIVE_UP_S[self._sent - 1] + grace


_COLLECTIONS = ("~/.ansible/collections", "/usr/share/ansible/collections")


def ansible_command(program: Literal["ansible", "ansible-playbook"]) -> list[str]:
    """Return the command of this interpreter's Ansible, whatever PATH says."""
    script = Path(sys.executable).with_name(program)
    if script.is_file():
        return [sys.executable, str(script)]
    return [sys.executable, "-P", "-m", "ansible", "adhoc" if program == "ansible" else "playbook"]


def environment(files: Project, run_dir: Path, *, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for ansible-playbook."""
    result = dict(os.environ if inherited is None else inherited)
    # Ansible takes an empty one for the working directory, which may be another user's.
    result["ANSIBLE_CONFIG"] = result.get("ANSIBLE_CONFIG") or str(files.ansible_cfg)
    # A path that is set replaces Ansible's defaults, so they are added again.
    others = result.get("ANSIBLE_COLLECTIONS_PATH") or os.pathsep.join(_COLLECTIONS)
    collections = [str(files.collections), others]
    callbacks = ["meshctl.headscale.report", *filter(None, [result.get("ANSIBLE_CALLBACKS_ENABLED")])]
    result.update(
        ANSIBLE_COLLECTIONS_PATH=os.pathsep.join(collections),
        ANSIBLE_CALLBACKS_ENABLED=",".join(callbacks),
        # An unreadable inventory must not count as an empty one.
        ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true",
        # ansible-runner drops larger results; one of 2450 checks exceeds its default.
        MAX_EVENT_RES=str(256 * 1024 * 1024),
        MESHCTL_RUN_DIR=str(run_dir),
        MESHCTL_CLI="1",
        PATH=os.pathsep.join([str(Path(sys.executable).parent), result.get("PATH", os.defpath)]),
    )
    return result


def temporary(run_dir: Path) -> Path:
    """Return the directory for Ansible's temporary files; in the home directory they would survive a kill."""
    return run_dir / "artifacts" / "tmp"


def _split(whole: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split an environment into the part that may be written to disk, and the private part."""
    public = {name: value for name, value in whole.items() if _PUBLIC.fullmatch(name)}
    return public, {name: value for name, value in whole.items() if name not in public}


def run_playbooks(
    request: Request, run_dir: Path, *, on_event: Callable[[dict[str, Any]], None], interruption: Interruption
) -> Ended:
    """Run the playbooks until they end or the user stops them; `on_event` gets every event and must return at once."""
    link = _GuardLink()
    extra_vars = _write_extra_vars(request, run_dir)
    stats: list[Mapping[str, Any]] = []

    def handle(event: dict[str, Any]) -> None:
        if event.get("event") == "playbook_on_stats":
            stats.append(event.get("event_data") or {})
        on_event(event)

    try:
        runner = _prepare(request, run_dir, link, extra_vars, handle, interruption)
        if interruption.count == 0:
            _run(runner)
        return Ended(
            rc=runner.rc,
            interrupted=interruption.count > 0,
            stats=stats[0] if stats else None,
            asked_once=interruption.heard == [signal.SIGINT],
        )
    finally:
        link.close()
        if extra_vars:
            # Values given with -e may be secret.
            extra_vars.unlink(missing_ok=True)
        # The guard does this too, in case meshctl was killed.
        shutil.rmtree(temporary(run_dir), ignore_errors=True)
        shutil.rmtree(run_dir / "artifacts" / "ansible" / "fact_cache", ignore_errors=True)


def _write_extra_vars(request: Request, run_dir: Path) -> Path | None:
    if not request.extra_vars:
        return None
    path = run_dir / "artifacts" / _EXTRA_VARS
    with os.fdopen(_collection.private.new_file(path), "w", encoding="utf-8") as file:
        json.dump(dict(request.extra_vars), file)
    return path


def _prepare(  # noqa: PLR0913, PLR0917
    request: Request,
    run_dir: Path,
    link: _GuardLink,
    extra_vars: Path | None,
    on_event: Callable[[dict[str, Any]], None],
    interruption: Interruption,
) -> Runner:
    """Return a runner that is ready to run."""
    from ansible_runner.interface import init_runner

    command = [*ansible_command("ansible-playbook"), *request.arguments(extra_vars)]
    whole = environment(project(), run_dir, inherited={**os.environ, **request.environment})
    whole.setdefault("ANSIBLE_LOCAL_TEMP", str(temporary(run_dir)))

    def handle(event: dict[str, Any]) -> bool:
        on_event(event)
        # A file for each event takes longer than all else that ansible-runner does.
        return False

    runner: Runner = init_runner(
        private_data_dir=str(run_dir / "artifacts"),
        artifact_dir=str(run_dir / "artifacts"),
        ident="ansible",
        project_dir=str(Path.cwd()),
        binary=sys.executable,
        suppress_env_files=True,
        quiet=True,
        fact_cache_type="memory",
        event_handler=handle,
        cancel_callback=lambda: link.pass_on(interruption.count),
    )
    config = runner.config
    config.command = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(link.descriptor), *command]
    config.pexpect_timeout = _POLL_S
    # Variables that ansible-runner has added or changed take precedence.
    added = {name: value for name, value in config.env.items() if os.environ.get(name) != value}
    if "ANSIBLE_HOST_KEY_CHECKING" not in os.environ:
        # ansible-runner disables host key checking; ansible.cfg decides instead.
        added.pop("ANSIBLE_HOST_KEY_CHECKING", None)
    # The plugin that emits events builds on this one; a configured one may not exist.
    config.env, private = _split({**whole, **added, "ORIGINAL_STDOUT_CALLBACK": "default"})
    link.put(private)
    return runner


def _run(runner: Runner) -> None:
    import pexpect

    try:
        runner.run()
    except pexpect.TIMEOUT:
        # Ansible has ended; a process that it started keeps its terminal open.
        runner.rc = runner.rc if runner.rc is not None else 1
