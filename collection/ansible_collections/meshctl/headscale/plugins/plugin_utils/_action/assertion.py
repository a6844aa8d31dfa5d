# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop that all assertions share: probe and judge until every check passes or time is up."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, ClassVar

from ansible.errors import AnsibleConnectionFailure

from ...module_utils._errors import BadInput
from .._expectations.requirements import unmet
from .._judge.answer import Json, error_of, items, mapping, observed
from .._judge.check import BAD
from .._judge.context import CheckContext
from .._judge.handed import hand_over
from .._judge.saturation import Load, blame_load, busier
from . import client_silence, shell
from .errors import failure
from .members import MeshAction
from .probing import Request
from .summary import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._judge.check import Check

_Key = tuple[str, str | None, str | None, str]

_LONGEST_PAUSE_S = 0.25


class NotAsserted(Exception):
    """The host has nothing to assert, for the reason that the message gives: the check is skipped."""


class Assertion(MeshAction):
    """Observe until every check passes or the deadline is reached, then report the last observation and its cause."""

    ASSERTION: ClassVar[str]
    DEADLINE_S: ClassVar[float] = 15.0
    LOOK_S: ClassVar[float] = 5.0
    SHORTEST_LOOK_S: ClassVar[float] = 2.0

    context: CheckContext
    elapsed_s: float = 0.0
    longest_s: float = math.inf
    patience: float = 1.0
    busiest = Load()
    """How busy the host was when it was busiest."""

    def prepare(self) -> None:
        """Work out what is expected; raise `BadInput` or `NotAsserted`."""

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Return what to observe; `pending` holds the targets whose checks have not passed, None means all."""
        raise NotImplementedError

    def judge(self, answer: Json) -> list[Check]:
        """Return the checks that follow from an answer."""
        raise NotImplementedError

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Return what else to observe to find out why checks fail."""
        return []

    def follow_up(self, checks: Sequence[Check]) -> list[Check]:
        """Return the final checks, once all of them have had their time: some may be added or replaced."""
        return list(checks)

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return further fields of the task's result."""
        return {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the checks; a bad check fails the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            self.start(task_vars)
            self.context = self._context()
            longest = self.setting("deadline_s")
            self.longest_s = math.inf if longest is None else longest
            self._be_patient()
            if reason := self.options["skip"] or unmet(self, self.options["requires"]):
                raise NotAsserted(reason)
            self.prepare()
        except NotAsserted as exc:
            return {**result, **summary([self.context.skipped(str(exc))])}
        except BadInput as exc:
            return {**result, **failure(f"assert_{self.ASSERTION}: {exc}", "bad_input")}
        checks = self.follow_up(self._converge())
        for check in checks:
            blame_load(check, self.busiest)
        found = self._defer_failure(self.with_silence({**result, **summary(checks), **self.facts(checks)}))
        # A later task may read what is registered.
        return found if self._task.register else hand_over(found)

    def _defer_failure(self, result: dict[str, Any]) -> dict[str, Any]:
        """Let the end of a story fail instead of this task if `mesh_fail_late` is set: the story makes all its checks."""
        if not result["failed"] or not self.variable("mesh_fail_late"):
            return result
        known = mapping(self.variable("mesh_bad_checks"))
        bad = [check["id"] for check in result["checks"] if check["verdict"] in BAD]
        story = self.context.story
        facts = {"mesh_bad_checks": {**known, story: [*items(known.get(story)), *bad]}}
        return {
            **result,
            "failed": False,
            "warnings": [result["msg"]],
            "ansible_facts": {**mapping(result.get("ansible_facts")), **facts},
        }

    def _be_patient(self) -> None:
        """Give slow hosts, such as emulated ones, more time to answer and to converge."""
        self.patience = self.setting("patience")
        for name in ("DEADLINE_S", "LOOK_S", "SHORTEST_LOOK_S"):
            setattr(self, name, getattr(type(self), name) * self.patience)

    @property
    def deadline_s(self) -> float:
        """Return the seconds within which the checks must pass; `mesh_deadline_s` is the upper limit.

        The pace does not count, and a saturated machine gets more time.
        """
        given = self.options.get("deadline")
        usual = self.DEADLINE_S * self.busiest.patience if given is None else float(given)
        return min(usual + self.paced_s, self.longest_s)

    def _converge(self) -> list[Check]:
        began = time.monotonic()
        found: dict[_Key, Check] = {}
        pending: frozenset[str | None] | None = None
        looks = 0
        while True:
            left = self.deadline_s - (time.monotonic() - began)
            seconds = self.LOOK_S if not looks else min(self.LOOK_S, max(left, self.SHORTEST_LOOK_S))
            answer = self._probe_again(self.observe(pending), seconds=seconds, last=left <= 0)
            looks += 1
            self.note_load()
            self.elapsed_s = time.monotonic() - began
            self._keep(found, self.judge(answer), looks, pending)
            pending = frozenset(check.target for check in found.values() if check.bad)
            # A host that hangs or floods the controller is not asked again.
            if not pending or self.elapsed_s >= self.deadline_s or _failure(answer) in ("flooded", "hung", "silent"):
                break
            # Nor is one whose checks wait for nothing but its silent tailscaled, or a permission.
            bad = [check for check in found.values() if check.bad]
            in_vain = client_silence.withheld(answer) or (self.elapsed_s > self.SHORTEST_LOOK_S and _forbidden(answer))
            if in_vain and all(check.verdict == "error" for check in bad):
                break
            time.sleep(min(self.options["interval"], _LONGEST_PAUSE_S))
        if pending:
            self.note_silence(answer, in_vain=True)
            self.give_client_up(looks=looks, seconds=self.elapsed_s)
            self._explain(found, answer, pending)
        return list(found.values()) or [self.context.check(None, expected="something to assert", observed=None)]

    def note_load(self) -> None:
        """Keep how busy the host was, if it was busier than in every probe before."""
        self.busiest = busier(self.busiest, self.load)

    def _probe_again(self, requests: list[Request], *, seconds: float, last: bool) -> dict[str, Any]:
        try:
            return self.probe(requests, seconds=seconds)
        except AnsibleConnectionFailure:
            # A disturbed host may be unreachable for a while; Ansible must learn of it when time is up.
            if last:
                raise
            return {"failure": {"type": "unreachable", "message": f"{self.host} cannot be reached over its connection"}}

    def _keep(
        self, found: dict[_Key, Check], checks: Iterable[Check], looks: int, pending: frozenset[str | None] | None
    ) -> None:
        """Keep the latest checks; a check that has passed stays as it is, unless it is tentative."""
        latest = list(checks)
        _forget(found, latest)
        for check in latest:
            key = _key(check)
            passed = key in found and found[key].verdict == "passed" and not found[key].tentative
            # Skip targets that this probe did not cover.
            if passed or (pending is not None and check.target not in pending):
                continue
            check.duration_ms = round(self.elapsed_s * 1000, 1)
            if looks > 1:
                check.evidence["looks"] = looks
            found[key] = check

    def _explain(self, found: dict[_Key, Check], answer: dict[str, Any], failing: frozenset[str | None]) -> None:
        """Observe more and judge the last answer again: verdicts stay, hints get more precise."""
        requests = self.diagnose(failing)
        if not requests or "failure" in answer:
            return
        more = mapping(self.probe(requests, seconds=self.LOOK_S).get("observations"))
        known = {**answer, "observations": {**more, **mapping(answer.get("observations"))}}
        for check in self.judge(known):
            before = found.get(_key(check))
            if before is not None and before.bad and before.verdict == check.verdict:
                check.duration_ms = before.duration_ms
                check.evidence = {**before.evidence, **check.evidence}
                found[_key(check)] = check

    def _context(self) -> CheckContext:
        story = self.options.get("story") or self.variable("mesh_story") or "adhoc"
        return CheckContext(story=str(story), assertion=self.ASSERTION, source=self.host, shell=self._shell())

    def _shell(self) -> str:
        """Return the prefix that runs a command on this host."""
        if self.setting("backend") != "hosts":
            return shell.in_lab(self.host, str(self.setting("lab_name")))
        return shell.over_ssh(
            self.host,
            transport=self._connection.transport,
            address=str(self.variable("ansible_host", "")),
            user=str(self.variable("ansible_user", "")),
        )


def _failure(answer: dict[str, Any]) -> Json:
    return mapping(answer.get("failure")).get("type")


def _forbidden(answer: Json) -> bool:
    """Whether nothing failed but what the user of the host may not do."""
    return {error_of(found) for found in observed(answer)} - {""} == {"not_permitted"}


def _forget(found: dict[_Key, Check], latest: list[Check]) -> None:
    """Remove bad checks that the latest look replaces: what is expected may depend on what could be observed."""
    keys = {_key(check) for check in latest}
    judged = {key[:-1] for key in keys}
    for key in [key for key, check in found.items() if check.bad and key[:-1] in judged and key not in keys]:
        del found[key]


def _key(check: Check) -> _Key:
    """Return what distinguishes a check from the other checks of its task."""
    return check.id, check.family, check.target, json.dumps(check.expected, sort_keys=True, default=str)
