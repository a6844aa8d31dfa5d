# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slices leave facts for each other and wait for each other, but never for one that has ended."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.callback import slices as callback
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.view import HostView
from ansible_collections.meshctl.headscale.plugins.plugin_utils._slices import FACTS, MADE, VARIABLE, Slice
from project import COLLECTION


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Slice, Slice]:
    return Slice(1, 2, tmp_path), Slice(2, 2, tmp_path)


def test_a_process_knows_its_slice_from_the_environment(
    pair: tuple[Slice, Slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, pair[1].word)
    assert Slice.this() == pair[1]


@pytest.mark.parametrize("value", ["", "1", "1/2", "x/2 /tmp", "1/ /tmp"])
def test_no_other_process_is_a_slice(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert Slice.this() is None


@pytest.mark.parametrize("host", ["a", "..", "a/b", "a b", "%", "é"])
def test_facts_of_a_host_reach_the_other_slice(pair: tuple[Slice, Slice], host: str) -> None:
    one, other = pair
    assert other.fact(host, "mesh_client") is None
    one.publish(host, {"mesh_client": {"key": "k"}})
    one.publish(host, {"mesh_client": {"key": "new"}})
    assert other.fact(host, "mesh_client") == {"key": "new"}
    assert {path.parent for path in one.directory.iterdir()} == {one.directory}


def test_an_action_finds_a_fact_of_a_host_in_another_slice(
    pair: tuple[Slice, Slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair[0].publish("n1", {"mesh_serving": {"token": "t"}})
    view = HostView()
    view.known = {"hostvars": {"n1": {}, "n2": {"mesh_serving": {"token": "own"}}}}
    assert view.of_host("n1", "mesh_serving") is None
    monkeypatch.setenv(VARIABLE, pair[1].word)
    assert view.of_host("n1", "mesh_serving") == {"token": "t"}
    assert view.of_host("n2", "mesh_serving") == {"token": "own"}
    assert view.of_host("n1", "ansible_host") is None


def test_all_slices_check_the_same_sample(pair: tuple[Slice, Slice], monkeypatch: pytest.MonkeyPatch) -> None:
    pair[0].publish("gw", {"mesh_pairs_run": 7})
    view = HostView()
    view.known = {"groups": {"headscale": ["gw"]}, "hostvars": {"gw": {}}}
    monkeypatch.setenv(VARIABLE, pair[1].word)
    assert view.shared("mesh_pairs_run") == 7


def test_a_slice_is_behind_until_it_comes_as_far_goes_on_or_ends(pair: tuple[Slice, Slice]) -> None:
    one, other = pair
    one.enter("us1")
    assert one.behind("us1", "serve 1") == [2]
    other.enter("us1")
    other.reach("us1", "client_info 1")
    assert one.behind("us1", "serve 1") == [2]
    other.reach("us1", "serve 1")
    assert one.behind("us1", "serve 1") == []
    assert one.behind("us1", "serve 2") == [2]
    other.enter("us2")
    assert one.behind("us1", "serve 2") == []
    assert one.behind("us2", "serve 1") == [2]
    other.leave()
    assert one.behind("us2", "serve 1") == []


def test_a_slice_that_has_begun_another_story_is_behind(pair: tuple[Slice, Slice]) -> None:
    one, other = pair
    other.enter("us1")
    assert one.behind("us2", "client_info 1") == [2]


# Each slice reads the topology itself. US6 does not run in slices, and slices restart no service.
OWN = {"mesh_topology", "mesh_router", "mesh_router_state", "mesh_routes_served", "service_restart"}
PLUGINS = COLLECTION / "plugins"


def _read_of_others() -> Iterator[str]:
    """Yield the names of what the code reads of other hosts, where they are literal."""
    for path in PLUGINS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("of_host", "shared") and node.args:
                yield from filter(None, [getattr(node.args[-1], "value", None)])


def test_every_fact_that_is_read_of_another_host_reaches_the_other_slices() -> None:
    declared = yaml.safe_load((PLUGINS / "plugin_utils/_inventory/variables.yml").read_text(encoding="utf-8"))
    settings = {name for section in declared.values() for name in section} | {"ansible_host"}
    assert {name for name in _read_of_others() if isinstance(name, str)} - settings - OWN == FACTS


@pytest.mark.parametrize(("action", "facts"), MADE.items())
def test_the_action_after_which_slices_wait_makes_the_fact(action: str, facts: tuple[str, ...]) -> None:
    code = ast.parse((PLUGINS / "action" / f"{action}.py").read_text(encoding="utf-8"))
    named = {node.value for node in ast.walk(code) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert named >= set(facts)


# --- the callback


def _task(action: str, **args: Any) -> Any:
    return SimpleNamespace(action=f"meshctl.headscale.{action}", args=args)


@pytest.fixture
def member(pair: tuple[Slice, Slice], monkeypatch: pytest.MonkeyPatch) -> Callable[[int], callback.CallbackModule]:
    monkeypatch.setattr(callback.runs, "story_of", lambda play: play)

    def make(number: int) -> callback.CallbackModule:
        monkeypatch.setenv(VARIABLE, pair[number].word)
        return callback.CallbackModule()

    return make


def test_a_slice_waits_for_the_other_after_a_task_that_makes_facts(
    member: Callable[[int], callback.CallbackModule], pair: tuple[Slice, Slice]
) -> None:
    fast, slow = member(0), member(1)
    for each in (fast, slow):
        each.v2_playbook_on_play_start("us1")  # type: ignore[arg-type]
        each.v2_playbook_on_task_start(_task("serve"), False)
    waiting = threading.Thread(target=lambda: fast.v2_playbook_on_task_start(_task("hold"), False))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    slow.v2_playbook_on_task_start(_task("hold"), False)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_slice_ends_its_listeners_when_the_other_needs_them_no_more(
    member: Callable[[int], callback.CallbackModule], pair: tuple[Slice, Slice]
) -> None:
    fast, slow = member(0), member(1)
    for each in (fast, slow):
        each.v2_playbook_on_play_start("us1")  # type: ignore[arg-type]
    end = _task("serve", state="ended")
    waiting = threading.Thread(target=lambda: fast.v2_playbook_on_task_start(end, False))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    slow.v2_playbook_on_task_start(end, False)
    waiting.join(10)
    assert not waiting.is_alive()
    # What the listeners have noted is read by the task after it.
    waiting = threading.Thread(target=lambda: fast.v2_playbook_on_task_start(_task("assert_isolated"), False))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    pair[1].leave()
    waiting.join(10)
    assert not waiting.is_alive()


def test_only_shared_facts_are_left(
    member: Callable[[int], callback.CallbackModule], pair: tuple[Slice, Slice]
) -> None:
    facts = {"mesh_client": {"key": "k"}, "secret": "s"}
    host = SimpleNamespace(get_name=lambda: "n1")
    member(0).v2_runner_on_ok(SimpleNamespace(result={"ansible_facts": facts}, host=host))  # type: ignore[arg-type]
    assert pair[1].fact("n1", "mesh_client") == {"key": "k"}
    assert pair[1].fact("n1", "secret") is None


def test_other_runs_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(callback.runs, "story_of", lambda play: play)
    alone, began = callback.CallbackModule(), time.monotonic()
    alone.v2_playbook_on_play_start("us1")  # type: ignore[arg-type]
    for action in ("serve", "hold"):
        alone.v2_playbook_on_task_start(_task(action), False)
    assert time.monotonic() - began < 5
