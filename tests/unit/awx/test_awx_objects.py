# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data of the objects in AWX, without an AWX; tests/integration/test_awx.py applies it."""

from __future__ import annotations

import json
import re
from typing import Any

import jinja2
import pytest
import yaml
from project import ROOT

STORIES = ["us1", "us2", "us3", "us4"]


class _Loader(yaml.SafeLoader):
    """Reads Ansible's `!unsafe` as plain text."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """Return the data."""
    found: dict[str, Any] = yaml.load((ROOT / "awx" / "objects.yml").read_text(), Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    return found


def test_every_story_has_a_template_and_a_node(objects: dict[str, Any]) -> None:
    assert [story["id"] for story in objects["meshctl_awx_stories"]] == STORIES
    nodes = objects["meshctl_awx_workflow"]["nodes"]
    assert [node["identifier"] for node in nodes] == [*STORIES, "verdict"]
    names = {story["name"] for story in objects["meshctl_awx_stories"]} | {objects["meshctl_awx_verdict"]["name"]}
    assert {node["unified_job_template"]["name"] for node in nodes} == names


def test_nothing_leads_past_a_failure_but_the_verdict(objects: dict[str, Any]) -> None:
    for node in objects["meshctl_awx_workflow"]["nodes"]:
        related = node.get("related", {})
        assert set(related) <= {"success_nodes", "failure_nodes"}
        assert related.get("failure_nodes", [{"identifier": "verdict"}]) == [{"identifier": "verdict"}]


def test_no_secret_is_in_the_data(objects: dict[str, Any]) -> None:
    fields = objects["meshctl_awx_credential_type"]["inputs"]["fields"]
    assert {field["id"] for field in fields if field.get("secret")} == {"api_key"}
    assert "hskey-" not in (ROOT / "awx" / "objects.yml").read_text()


def test_playbooks_and_inventories_are_there(objects: dict[str, Any]) -> None:
    named = [f"playbooks/{story}.yml" for story in STORIES]
    named += [objects["meshctl_awx_verdict"]["playbook"], objects["meshctl_awx_lab"]["playbook"]]
    named += [inventory["source"] for inventory in objects["meshctl_awx_inventories"]]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_survey_has_all_that_awx_gives_back(objects: dict[str, Any]) -> None:
    # A field less, and the survey that AWX returns would differ from ours at every run.
    whole = {
        "question_name",
        "question_description",
        "variable",
        "type",
        "required",
        "default",
        "min",
        "max",
        "choices",
    }
    for survey in (objects["meshctl_awx_survey"], objects["meshctl_awx_lab"]["survey"]):
        assert {"name", "description", "spec"} == set(survey)
        for question in survey["spec"]:
            assert set(question) == whole
            if question["choices"]:
                assert question["default"] in question["choices"]


@pytest.mark.parametrize("outcome", ["success", "error"])
def test_a_notification_is_json_whatever_a_story_says(objects: dict[str, Any], outcome: str) -> None:
    template = objects["meshctl_awx_messages"][outcome]["body"]
    hint = 'the name "x" leads to\n10.0.0.1 \\ {{ nothing }}'
    job = {"name": "meshctl verdict", "status": "failed", "artifacts": {"meshctl": {"bad": [{"hint": hint}]}}}
    body = json.loads(jinja2.Environment(autoescape=False).from_string(template).render(job=job, url="https://awx/1"))  # noqa: S701
    assert body["artifacts"]["meshctl"]["bad"][0]["hint"] == hint


def test_the_rule_of_the_schedule_has_a_start_and_an_interval(objects: dict[str, Any]) -> None:
    assert re.fullmatch(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=DAILY;INTERVAL=\d+", objects["meshctl_awx_rrule"])
