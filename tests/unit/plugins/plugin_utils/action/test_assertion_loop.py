# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop of probe and judge, with a clock and a host of its own."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import healthy_mesh as mesh
import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import assertion
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.assertion import Assertion
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.names import gives_aaaa
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.summary import summary
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check


class Clock:
    """Moves when somebody sleeps or looks."""

    now = 100.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds <= 0.25
        self.now += seconds


class Scripted(Assertion):
    """Sees what the test says, look after look; a look takes a tenth of a second."""

    ASSERTION = "scripted"

    def __init__(self, clock: Clock, looks: list[dict[str, bool | None]], *, deadline: float = 3.0) -> None:
        """Take the looks, each target's verdict."""
        self.clock, self.looks, self.pending = clock, looks, []  # type: ignore[var-annotated]
        self.options = {"deadline": deadline, "interval": 0.25}
        self.context = mesh.context("scripted")
        self.known: dict[str, Any] = {}
        self._templar = SimpleNamespace(template=lambda value: value)
        self.diagnosed = False

    def observe(self, pending: frozenset[str | None] | None) -> list[dict[str, Any]]:
        """Take note of whom the look is about."""
        self.pending.append(pending)
        return [{"kind": "x"}]

    def probe(self, requests: Any, *, seconds: float) -> dict[str, Any]:
        """Return the next look; the last one stays."""
        self.clock.now += 0.1
        if requests == ["more"]:
            self.diagnosed = True
            return {"observations": {"why": 1}}
        return {"observations": self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]}

    def judge(self, answer: Any) -> list[Check]:
        """Return the verdicts that were looked up."""
        seen = answer["observations"]
        hint = "found out why" if "why" in seen else "no idea"
        return [
            self.context.check(ok, target=target, expected=1, observed=ok, hint=hint)
            for target, ok in seen.items() if target != "why"
        ]  # fmt: skip

    def diagnose(self, failing: frozenset[str | None]) -> list[Any]:
        """Ask for more."""
        return ["more"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(assertion, "time", clock)
    return clock


def verdicts(checks: list[Check]) -> dict[str | None, str]:
    return {check.target: check.verdict for check in checks}


def test_all_true_at_once_is_one_look(clock: Clock) -> None:
    action = Scripted(clock, [{"a": True, "b": True}])
    assert set(verdicts(action._converge()).values()) == {"passed"}
    assert action.pending == [None]
    assert not action.diagnosed


def test_only_what_has_not_passed_is_looked_at_again(clock: Clock) -> None:
    action = Scripted(clock, [{"a": True, "b": False}, {"a": False, "b": None}, {"a": False, "b": True}])
    checks = action._converge()
    assert verdicts(checks) == {"a": "passed", "b": "passed"}
    assert action.pending[1:] == [frozenset({"b"})] * 2
    times = {check.target: check.duration_ms for check in checks}
    assert times["a"] == pytest.approx(100)
    assert times["b"] == pytest.approx(800)
    assert checks[1].evidence["looks"] == 3


class Unsure(Scripted):
    """Expects something else when it could not observe everything, as some judges do."""

    def judge(self, answer: Any) -> list[Check]:
        """Return the verdicts that were looked up."""
        return [
            self.context.check(ok, target=target, expected="unknown" if ok is None else 1, observed=ok, hint="no idea")
            for target, ok in answer["observations"].items()
        ]


def test_what_could_not_be_observed_at_first_is_forgotten_once_it_is_judged(clock: Clock) -> None:
    action = Unsure(clock, [{"a": None, "b": True}, {"a": True}])
    checks = action._converge()
    assert [(check.target, check.verdict) for check in checks] == [("b", "passed"), ("a", "passed")]


class Tentative(Scripted):
    """Passes for a only tentatively while b is bad, both of one target."""

    def judge(self, answer: Any) -> list[Check]:
        """Return both checks."""
        seen = answer["observations"]
        checks = [self.context.check(seen[name], aspect=name, expected=1, observed=seen[name]) for name in ("a", "b")]
        checks[0].tentative = not seen["b"]
        return checks


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([{"a": True, "b": None}, {"a": False, "b": True}], {"a": "failed", "b": "passed"}),
        ([{"a": True, "b": None}, {"a": True, "b": True}], {"a": "passed", "b": "passed"}),
        ([{"a": True, "b": None}], {"a": "passed", "b": "error"}),
        ([{"a": True, "b": True}, {"a": False, "b": True}], {"a": "passed", "b": "passed"}),
    ],
)
def test_what_has_passed_tentatively_is_what_the_last_look_saw(
    clock: Clock, looks: list[dict[str, bool | None]], found: dict[str, str]
) -> None:
    checks = Tentative(clock, looks, deadline=1.0)._converge()
    assert {check.aspect: check.verdict for check in checks} == found
    assert all("tentative" not in check.as_dict() for check in checks)


def test_a_bad_check_stays_while_only_other_targets_are_judged(clock: Clock) -> None:
    action = Scripted(clock, [{"a": False, "b": None}, {"b": True}])
    assert verdicts(action._converge()) == {"a": "failed", "b": "passed"}


def test_at_the_deadline_the_last_look_and_its_cause_are_told(clock: Clock) -> None:
    action = Scripted(clock, [{"a": True, "b": False}], deadline=1.0)
    checks = action._converge()
    assert verdicts(checks) == {"a": "passed", "b": "failed"}
    assert checks[1].hint == "found out why"
    assert checks[1].duration_ms >= 1000
    assert clock.now < 102


def test_a_deadline_of_zero_is_one_look(clock: Clock) -> None:
    action = Scripted(clock, [{"a": False}], deadline=0)
    assert verdicts(action._converge()) == {"a": "failed"}
    assert action.pending == [None]


def test_slow_hosts_are_given_more_time_by_one_variable(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    action = Scripted(clock, [{"a": True}])
    given: dict[str, Any] = {}
    action.known = {}
    monkeypatch.setattr(action, "variable", lambda name, default=None: given.get(name, default), raising=False)
    action.longest_s = 1000
    action._be_patient()
    assert (action.LOOK_S, action.SHORTEST_LOOK_S, action.DEADLINE_S) == (5, 2, 15)
    given["mesh_patience"] = "4"
    action._be_patient()
    assert (action.LOOK_S, action.SHORTEST_LOOK_S, action.DEADLINE_S) == (20, 8, 60)
    assert action.deadline_s == 3.0  # what a task says itself stays
    for wrong in (0, 61, "lots", -4, "nan"):
        given["mesh_patience"] = wrong
        with pytest.raises(BadInput, match="mesh_patience is"):
            action._be_patient()


def test_nothing_to_assert_is_no_success(clock: Clock) -> None:
    result = summary(Scripted(clock, [{}])._converge())
    assert result["failed"]


def test_the_message_names_checks_with_one_cause_together() -> None:
    context = mesh.context("x")
    checks = [
        context.check(False, target=f"n{number}", expected=1, observed=2, hint="same cause") for number in range(7)
    ]
    result = summary([*checks, context.check(True, target="good", expected=1, observed=1)])
    assert result["failed"]
    assert result["msg"].startswith("7 of 8 checks did not pass: us1.x (one -> n0), ")
    assert result["msg"].endswith(" and 2 more: same cause")
    assert summary([context.skipped("not here")])["msg"] == "0 of 1 checks passed, 1 skipped"


def test_members_and_peers_come_from_what_the_server_holds(clock: Clock) -> None:
    action = Scripted(clock, [])
    action.host = "one"
    records = {node.name: {"id": node.id, "addresses": list(node.addresses)} for node in (mesh.ONE, *mesh.PEERS)}
    action.options = {"nodes": records}
    assert [peer.name for peer in action.peers()] == ["two", "three"]
    action.options = {"nodes": records, "peers": ["three"]}
    assert [peer.name for peer in action.peers()] == ["three"]
    for peers, said in ((["nobody"], "no node for the peer nobody"), ([], "one has no peer")):
        action.options = {"nodes": records, "peers": peers}
        with pytest.raises(BadInput, match=said):
            action.peers()


NAMES = (
    "client_info", "assert_connected", "assert_encrypted", "assert_http", "assert_isolated", "assert_listening",
    "assert_path", "assert_propagates", "assert_query", "assert_reachable", "assert_registered", "assert_rejoins",
    "assert_resolves", "assert_unreachable",
)  # fmt: skip


def documented(name: str) -> dict[str, Any]:
    base = "ansible_collections.meshctl.headscale.plugins"
    document = yaml.safe_load(import_module(f"{base}.modules.{name}").DOCUMENTATION)
    options = dict(document.get("options") or {})
    extends = document.get("extends_documentation_fragment") or []
    for fragment in [extends] if isinstance(extends, str) else extends:
        where = fragment.removeprefix("meshctl.headscale.").split(".")
        holder = import_module(f"{base}.doc_fragments.{where[0]}").ModuleDocFragment
        text = getattr(holder, where[1].upper() if len(where) > 1 else "DOCUMENTATION")
        options.update(yaml.safe_load(text).get("options") or {})
    return options


@pytest.mark.parametrize("name", NAMES)
def test_an_action_takes_what_its_documentation_says(name: str) -> None:
    action = import_module(f"ansible_collections.meshctl.headscale.plugins.action.{name}").ActionModule
    keys = ("type", "elements", "required", "default", "choices", "aliases")
    told = {key: {k: v for k, v in option.items() if k in keys} for key, option in documented(name).items()}
    taken = {key: {k: v for k, v in option.items() if k in keys} for key, option in action.ARGUMENTS.items()}
    assert told == taken


@pytest.mark.parametrize(
    ("version", "gives"),
    [
        ("1.80.3", False),
        ("1.83.99", False),
        ("1.84.0", True),
        ("1.102.5", True),
        ("2.0", True),
        ("", True),
        (None, True),
    ],
)
def test_old_clients_give_no_aaaa(version: Any, gives: bool) -> None:
    task = SimpleNamespace(variable=lambda name: {"version": version} if name == "mesh_client" else None)
    assert gives_aaaa(task) is gives  # type: ignore[arg-type]


def _start(name: str, **arguments: Any) -> None:
    action = import_module(f"ansible_collections.meshctl.headscale.plugins.action.{name}").ActionModule
    started = object.__new__(action)
    started._task = SimpleNamespace(args=arguments)
    started.start({"inventory_hostname": "client-node-1"})
    started.prepare()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("assert_query", {"document": {}, "query": "a", "expected": 1}, "there is no option expected:"),
        ("assert_query", {"document": {}, "query": "a", "deadline": -1}, "deadline is -1"),
        ("assert_http", {"urls": ["http://host:99999/"]}, "ports are 1 to 65535"),
        ("assert_http", {"urls": ["http://host:0/"]}, "ports are 1 to 65535"),
        ("assert_http", {"urls": ["http://"]}, "has no host"),
    ],
)
def test_what_cannot_be_asked_is_named(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        _start(name, **arguments)


@pytest.mark.parametrize("kind", ["flooded", "hung", "silent"])
def test_a_host_that_floods_or_has_hung_is_not_asked_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    action = Scripted(clock, [{"a": None}])
    answer = {"observations": {"a": None}, "failure": {"type": kind, "message": "too much"}}
    monkeypatch.setattr(action, "probe", lambda _requests, seconds: answer)
    assert [check.verdict for check in action._converge()] == ["error"]
    assert len(action.pending) == 1


@pytest.mark.parametrize("kind", ["sequence", "capture"])
@pytest.mark.parametrize(("errors", "looks"), [(["not_permitted"] * 2, 7), (["not_permitted", "timeout"], 10)])
def test_what_the_user_may_not_do_is_not_tried_until_the_deadline(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, errors: list[str], looks: int, kind: str
) -> None:
    action = Scripted(clock, [{}])
    first, step = ({"ok": False, "error": {"type": error}} for error in errors)
    within = {"sequence": {"s": step}, "capture": {"during": {"s": step}}}[kind]
    answer = {"observations": {"a": first, "b": {"kind": kind, "ok": True, "data": within}}}

    def probe(_requests: Any, *, seconds: float) -> dict[str, Any]:
        clock.now += 0.1
        return answer

    monkeypatch.setattr(action, "probe", probe)
    monkeypatch.setattr(action, "judge", lambda _answer: [action.context.check(None, expected=1, observed=None)])
    assert [check.verdict for check in action._converge()] == ["error"]
    assert len(action.pending) == looks


def test_a_host_that_hangs_until_the_deadline_is_remembered(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    action = Scripted(clock, [{"a": None}], deadline=0.2)
    action.known = {"mesh_story": "us1"}
    answer = {"observations": {"a": None}, "failure": {"type": "timeout", "message": "no answer"}}

    def probe(_requests: Any, *, seconds: float) -> dict[str, Any]:
        clock.now += 0.3
        return answer

    monkeypatch.setattr(action, "probe", probe)
    action._converge()
    assert action.with_silence({})["ansible_facts"]["mesh_silent"]["times"] == 2


class Families(Scripted):
    """Has two checks of one target that differ in their family alone."""

    def judge(self, answer: Any) -> list[Check]:
        """Return a check of each family."""
        return [
            self.context.check(ok, family=family, target="peer", expected=1, observed=ok)
            for family, ok in ((4, True), (6, answer["observations"]["six"]))
        ]


def test_the_families_of_one_target_are_told_apart(clock: Clock) -> None:
    checks = Families(clock, [{"six": False}])._converge()
    assert [(check.family, check.verdict) for check in checks] == [("ipv4", "passed"), ("ipv6", "failed")]
