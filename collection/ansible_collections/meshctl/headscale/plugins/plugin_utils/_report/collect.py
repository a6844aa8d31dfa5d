# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collect the report of a run from the results of tasks, without Ansible's classes."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, Literal

from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.relate import relate
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.handed import handed_over
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.results import (
    documents,
    mappings,
    message_of,
    node_facts,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

# Owner of failures outside of stories, such as those of `up`.
OUTSIDE = "playbook"
_TITLES = {OUTSIDE: "Outside the stories", "adhoc": "Checks outside a story"}
_NAMED = 4
# Fields that hardly any two checks have in common.
_OWN = ("observed", "reproduce", "duration_ms")
_MOST_PARTS = 20_000


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task, as the report names it."""

    name: str
    host: str
    action: str = ""
    where: str = ""


@dataclass(kw_only=True)
class _Running:
    """A story's time, over all the plays that belong to it."""

    title: str
    started: datetime
    finished: datetime
    seconds: float = 0.0
    ended: bool = False


@dataclass(kw_only=True)
class Collector:
    """The state of one run, from its first playbook to its end."""

    started: datetime
    command: str = ""
    checks: list[model.Check] = field(default_factory=list)
    notes: list[model.Note] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    playbooks: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    inventory: dict[str, Any] = field(default_factory=lambda: {"source": [], "backend": "", "lab_name": ""})
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    """Tags of the tasks that have started."""
    unwritable: str = ""
    """Why the report could not be written the last time."""
    _running: dict[str, _Running] = field(default_factory=dict)
    _current: str | None = None
    _entered: datetime | None = None
    _asserted: bool = False
    _seen: set[bytes] = field(default_factory=set)
    _parts: dict[Any, Any] = field(default_factory=dict)
    _groups: dict[str, str] = field(default_factory=dict)

    @property
    def worth_keeping(self) -> bool:
        """Whether there is anything to report: a playbook without checks and stories leaves no run directory."""
        return bool(self._asserted or self._running or (self.planned and self.checks))

    @property
    def began(self) -> list[str]:
        """Return the stories that have begun, in order."""
        return list(self._running)

    @property
    def bad_checks(self) -> list[model.Check]:
        """Return the checks that failed or could not be made so far."""
        return [check for check in self.checks if check["verdict"] in BAD]

    def of_story(self, story: str) -> list[model.Check]:
        """Return the checks of a story so far."""
        return [check for check in self.checks if check["story"] == story]

    def remaining(self, playbooks: Sequence[str]) -> bool:
        """Whether a story of this playbook, or a whole playbook, is still to come."""
        return len(self.playbooks) < len(playbooks) or any(story not in self._running for story in self.planned)

    def name(self, playbooks: Sequence[str]) -> str:
        """Return the name for a run of `playbooks`: its only story, or theirs."""
        if len(self.planned) == 1 and len(playbooks) == 1:
            return self.planned[0]
        return "-".join(PurePath(playbook).stem for playbook in playbooks[:_NAMED]) or "run"

    def plan(self, stories: list[str]) -> None:
        """Note the stories that a playbook will run."""
        self.planned += [story for story in stories if story not in self.planned]

    def groups(self, groups: Mapping[str, str]) -> None:
        """Take note of which group each host is in."""
        self._groups.update(groups)

    def enter(self, story: str | None, title: str, now: datetime) -> None:
        """A play begins: of `story`, or of none."""
        self.leave(now)
        self._current, self._entered = story, now
        if story is not None:
            running = self._running.setdefault(story, _Running(title=title or story, started=now, finished=now))
            running.ended = False

    def leave(self, now: datetime) -> None:
        """The plays so far have ended."""
        if self._current is not None and self._entered is not None:
            running = self._running[self._current]
            running.seconds += (now - self._entered).total_seconds()
            running.finished, running.ended = now, True
        self._current, self._entered = None, None

    def result(self, result: Mapping[str, Any], host: str, now: datetime, *, made_by: str = "") -> list[model.Check]:
        """Keep the checks and facts of a result and return the checks; a hidden result is not read.

        `made_by` identifies the task if it made the checks itself. Without it, they may be those of an earlier task.
        """
        kept = []
        for document in documents(result):
            self._facts(document, host)
            for data in handed_over(document):
                if isinstance(data, Mapping):
                    self._asserted = True
                    check = model.check(data, story=self._current or "", at=model.utc_text(now))
                    kept.append(self._keep(check, made_by))
        return kept

    def task_failed(self, task: Task, result: Mapping[str, Any], now: datetime) -> None:
        """A task failed and left no check that says so: the run did not come as far as a verdict there."""
        message = message_of(result)
        place = f" ({task.where})" if task.where else ""
        self._error(
            "task",
            source=task.host,
            observed=message,
            expected="the task succeeds",
            evidence={"task": task.name, "action": task.action, "where": task.where},
            hint=f"The task '{task.name}'{place} failed on {task.host}: {message}",
            now=now,
        )

    def task_noted(
        self, task: Task, result: Mapping[str, Any], kind: Literal["rescued", "ignored", "unreachable"]
    ) -> None:
        """Note a failed task, or a lost host, that the playbook handles."""
        story = self._current or OUTSIDE
        note = model.Note(
            story=story, host=task.host, task=task.name, message=message_of(result), where=task.where, kind=kind
        )
        self.notes.append(note)

    def lost(self, message: str) -> None:
        """Something went wrong in gathering the report itself."""
        story = self._current or OUTSIDE
        self.notes.append(model.Note(story=story, host="localhost", task="report", message=message, kind="report"))

    def unreachable(self, task: Task, result: Mapping[str, Any], now: datetime) -> None:
        """A host does not answer: nothing that was asked of it could be asserted."""
        message = message_of(result)
        sources = [word for source in self.inventory["source"] for word in ("-i", source)]
        self._error(
            "host_reachable",
            source=task.host,
            observed=message,
            expected="the host answers over its connection",
            evidence={"task": task.name, "where": task.where},
            hint=(
                f"{task.host} could not be reached: {message.rstrip('.')}. Check that the host is up and that its "
                "connection variables (ansible_connection, ansible_host, ansible_user, keys) are right."
            ),
            reproduce=shlex.join(["ansible", task.host, *sources, "-m", "ansible.builtin.raw", "-a", "true"]),
            now=now,
        )

    def stopped(self, now: datetime) -> None:
        """Ansible ended the playbook early, and no task's result says why."""
        self._error(
            "playbook",
            source="localhost",
            observed="Ansible stopped before the end of the playbook.",
            expected="the playbook comes to its end",
            hint="Ansible stopped with an error that belongs to no task; its own output names it.",
            now=now,
        )

    def report(self, run_id: str, now: datetime, *, interrupted: bool, finished: bool) -> model.Report:
        """Return the report so far."""
        counts = model.Counts.of(self.checks)
        stories = list(self._stories(now, interrupted=interrupted))
        return model.Report(
            run_id=run_id,
            started=model.utc_text(self.started),
            finished=model.utc_text(now),
            duration_s=round((now - self.started).total_seconds(), 3),
            verdict=model.run_verdict(stories, counts, interrupted=interrupted, incomplete=not finished),
            command=self.command,
            playbooks=list(self.playbooks),
            versions=dict(self.versions),
            inventory=dict(self.inventory),
            topology={"hosts": self._topology()},
            pairs=dict(self.pairs),
            stories=stories,
            not_run=[story for story in self.planned if story not in self._running],
            notes=list(self.notes),
            counts=counts,
            checks=relate(self.checks),
        )

    def _stories(self, now: datetime, *, interrupted: bool) -> Iterator[model.Story]:
        """Yield the stories that ran, after the checks that belong to none."""
        owners = list(dict.fromkeys(check["story"] for check in self.checks))
        for story in [owner for owner in owners if owner not in self._running] + list(self._running):
            checks = self.of_story(story)
            counts = model.Counts.of(checks)
            running = self._running.get(story)
            if running is None:
                times = [check["at"] for check in checks]
                yield model.Story(
                    id=story,
                    title=_TITLES.get(story, story),
                    verdict=model.story_verdict(counts),
                    started=min(times),
                    finished=max(times),
                    duration_s=round(model.seconds_between(min(times), max(times)), 3),
                    counts=counts,
                )
                continue
            open_since = self._entered if story == self._current and not running.ended else None
            seconds = running.seconds + ((now - open_since).total_seconds() if open_since else 0)
            yield model.Story(
                id=story,
                title=running.title,
                verdict=model.story_verdict(
                    counts,
                    interrupted=interrupted and open_since is not None,
                    supported=not model.unsupported(checks),
                ),
                started=model.utc_text(running.started),
                finished=model.utc_text(now if open_since else running.finished),
                duration_s=round(seconds, 3),
                counts=counts,
            )

    def _topology(self) -> dict[str, dict[str, Any]]:
        """Return the facts of each host, with its group."""
        return {host: {"group": self._groups.get(host, ""), **facts} for host, facts in self.hosts.items()}

    def _keep(self, check: model.Check, made_by: str = "") -> model.Check:
        """Keep a check once, though a registered result may pass by again; two tasks that observe the same thing make two.

        A reason to skip is no observation, and is kept once.
        """
        identity = json.dumps({key: value for key, value in check.items() if key != "at"}, sort_keys=True)
        digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        own = digest if check["verdict"] == "skipped" else digest + made_by.encode()
        if own not in self._seen:
            self._seen |= {digest, own}
            self.checks.append(self._shared(check))
        return check

    def _shared(self, check: model.Check) -> model.Check:
        """Return a check that shares what others have as well: half of the memory of a large mesh's checks."""
        if len(self._parts) > _MOST_PARTS:
            self._parts.clear()
        for name, value in check.items():
            if name not in _OWN:
                # pylint: disable-next=unidiomatic-typecheck
                key = value if type(value) is str else (repr(value),)
                check[name] = self._parts.setdefault(key, value)
        return check

    def _error(  # noqa: PLR0913 - the fields of a check
        self,
        assertion: str,
        *,
        source: str,
        observed: str,
        expected: str,
        hint: str,
        now: datetime,
        evidence: Mapping[str, Any] | None = None,
        reproduce: str = "",
    ) -> None:
        """Keep a check of the report itself about something that could not be asserted."""
        story = self._current or OUTSIDE
        data = {
            "id": f"{story}.{assertion}",
            "assertion": assertion,
            "source": source,
            "verdict": "error",
            "expected": expected,
            "observed": observed,
            "evidence": evidence,
            "hint": hint,
            "reproduce": reproduce or self.command,
        }
        self._keep(model.check(data, story=story, at=model.utc_text(now)))

    def _facts(self, document: Mapping[str, Any], host: str) -> None:
        """Keep the facts of hosts, nodes and versions in a result."""
        for name, facts in mappings(document.get("mesh_topology")):
            fields = ("subnet", "address", "router", "nat", "public_address", "cidr", "names")
            self._host(name, {key: facts[key] for key in fields if facts.get(key) is not None})
        for name, node in mappings(document.get("mesh_nodes")):
            self._host(name, node_facts(node))
        if isinstance(coverage := document.get("mesh_pairs_coverage"), Mapping):
            self.pairs = model.plain(coverage)
        client = document.get("mesh_client")
        if isinstance(client, Mapping):
            self._host(host, node_facts(client))
            self._version("tailscale", client.get("version"))
        versions = document.get("mesh_versions")
        for tool, version in versions.items() if isinstance(versions, Mapping) else ():
            for one in version.values() if isinstance(version, Mapping) else [version]:
                self._version(str(tool), one)

    def _host(self, name: str, facts: Mapping[str, Any]) -> None:
        """Add `facts` to those of a host."""
        self.hosts.setdefault(name, {}).update(model.plain(facts))

    def _version(self, tool: str, version: Json) -> None:
        """Keep a tool's version; hosts that differ are all named."""
        if not version:
            return
        known = [item for item in self.versions.get(tool, "").split(", ") if item]
        if str(version) not in known:
            self.versions[tool] = ", ".join(sorted([*known, str(version)]))


_shared: Collector | None = None


def share(collector: Collector) -> None:
    """Share the collector with the tasks of this run, which Ansible runs in forks of this process."""
    global _shared  # noqa: PLW0603 - one run for each process
    _shared = collector


def shared() -> Collector | None:
    """Return the collector as it was when this task began; None without the callback."""
    return _shared


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(tz=UTC)
