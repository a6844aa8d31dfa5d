# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching a sample of the pairs: what a round leaves out has neither failed nor recovered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._history import facts
from meshctl_headscale._watch import loop, metrics, rounds, sampled
from watch_reports import START, report
from watch_scene import Scene, rounds_of

pytest.importorskip("prometheus_client", reason="the extra `watch` is not installed")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path / "runs"))
    return Scene(tmp_path)


def _shown(watch: loop.Watch) -> str:
    return metrics.text(metrics.registry(lambda: watch.snapshot)).decode()


def _sampling(scene: Scene, down: Callable[[int], set[tuple[str, str]]], nodes: Sequence[str] = "abcde") -> None:
    """Let each round check the pairs with another distance in the ring of nodes, as `mesh_pairs` does."""
    turn = iter(range(1000))

    def outcome() -> rounds.Outcome:
        number = next(turn)
        made = report(scene.clock.now(), nodes)
        wanted = {(node, nodes[(at + number % 4 + 1) % len(nodes)]) for at, node in enumerate(nodes)}
        for one in made.checks:
            if one["aspect"] == "ipv4" and (one["source"], one["target"]) in down(number):
                one |= {"verdict": "failed", "hint": f"{one['target']} does not answer"}
        made.checks = [
            check for check in made.checks if check["aspect"] == "" or (check["source"], check["target"]) in wanted
        ]
        made.pairs = {
            "checked": len(nodes), "of": len(nodes) * (len(nodes) - 1), "per_node": 1, "seed": number, "runs": 4,
            "subnet_pairs": {"checked": 1, "of": 1},
        }  # fmt: skip
        made.verdict = "failed" if made.bad_checks else "passed"
        made.stories[0].verdict = made.verdict
        run = scene.directory / "runs" / made.run_id
        run.mkdir(parents=True)
        (run / "report.json").write_text(json.dumps(made.as_dict()))
        return rounds.Outcome(code=ExitCode.FAILED if made.bad_checks else ExitCode.PASSED, run_dir=run)

    scene.outcome = outcome


_LOST = 'meshctl_pair_reachable{source="a",target="c"}'


def test_a_pair_that_a_sample_leaves_out_has_not_recovered(scene: Scene) -> None:
    _sampling(scene, lambda number: {("a", "c")} if 5 <= number < 20 else set())
    watch = scene.watch()
    for number in range(24):
        if number == 11:
            watch = scene.watch()
        rounds_of(watch, scene, 1)
        broken = 5 <= number < 21
        assert (f"{_LOST} 0.0" in _shown(watch)) is broken, number
        assert ('meshctl_story_verdict{story="us1",verdict="failed"} 1.0' in _shown(watch)) is broken, number
    assert [subject for subject, _body in scene.sent] == ["meshctl mesh: us1 failed", "meshctl mesh: us1 recovered"]
    assert scene.sent[0][1] == "us1 fails: a → c: c does not answer"
    # It counts what was checked, and each time once.
    assert watch.snapshot.rounds["failed"] == 4
    assert watch.snapshot.failures["us1.reachable.ipv4"] == 4


@pytest.mark.parametrize("nodes", ["abdef", "abcde"], ids=["it left the inventory", "it is not expected any more"])
def test_a_pair_that_is_not_checked_any_more_is_forgotten(scene: Scene, nodes: str) -> None:
    _sampling(scene, lambda number: {("a", "c")})
    watch = scene.watch()
    rounds_of(watch, scene, 4)
    assert scene.sent[-1][0] == "meshctl mesh: us1 failed"
    _sampling(scene, lambda _number: set(), nodes)
    before = scene.outcome
    assert before

    def outcome() -> rounds.Outcome:
        found = before()
        assert found.run_dir
        data = json.loads((found.run_dir / "report.json").read_text())
        data["checks"] = [
            check
            for check in data["checks"]
            if (check["source"], check["target"], check["aspect"]) != ("a", "c", "ipv4")
        ]
        (found.run_dir / "report.json").write_text(json.dumps(data))
        return found

    scene.outcome = outcome
    rounds_of(watch, scene, 1)
    assert (scene.sent[-1][0] == "meshctl mesh: us1 recovered") is (nodes == "abdef")
    rounds_of(watch, scene, 8)
    assert [subject for subject, _body in scene.sent] == ["meshctl mesh: us1 failed", "meshctl mesh: us1 recovered"]


def test_a_finding_that_exists_only_while_it_is_bad_is_over_in_a_sample(scene: Scene) -> None:
    def found(*checks: tuple[str, str, str]) -> facts.Facts:
        made = tuple(
            facts.Made(id=label, source="a", target=target, verdict=verdict, hint="", at=START)
            for label, target, verdict in checks
        )
        verdict = "failed" if any(check.verdict == "failed" for check in made) else "passed"
        story = facts.StoryRun(story="us1", verdict=verdict, finished=START, duration_s=1.0, cause="", checks=made)
        return facts.Facts(
            run_id="r", started=START, finished=START, verdict=verdict, headline="", stories=(story,), pairs=(), nodes=(),
            checks=made, hosts=frozenset("abc"), sampled=4,
        )  # fmt: skip

    first = sampled.after(
        (), found(("us1.task", "b", "failed"), ("us1.path", "b", "failed"), ("us1.path", "x", "failed"))
    )
    assert {(one.check.id, one.check.target) for one in first} == {("us1.task", "b"), ("us1.path", "b")}
    second = sampled.after(first, found(("us1.path", "c", "passed"), ("us1.path", "b", "skipped")))
    assert [(one.check.id, one.missed) for one in second] == [("us1.path", 1)]
    assert sampled.completed(found(("us1.path", "c", "passed")), second).stories[0].verdict == "failed"
    assert not sampled.after(second, replace(found(("us1.path", "c", "passed")), sampled=0))
    assert not sampled.after(second, found(("us1.path", "b", "passed")))


@pytest.mark.parametrize(
    ("hosts", "rounds_of_all", "kept"),
    [("abc", 4, 8), ("ac", 4, 0), ("", 4, 8), ("", 0, 20), ("abc", 0, 20)],
    ids=["it is not expected any more", "it left the inventory", "no host is known", "nothing is", "no sample"],
)
def test_a_pair_that_is_not_checked_any_more_is_forgotten_while_another_check_fails(
    hosts: str, rounds_of_all: int, kept: int
) -> None:
    def check(target: str) -> facts.Made:
        return facts.Made(
            id="us1.reachable.ipv4", source="a", target=target, verdict="failed", hint="it is off", at=START
        )

    story = facts.StoryRun(
        story="us1", verdict="failed", finished=START, duration_s=1.0, cause="", checks=(check("c"),)
    )
    found = facts.Facts(
        run_id="r", started=START, finished=START, verdict="failed", headline="", stories=(story,), pairs=(), nodes=(),
        checks=story.checks, hosts=frozenset(hosts), sampled=rounds_of_all,
    )  # fmt: skip
    known: tuple[sampled.Failure, ...] = (sampled.Failure(story="us1", check=check("b")),)
    unreachable = list[bool]()
    for _round in range(20):
        known = sampled.after(known, found)
        unreachable.append(("a", "b") in {(pair.source, pair.target) for pair in sampled.completed(found, known).pairs})
    assert unreachable == [True] * kept + [False] * (20 - kept)
