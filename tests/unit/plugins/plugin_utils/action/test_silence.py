# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that has hung is not asked again in its story; one that is late once is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action.client_info import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import probing, silence
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import RemoteError

LATE = {"failure": {"type": "timeout", "message": "no answer from the host"}}
FINE: dict[str, Any] = {"observations": {}}
SILENT = "no answer from the host; it is not asked again in this story"


def test_a_host_that_is_late_once_is_asked_again() -> None:
    fact = silence.remember(None, "us1", LATE)
    assert silence.reason(fact, "us1") == ""
    assert silence.remember(fact, "us1", FINE) == {}
    assert silence.remember(None, "us1", FINE) is None


def test_a_host_that_is_late_in_two_tasks_is_not() -> None:
    fact = silence.remember(silence.remember(None, "us1", LATE), "us1", LATE)
    assert silence.reason(fact, "us1") == SILENT
    # The next story asks once, and believes the first silence.
    assert silence.reason(fact, "us2") == ""
    assert silence.reason(silence.remember(fact, "us2", LATE), "us2") == SILENT


def test_the_deadline_of_an_assertion_is_enough() -> None:
    assert silence.reason(silence.remember(None, "us1", LATE, in_vain=True), "us1") == SILENT


@pytest.mark.parametrize("kind", ["hung", "flooded"])
def test_a_host_that_was_cut_off_is_silent_at_once(kind: str) -> None:
    fact = silence.remember(None, "us1", {"failure": {"type": kind, "message": "cut off"}})
    assert silence.reason(fact, "us1") == "cut off; it is not asked again in this story"


def test_a_host_that_was_silent_once_stays_suspect() -> None:
    fact = silence.remember(None, "us1", LATE, in_vain=True)
    assert silence.remember(fact, "us2", FINE) is None
    assert silence.suspect(fact)
    assert not silence.suspect(silence.remember(None, "us1", LATE))


@pytest.mark.parametrize("answer", [{"failure": {"type": "script_failed"}}, {}, FINE])
def test_other_failures_are_no_silence(answer: dict[str, Any]) -> None:
    assert silence.remember(None, "us1", answer, in_vain=True) is None


def test_outside_a_story_every_task_asks() -> None:
    assert silence.remember(None, None, LATE, in_vain=True) is None
    assert silence.reason({"story": None, "times": 2, "message": "x"}, None) == ""


def _run(monkeypatch: pytest.MonkeyPatch, known: dict[str, Any]) -> tuple[list[float], dict[str, Any]]:
    asked: list[float] = []

    def hang(_action: object, _source: str, _request: object, *, deadline_s: float, patient: bool) -> None:
        asked.append(deadline_s)
        raise RemoteError("timeout", "no answer from the host")

    monkeypatch.setattr(probing, "run_script", hang)
    templar = SimpleNamespace(template=lambda value: value)
    task = SimpleNamespace(args={"required": False}, async_val=0, check_mode=False, delegate_to=None)
    action = ActionModule(task, SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)), None, None, templar, None)
    return asked, action.run(task_vars={"inventory_hostname": "a", "mesh_story": "us1", **known})


def test_tasks_hand_the_silence_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, first = _run(monkeypatch, {})
    assert len(asked) == 1
    asked, second = _run(monkeypatch, first["ansible_facts"])
    assert len(asked) == 1
    asked, third = _run(monkeypatch, second["ansible_facts"])
    assert asked == []
    assert third["client"]["error"] == SILENT
    assert "mesh_silent" not in third["ansible_facts"]
