# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tailscaled that accepts and never answers is not asked again in its story; a slow one is."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action.assert_connected import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import client_silence, probing
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import Unseen, read_json
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import observe_all

LIMIT_S = client_silence.LIMIT_S
SILENT = "tailscaled gave no valid answer within 15 s; it is not asked again in this story"


def _seen(kind: str = "", *, asked: str = "status") -> dict[str, Any]:
    """Return an observation by tailscaled: one that was made, or its error."""
    return {"kind": asked, "ok": False, "error": {"type": kind}} if kind else {"kind": asked, "ok": True, "data": {}}


def _answer(*observations: dict[str, Any]) -> dict[str, Any]:
    return {"observations": {str(number): found for number, found in enumerate(observations)}}


LATE = _answer(_seen("timeout"))


def test_a_client_that_is_late_is_asked_again_until_it_has_had_its_time() -> None:
    fact = client_silence.remember(None, "us1", LATE, seconds=5)
    assert client_silence.reason(fact, "us1") == ""
    fact = client_silence.remember(fact, "us1", LATE, seconds=5)
    assert client_silence.reason(fact, "us1") == ""
    fact = client_silence.remember(fact, "us1", LATE, seconds=5)
    assert client_silence.reason(fact, "us1") == SILENT


@pytest.mark.parametrize("answer", [_answer(_seen()), _answer(_seen("timeout"), _seen()), _answer(_seen("refused"))])
def test_each_answer_gives_a_slow_client_all_of_its_time_again(answer: dict[str, Any]) -> None:
    fact = client_silence.remember(None, "us1", LATE, seconds=LIMIT_S - 1)
    assert client_silence.remember(fact, "us1", answer, seconds=1) == {}
    assert client_silence.remember({}, "us1", answer, seconds=1) is None


@pytest.mark.parametrize("kind", ["timeout", "deadline", "bad_response", "RecursionError"])
def test_what_cannot_be_read_is_no_answer(kind: str) -> None:
    fact = client_silence.remember(None, "us1", _answer(_seen(kind)), seconds=LIMIT_S)
    assert client_silence.reason(fact, "us1") == SILENT


def test_rubbish_at_once_takes_the_time_of_the_assertion_that_asked_for_it() -> None:
    fact: Any = None
    for _look in range(3):
        fact = client_silence.remember(fact, "us1", _answer(_seen("bad_response")), seconds=0.1)
    assert client_silence.give_up(fact, looks=3, seconds=LIMIT_S - 1) is None
    # One of its looks was answered.
    assert client_silence.give_up(fact, looks=4, seconds=LIMIT_S) is None
    assert client_silence.give_up({}, looks=4, seconds=LIMIT_S) is None
    assert client_silence.reason(client_silence.give_up(fact, looks=3, seconds=LIMIT_S), "us1") == SILENT


def test_a_slow_host_has_more_time() -> None:
    fact = client_silence.remember(None, "us1", LATE, seconds=LIMIT_S, patience=3.0)
    assert client_silence.reason(fact, "us1") == ""


def test_the_next_story_asks_once_and_believes_the_first_silence() -> None:
    fact = client_silence.remember(None, "us1", LATE, seconds=LIMIT_S)
    assert client_silence.reason(fact, "us2") == ""
    assert client_silence.reason(client_silence.remember(fact, "us2", LATE, seconds=2), "us2")
    # A client that has recovered is asked as always.
    assert client_silence.remember(fact, "us2", _answer(_seen()), seconds=1) == {}


@pytest.mark.parametrize("answer", [{}, {"failure": {"type": "timeout"}}, _answer(_seen("timeout", asked="icmp"))])
def test_other_silences_say_nothing_of_tailscaled(answer: dict[str, Any]) -> None:
    assert client_silence.remember(None, "us1", answer, seconds=LIMIT_S) is None


def test_steps_of_a_sequence_count() -> None:
    sequence = {"kind": "sequence", "ok": True, "data": {"disco": _seen("timeout", asked="disco"), "icmp": {}}}
    fact = client_silence.remember(None, "us2", _answer(sequence), seconds=LIMIT_S)
    assert client_silence.reason(fact, "us2") == SILENT


@pytest.mark.parametrize(
    "answer", [7, {"observations": [7]}, _answer({"kind": [], "ok": 1}), _answer({"kind": "sequence"})]
)
def test_a_hostile_answer_has_any_shape(answer: Any) -> None:
    assert client_silence.remember(None, "us1", answer, seconds=LIMIT_S) is None
    assert not client_silence.withheld(answer)


def test_outside_a_story_every_task_asks() -> None:
    assert client_silence.remember(None, None, LATE, seconds=LIMIT_S) is None


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"[", b"\xff"])
def test_json_of_any_shape_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(Unseen) as refused:
        read_json(body)
    assert refused.value.kind == "bad_response"


@contextlib.contextmanager
def _mute(path: Path) -> Iterator[list[float]]:
    """Accept connections, and never answer; yield when each came."""
    came: list[float] = []
    held: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    came.append(time.monotonic())

        threading.Thread(target=accept, daemon=True).start()
        yield came
        server.shutdown(socket.SHUT_RDWR)
    for one in held:
        one.close()


def _connected(monkeypatch: pytest.MonkeyPatch, known: dict[str, Any]) -> dict[str, Any]:
    """Assert that the node is connected, with the real probe in this process."""

    def run(
        _action: object, _source: str, request: dict[str, Any], *, deadline_s: float, patient: bool
    ) -> dict[str, Any]:
        assert patient
        return {"observations": observe_all(request["observe"], time.monotonic() + min(deadline_s, 0.2))}

    monkeypatch.setattr(probing, "run_script", run)
    templar = SimpleNamespace(template=lambda value: value)
    nodes = {name: {"key": name, "addresses": [f"100.64.0.{n}"]} for n, name in enumerate("ab", 1)}
    task = SimpleNamespace(args={"deadline": 0.5}, async_val=0, check_mode=False, delegate_to=None, register="found")
    shell = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), transport="ssh")
    action = ActionModule(task, shell, None, None, templar, None)
    variables = {"inventory_hostname": "a", "mesh_story": "us1", "mesh_nodes": nodes, "mesh": {"backend": "hosts"}}
    return action.run(task_vars={**variables, "hostvars": {}, "groups": {}, **known})


def test_tasks_hand_the_silence_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client_silence, "LIMIT_S", 0.3)
    with _mute(tmp_path / "socket") as came:
        socket_of = {"mesh_tailscaled_socket": str(tmp_path / "socket")}
        first = _connected(monkeypatch, socket_of)
        assert {check["hint"] for check in first["checks"]} == {"tailscaled did not answer status in time"}
        assert len(came) > 1
        came.clear()
        began = time.monotonic()
        second = _connected(monkeypatch, {**socket_of, **first["ansible_facts"]})
        assert time.monotonic() - began < 0.5
    assert came == []
    assert {check["verdict"] for check in second["checks"]} == {"error"}
    assert all("it is not asked again in this story" in check["hint"] for check in second["checks"])
    assert client_silence.FACT not in second.get("ansible_facts", {})
