# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks agree with the directory of the stories."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._stories import Story, stories
from project import ROOT

BOOKS = ROOT / "playbooks"
FOUND = stories(BOOKS / "stories")
_SPEC = importlib.util.spec_from_file_location("story_playbooks", ROOT / "tools" / "story_playbooks.py")
assert _SPEC
assert _SPEC.loader
story_playbooks = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(story_playbooks)
WRITTEN = story_playbooks.playbooks(FOUND)


def _imported(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((BOOKS / path).read_text())
    return found


def test_every_story_has_two_names() -> None:
    assert len({story.alias for story in FOUND} | {story.id for story in FOUND}) == 2 * len(FOUND)


@pytest.mark.parametrize("story", FOUND[1:], ids=lambda story: story.id)
def test_a_story_includes_hosts_that_failed_in_an_earlier_one(story: Story) -> None:
    again, play = _imported(f"stories/{story.id}.yml")[:2]
    assert again["tasks"][0]["ansible.builtin.meta"] == "clear_host_errors"
    assert again["hosts"] == play["hosts"]


def test_the_readme_has_a_row_for_every_story() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = {story.title: "| **{}** {} |".format(*story.title.split(" ", 1)) for story in FOUND}
    assert [title for title, row in rows.items() if row not in text] == []


@pytest.mark.parametrize("name", WRITTEN)
def test_playbooks_are_up_to_date(name: str) -> None:
    assert (BOOKS / name).read_text() == WRITTEN[name], "run python tools/story_playbooks.py"


def test_no_playbook_of_a_removed_story_remains() -> None:
    assert {path.name for path in BOOKS.glob("us*.yml")} | {"all.yml"} == set(WRITTEN)


def test_playbooks_deploy_first_then_run_the_stories_in_order() -> None:
    deploy = {"name": "Lab and mesh", "ansible.builtin.import_playbook": "up.yml"}
    for name, runs in {"all.yml": FOUND, f"{FOUND[0].id}.yml": FOUND[:1]}.items():
        first, *others = _imported(name)
        assert first.items() >= deploy.items()
        assert [entry["ansible.builtin.import_playbook"] for entry in others] == [
            f"stories/{story.id}.yml" for story in runs
        ]


@pytest.mark.parametrize("story", FOUND, ids=lambda story: story.id)
def test_every_story_ends_with_a_verdict(story: Story) -> None:
    last = _imported(f"stories/{story.id}.yml")[-1]
    assert last == {"name": "Verdict", "ansible.builtin.import_playbook": "../verdict.yml"}


STORY = """
- name: US7 more
  hosts: all
  vars:
    mesh_story: us7
    mesh_story_info: {summary: It works., requires: a mesh, disrupts: "", seconds: 9}
"""


def test_stories_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("us10", "us7"):
        (tmp_path / f"{name}.yml").write_text(STORY.replace("US7", name.upper()).replace("us7", name))
    assert [story.id for story in stories(tmp_path)] == ["us7", "us10"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("mesh_story: us7", "other: us7", "exactly one play of a story sets mesh_story, here 0 do"),
        ("mesh_story: us7", "mesh_story: us8", "name the play 'US7 …' and set mesh_story to us7"),
        ("name: US7 more", "name: More", "name the play 'US7 …'"),
        ("seconds: 9", "minutes: 9", "mesh_story_info must have exactly summary, requires, disrupts and seconds"),
    ],
)
def test_what_a_story_lacks_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    (tmp_path / "us7.yml").write_text(STORY.replace(before, after))
    with pytest.raises(BadInput, match=message):
        stories(tmp_path)


def test_a_task_has_a_host_although_the_inventory_has_no_network_with_a_single_router() -> None:
    # Ansible evaluates `delegate_to` of an imported task before its `when`, and stops if it is empty.
    known = {"expected": {"single_target": ""}, "inventory_hostname": "one", "groups": {"headscale": ["server"]}}
    steps = _imported("tasks/routes/failover.yml")[0]["block"]
    given = next(step["vars"] for step in steps if step.get("ansible.builtin.import_tasks") == "meanwhile.yml")
    known["outsider"] = jinja2.Template(given["outsider"]).render(known)
    tasks = _imported("tasks/routes/meanwhile.yml")
    hosts = [jinja2.Template(task["delegate_to"]).render(known) for task in tasks if "delegate_to" in task]
    assert set(hosts) == {"one", "server"}


def test_a_lab_on_a_kernel_without_ipv6_has_no_command_that_needs_it() -> None:
    lines = [line for path in BOOKS.rglob("*.yml") for line in path.read_text(encoding="utf-8").splitlines()]
    switches = [line for line in lines if "sysctl" in line and "net.ipv6" in line]
    routes = [line for line in lines if "ip route" in line and "fd7a:" in line]
    assert switches
    assert routes
    assert [line for line in switches if "sysctl -eqw" not in line] == []
    assert [line for line in routes if "[ ! -e /proc/sys/net/ipv6 ] || ip route" not in line] == []
