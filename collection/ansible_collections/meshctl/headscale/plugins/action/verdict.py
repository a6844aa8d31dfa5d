# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fails a story whose checks did not all pass, or that made none; see the module of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._plain import plain
from ..plugin_utils._action.controller import ControllerAction
from ..plugin_utils._action.errors import failure
from ..plugin_utils._judge.answer import items, mapping
from ..plugin_utils._report import collect, proof

_FACT = "mesh_bad_checks"


class ActionModule(ControllerAction):
    """Reads what the assertions left in the fact `mesh_bad_checks`, and what the callback `report` has gathered."""

    ARGUMENTS = {"stories": {"type": "list", "elements": "str"}}  # noqa: RUF012

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the checks that did not pass; any of them fails the task, and so does a story without checks."""
        stories: list[str] | None = options["stories"]
        found = _of_all(known) if stories is None else _of_story(known)
        bad = {name: sorted(set(checks)) for name, checks in found.items() if checks and name in (stories or found)}
        if self._goes_on(stories, known) or (bad and self._judged_later(known)):
            return {"changed": False, "bad_checks": bad, "deferred": True, "ansible_facts": {_FACT: found}}
        return self._failed(bad, stories, known) or {"changed": False, "bad_checks": {}, "deferred": False}

    def _failed(
        self, bad: Mapping[str, list[str]], stories: list[str] | None, known: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the result of a story that failed or proved nothing; None for one that passed."""
        if bad:
            host = f"{known['inventory_hostname']}: " if stories else ""
            named = "; ".join(f"{story} failed: {', '.join(checks)}" for story, checks in bad.items())
            return {"changed": False, "failed": True, "bad_checks": bad, "msg": f"{host}{named}"}
        run = collect.shared()
        # The same on every host: one of them says it.
        if run is None or known["inventory_hostname"] not in known.get("ansible_play_hosts", ())[:1]:
            return None
        problem = proof.problem(run, stories, context.CLIARGS.get("tags") or (), sliced=self._sliced(known))
        return failure(problem.message, problem.kind) if problem else None

    def _sliced(self, known: Mapping[str, Any]) -> bool:
        return int(self._templar.template(known.get("mesh_slices", 1))) > 1

    def _keeps_going(self, known: Mapping[str, Any]) -> bool:
        return self._true(known.get("mesh_keep_going", False))

    def _true(self, value: object) -> bool:
        return bool(boolean(self._templar.template(value), strict=False))

    def _judged_later(self, known: Mapping[str, Any]) -> bool:
        """Whether a later job of a workflow gives the verdict: it reads the summary that this one has published."""
        return self._keeps_going(known) and self._true(known.get("mesh_artifacts", "awx_job_id" in known))

    def _goes_on(self, stories: list[str] | None, known: Mapping[str, Any]) -> bool:
        """Whether `mesh_keep_going` leaves the verdict to the end of the last story."""
        if not self._keeps_going(known):
            return False
        run = collect.shared()
        # Without the callback, no task knows whether a story follows: failing too early is better than not at all.
        return stories is not None or (run is not None and run.remaining(context.CLIARGS.get("args") or ()))


def _of_story(known: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return this host's bad checks by story, with the hosts that the play has lost on the way."""
    found = {name: items(checks) for name, checks in mapping(plain(known.get(_FACT) or {})).items()}
    story = known.get("mesh_story")
    lost = [f"{host} (lost)" for host in _lost(known, str(story))]
    return {**found, str(story): [*found.get(str(story), []), *lost]} if story and lost else found


def _lost(known: Mapping[str, Any], story: str) -> list[str]:
    """Return the hosts that the play had lost before this task, in which hosts fail as well, as the story's end noted them."""
    noted = mapping(plain(known.get("mesh_lost") or {})).get(story)
    if noted is not None:
        return items(noted)
    left = set(known.get("ansible_play_hosts") or ())
    return [host for host in known.get("ansible_play_hosts_all") or () if host not in left]


def _of_all(known: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the bad checks of every host by story; those of a host that is lost are only in the report."""
    found: dict[str, list[str]] = {}
    for check in ((run := collect.shared()) and run.bad_checks) or ():
        found.setdefault(check["story"], []).append(check["id"])
    hostvars = known.get("hostvars") or {}
    for host in known.get("groups", {}).get("all", ()):
        for story, checks in mapping(plain(hostvars[host].get(_FACT) or {})).items():
            found.setdefault(story, []).extend(items(checks))
    # Every host gets this fact: with repeated checks, it would grow with each story by the number of hosts.
    return {story: list(dict.fromkeys(checks)) for story, checks in found.items()}
