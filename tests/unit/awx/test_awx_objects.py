# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data of the objects in AWX, without an AWX; tests/integration/test_awx.py applies it."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.meshctl.headscale.plugins.plugin_utils._stories import stories
from project import ROOT

FOUND = stories(ROOT / "playbooks" / "stories")
STORIES = [story.id for story in FOUND]


class _Loader(yaml.SafeLoader):
    """Reads Ansible's `!unsafe` as plain text."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """Return the data."""
    found: dict[str, Any] = yaml.load((ROOT / "awx" / "objects.yml").read_text(), Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    return found


def _rendered(objects: dict[str, Any]) -> dict[str, Any]:
    """Return the data that depends on the stories, as Ansible renders it."""

    def trust(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: trust(item) for key, item in value.items()}
        if isinstance(value, list):
            return [trust(item) for item in value]
        return trust_as_template(value) if isinstance(value, str) else value

    assert objects["meshctl_awx_stories"] == "{{ query('meshctl.headscale.stories', '../playbooks/stories') }}"
    names = ("organization", "verdict", "workflow", "lab")
    chosen = trust({f"meshctl_awx_{name}": objects[f"meshctl_awx_{name}"] for name in names})
    found = [{"id": story.id, "title": story.title} for story in FOUND]
    templar = Templar(loader=DataLoader(), variables={**chosen, "meshctl_awx_stories": found})
    return {name: templar.template(value) for name, value in chosen.items()}


def test_every_story_is_a_node_and_only_failures_skip_to_the_verdict(objects: dict[str, Any]) -> None:
    nodes = _rendered(objects)["meshctl_awx_workflow"]["nodes"]
    assert [node["identifier"] for node in nodes] == [*STORIES, "verdict"]
    titles = [f"meshctl {story.title}" for story in FOUND]
    assert [node["unified_job_template"]["name"] for node in nodes] == [*titles, "meshctl verdict"]
    for node, following in itertools.pairwise(nodes):
        assert node["related"] == {
            "success_nodes": [{"identifier": following["identifier"]}],
            "failure_nodes": [{"identifier": "verdict"}],
        }
    assert "related" not in nodes[-1]


def test_the_lab_offers_every_story(objects: dict[str, Any]) -> None:
    question = _rendered(objects)["meshctl_awx_lab"]["survey"]["spec"][0]
    assert question["choices"] == ["all", *STORIES]
    assert question["question_description"] == f"{', '.join(STORIES)} or all"


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
