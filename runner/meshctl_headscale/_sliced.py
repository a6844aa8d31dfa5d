# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run playbooks in slices: one ansible-playbook for each part of the hosts, all at the same time, and one report in the end."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection, _inputs, _inventory, _run
from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError, sentence
from meshctl_headscale._options import Show
from meshctl_headscale._play import Ended, Interruption, Request, new_run_dir, run_playbooks
from meshctl_headscale._project import project
from meshctl_headscale._run import Result
from meshctl_headscale._stories import Story

Event = dict[str, Any]
_CALLBACK = "meshctl.headscale.slices"
_DIRECTORY = "slices"


def divide(request: Request, count: int) -> list[list[str]]:
    """Return the hosts of each slice; every slice has a client, so that it has something to check."""
    clients = _inventory.hosts(request, "clients")
    if not clients:
        raise BadInputError(_no_client(request))
    if count > len(clients):
        which = "the inventory has" if not request.limit else "--limit leaves"
        number = f"{len(clients)} client{'' if len(clients) == 1 else 's'}"
        remedy = "Leave out --slices" if len(clients) == 1 else f"Use --slices {len(clients)}"
        raise BadInputError(f"--slices {count}: {which} {number}, and each slice needs one. {remedy}.")
    others = [host for host in _inventory.hosts(request, "all") if host not in clients]
    return [[*clients[number::count], *others[number::count]] for number in range(count)]


def _no_client(request: Request) -> str:
    """Return why there is no client: --limit leaves none, or the inventory has none."""
    if request.limit and _inventory.hosts(replace(request, limit=()), "clients"):
        limit = _inputs.limit(request.limit)
        return f"No client of the inventory {request.inventory} matches --limit {limit}. Check its names and groups."
    return f"The inventory {request.inventory} has no host in the group clients, and each slice needs one."


@contextlib.contextmanager
def reserved(request: Request, command: str) -> Iterator[None]:
    """Reserve the lab, if there is one, for all slices together."""
    known = {**_inventory.variables(request.inventory, request.extra_files), **request.extra_vars}
    if known["mesh_backend"] == "hosts":
        yield
        return
    directory, use = _collection.lab.Lab(str(known["lab_name"])).directory, _collection.lab_use
    try:
        use.claim(directory, use.Play.this(command))
    except _collection.errors.HeadscaleError as error:
        raise MeshctlError(sentence(str(error))) from None
    try:
        yield
    finally:
        use.release(directory)


def play(  # noqa: PLR0913
    request: Request, count: int, *, name: str, show: Show, stories: Sequence[Story], command: str, deploy: bool = False
) -> Result:
    """Run playbooks in slices, show them as one run, and return how that ended; `deploy` brings the mesh up before."""
    hosts = divide(request, count)
    run_dir = new_run_dir(name)
    if deploy:
        up = replace(request, playbooks=[project().playbook("up")], limit=(), tags="", skip_tags="")
        deployed = _run.play(up, name="up", show=show, run_dir=run_dir / "up", command=command)
        if deployed.code != ExitCode.PASSED:
            return deployed
    with reserved(request, command):
        return _run.play(
            request, name=name, show=show, stories=stories, command=command, run_dir=run_dir, engine=Slices(hosts)
        )


class Slices:
    """Runs playbooks as `run_playbooks` does, but in slices."""

    def __init__(self, hosts: Sequence[Sequence[str]]) -> None:
        """Take the hosts of each slice."""
        self._hosts = hosts

    def __call__(
        self, request: Request, run_dir: Path, *, on_event: Callable[[Event], None], interruption: Interruption
    ) -> Ended:
        """Run all slices to their end, and merge their reports."""
        # Threads that load it at the same time find it unfinished.
        import ansible_runner  # noqa: F401

        shared = _collection.private.new_directory(run_dir / "artifacts", _DIRECTORY)
        _collection.private.new_directory(run_dir, _DIRECTORY)
        together = _Together(len(self._hosts), on_event)

        def run(number: int) -> Ended:
            part = _collection.slices.Slice(number, len(self._hosts), shared)
            directory = _collection.private.new_directory(run_dir / _DIRECTORY, str(number))
            (directory / "artifacts").mkdir(mode=0o700)
            try:
                return run_playbooks(
                    self._slice(request, part, directory),
                    directory,
                    on_event=lambda event: together.take(number, event),
                    interruption=interruption,
                )
            finally:
                part.leave()
                together.end(number)

        with ThreadPoolExecutor(len(self._hosts), thread_name_prefix="meshctl-slice") as pool:
            ended = list(pool.map(run, range(1, len(self._hosts) + 1)))
        problem = _merge(run_dir)
        rc = next((one.rc for one in ended if one.rc != 0), 0)
        if problem and rc == 0 and not interruption.count:
            on_event({"event": "error", "stdout": f"ERROR! {problem}"})
            rc = 1
        changed = {host: number for one in ended for host, number in ((one.stats or {}).get("changed") or {}).items()}
        return Ended(rc=rc, interrupted=interruption.count > 0, stats={"changed": changed})

    def _slice(self, request: Request, part: Any, directory: Path) -> Request:  # noqa: ANN401 - loaded on first use
        """Return the request of one slice."""
        limit = directory / "artifacts" / "limit"
        limit.write_text("".join(f"{host}\n" for host in self._hosts[part.number - 1]), encoding="utf-8")
        callbacks = ",".join(filter(None, [_CALLBACK, os.environ.get("ANSIBLE_CALLBACKS_ENABLED")]))
        return replace(
            request,
            limit=[f"@{limit}"],
            extra_vars={**request.extra_vars, "mesh_slices": part.count},
            environment={
                **request.environment,
                _collection.slices.VARIABLE: part.word,
                "ANSIBLE_CALLBACKS_ENABLED": callbacks,
            },
        )


class _Together:
    """Passes the events of all slices on, play by play, so that they look like those of one run."""

    def __init__(self, count: int, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._plays: dict[int, float] = dict.fromkeys(range(1, count + 1), 0)
        self._waiting: dict[int, deque[tuple[float, Event]]] = {number: deque() for number in self._plays}

    def take(self, number: int, event: Event) -> None:
        """Take an event of a slice, and pass on what has become due."""
        with self._lock:
            if event.get("event") == "playbook_on_play_start":
                self._plays[number] += 1
            self._waiting[number].append((self._plays[number], {**event, "slice": number}))
            self._pass_on()

    def end(self, number: int) -> None:
        """Note that a slice has ended."""
        with self._lock:
            self._plays[number] = math.inf
            self._pass_on()

    def _pass_on(self) -> None:
        """Pass on the events of the plays that every slice has begun."""
        begun = min(self._plays.values())
        for waiting in self._waiting.values():
            while waiting and waiting[0][0] <= begun:
                self._on_event(waiting.popleft()[1])


def _merge(run_dir: Path) -> str:
    """Merge the reports of the slices into that of the run; return why it proves nothing."""
    model, found = _collection.model, sorted((run_dir / _DIRECTORY).glob("*/report.json"), key=_number)
    if not found:
        return ""
    merged = _collection.merge.merge([model.load(path) for path in found], run_id=run_dir.name)
    _collection.rundir.write(merged, run_dir)
    if empty := [story.id for story in merged.stories if not story.counts.total]:
        return f"{', '.join(empty)} made no check: no assertion ran on any host; correct --limit, --tags or --skip-tags"
    if merged.stories and merged.counts.skipped == merged.counts.total:
        hints = [f" ({check['hint']})" for check in merged.checks if check["hint"]][:1]
        return f"nothing was proved: every check was skipped{''.join(hints)}"
    return ""


def _number(path: Path) -> int:
    return int(path.parent.name)
