# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering a report from what tasks return."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import collect, model, results

NOW = builder.START
CHECK: dict[str, Any] = {"id": "us1.a", "story": "us1", "source": "n1", "verdict": "passed"}
TASK = collect.Task(name="Do it", host="n1", action="command", where="us1.yml:7")


@pytest.fixture
def collector() -> collect.Collector:
    collector = collect.Collector(started=NOW, command="meshctl run us1")
    collector.plan(["us1", "us2"])
    return collector


def finish(collector: collect.Collector, **flags: bool) -> model.Report:
    return collector.report("run", NOW + timedelta(seconds=60), **{"interrupted": False, "finished": True, **flags})


def test_checks_come_from_results_facts_and_loop_items(collector: collect.Collector) -> None:
    collector.result({"checks": [CHECK]}, "n1", NOW)
    collector.result({"ansible_facts": {"checks": [{**CHECK, "id": "us1.b"}]}}, "n1", NOW)
    collector.result({"results": [{"checks": [{**CHECK, "target": name}]} for name in "xy"]}, "n1", NOW)
    assert [(check["id"], check["target"]) for check in collector.checks] == [
        ("us1.a", None),
        ("us1.b", None),
        ("us1.a", "x"),
        ("us1.a", "y"),
    ]


def test_a_registered_result_that_passes_by_again_counts_once(collector: collect.Collector) -> None:
    collector.result({"checks": [CHECK]}, "n1", NOW)
    collector.result({"checks": [CHECK]}, "n1", NOW + timedelta(seconds=1))
    assert len(collector.checks) == 1


def test_two_tasks_that_observe_the_same_make_two_checks(collector: collect.Collector) -> None:
    for task in ("one", "two", "two"):
        collector.result({"checks": [CHECK]}, "n1", NOW, made_by=task)
    assert len(collector.checks) == 2
    collector.result({"checks": [CHECK]}, "n1", NOW)
    assert len(collector.checks) == 2
    for task in ("three", "four"):
        collector.result({"checks": [{**CHECK, "verdict": "skipped"}]}, "n1", NOW, made_by=task)
    assert len(collector.checks) == 3


@pytest.mark.parametrize(
    "result",
    [
        {"_ansible_no_log": True, "checks": [CHECK]},
        {"censored": "hidden", "checks": [CHECK], "results": [{"checks": [CHECK]}]},
        {"results": [{"_ansible_no_log": True, "checks": [CHECK]}]},
    ],
)
def test_what_no_log_hides_is_not_kept(collector: collect.Collector, result: dict[str, Any]) -> None:
    assert collector.result(result, "n1", NOW) == []
    assert not collector.checks


@pytest.mark.parametrize("result", [{"checks": None}, {"checks": "x"}, {"checks": [1, None]}, {"results": "x"}, {}])
def test_results_of_another_form_are_left_alone(collector: collect.Collector, result: dict[str, Any]) -> None:
    collector.result(result, "n1", NOW)
    assert not collector.checks


def test_a_failed_task_is_an_error_that_names_task_place_host_and_reason(collector: collect.Collector) -> None:
    collector.enter("us1", "", NOW)
    collector.task_failed(TASK, {"msg": "Task failed: no such file"}, NOW)
    check = collector.checks[0]
    assert (check["id"], check["verdict"], check["observed"]) == ("us1.task", "error", "no such file")
    assert check["hint"] == "The task 'Do it' (us1.yml:7) failed on n1: no such file"


def test_a_failed_loop_tells_what_its_items_say(collector: collect.Collector) -> None:
    result = {"msg": "One or more items failed", "results": [{"failed": True, "msg": "a is bad"}, {"msg": "fine"}]}
    assert results.message_of(result) == "a is bad"


def test_the_reason_of_a_hidden_task_stays_hidden() -> None:
    assert "secret" not in results.message_of({"censored": "x", "msg": "secret"})


def test_a_failure_outside_the_stories_is_not_lost(collector: collect.Collector) -> None:
    collector.task_failed(TASK, {"msg": "no"}, NOW)
    report = finish(collector)
    assert report.verdict == "error"
    assert [(story.id, story.verdict) for story in report.stories] == [("playbook", "error")]
    assert report.not_run == ["us1", "us2"]


def test_an_unreachable_host_is_an_error_with_the_command_to_try(collector: collect.Collector) -> None:
    collector.inventory["source"] = ["my inventory.yml"]
    collector.enter("us1", "", NOW)
    collector.unreachable(TASK, {"msg": "No route to host"}, NOW)
    check = collector.checks[0]
    assert (check["id"], check["verdict"], check["source"]) == ("us1.host_reachable", "error", "n1")
    assert check["reproduce"] == "ansible n1 -i 'my inventory.yml' -m ansible.builtin.raw -a true"


def test_a_rescued_task_is_a_note_and_no_verdict(collector: collect.Collector) -> None:
    collector.enter("us1", "", NOW)
    collector.result({"checks": [CHECK]}, "n1", NOW)
    collector.task_noted(TASK, {"msg": "late"}, "rescued")
    report = finish(collector)
    assert report.verdict == "passed"
    assert [(note.kind, note.task, note.message) for note in report.notes] == [("rescued", "Do it", "late")]


def test_a_story_takes_the_time_of_its_plays_only(collector: collect.Collector) -> None:
    collector.enter("us1", "First", NOW)
    collector.enter(None, "", NOW + timedelta(seconds=2))
    collector.enter("us1", "Again", NOW + timedelta(seconds=10))
    collector.leave(NOW + timedelta(seconds=13))
    story = finish(collector).stories[0]
    assert (story.title, story.duration_s, story.finished) == ("First", 5.0, "2026-11-22T21:30:13.000Z")


def test_the_story_that_was_interrupted_says_so(collector: collect.Collector) -> None:
    collector.enter("us1", "", NOW)
    collector.result({"checks": [CHECK]}, "n1", NOW)
    collector.enter("us2", "", NOW)
    report = finish(collector, interrupted=True, finished=False)
    assert report.verdict == "interrupted"
    assert [story.verdict for story in report.stories] == ["passed", "interrupted"]


def test_a_story_without_a_check_proves_nothing(collector: collect.Collector) -> None:
    collector.enter("us1", "", NOW)
    report = finish(collector)
    assert (report.verdict, report.stories[0].verdict) == ("error", "skipped")


def test_hosts_nodes_and_versions_are_put_together(collector: collect.Collector) -> None:
    collector.groups({"n1": "clients"})
    collector.result({"mesh_topology": {"n1": {"subnet": "a", "address": "10.0.0.1", "pid": 7}}}, "s", NOW)
    collector.result({"mesh_nodes": {"n1": {"id": 3, "addresses": ["100.64.0.1/32"], "key": "nodekey:x"}}}, "s", NOW)
    collector.result({"ansible_facts": {"mesh_client": {"version": "1.80.0"}}}, "n1", NOW)
    collector.result({"mesh_versions": {"tailscale": {"n1": "1.80.0", "n2": "1.102.5"}, "derper": "1.102.5"}}, "s", NOW)
    report = finish(collector)
    assert report.hosts == {
        "n1": {
            "group": "clients",
            "subnet": "a",
            "address": "10.0.0.1",
            "mesh_addresses": ["100.64.0.1"],
            "node_id": "3",
        }
    }
    assert report.versions == {"tailscale": "1.102.5, 1.80.0", "derper": "1.102.5"}


@pytest.mark.parametrize("value", [None, "x", 3, ["n1"], {"n1": None}, {"n1": "text"}])
def test_facts_of_another_form_are_left_alone(collector: collect.Collector, value: object) -> None:
    collector.result({"mesh_topology": value, "mesh_nodes": value, "mesh_client": value}, "n1", NOW)
    assert all(set(host) <= {"group"} for host in finish(collector).hosts.values())


def test_nothing_happened_is_not_worth_keeping(collector: collect.Collector) -> None:
    assert not collector.worth_keeping
    collector.result({"mesh_topology": {"n1": {}}}, "n1", NOW)
    assert not collector.worth_keeping
    collector.enter("us1", "", NOW)
    assert collector.worth_keeping
