# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict under plain ansible-playbook: a run that proved nothing must fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.action import verdict
from ansible_site import Site
from project import ROOT

INVENTORY = """
all:
  vars: {ansible_connection: local}
  children:
    clients: {hosts: {n1: , n2: }}
    relays: {hosts: {r1: }}
"""

STORY = """
- name: Story
  hosts: clients
  gather_facts: false
  vars: {mesh_story: STORY, mesh_fail_late: true, mesh: {artifacts: false}}
  tasks:
    - name: Check
      tags: disruptive
      returns:
        checks: [{id: STORY.a, source: "{{ inventory_hostname }}", verdict: "{{ verdict | default('passed') }}", hint: why}]
    - name: Record the failure
      ansible.builtin.set_fact: {mesh_bad_checks: "{{ {mesh_story: ['STORY.a']} }}"}
      when: verdict | default('') == 'failed' and inventory_hostname == failing | default('n2')
    - name: Vanish
      returns: {vanish: true}
      when: vanish is defined and inventory_hostname == 'n2' and mesh_story == 'us1'
    - name: End
      ansible.builtin.import_tasks: ../tasks/end.yml
      tags: always
- name: Verdict
  ansible.builtin.import_playbook: ../verdict.yml
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return two stories with the verdict of the real ones."""
    site = Site(tmp_path)
    site.write("inventory.yml", INVENTORY)
    (tmp_path / "tasks").mkdir()
    for name in ("tasks/end.yml", "tasks/artifacts.yml", "verdict.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "playbooks" / name, tmp_path / name)
    for story in ("us1", "us2"):
        site.write(f"stories/{story}.yml", STORY.replace("STORY", story))
        site.write(f"{story}.yml", f"- import_playbook: stories/{story}.yml")
    site.write("all.yml", "".join(f"- import_playbook: stories/{story}.yml\n" for story in ("us1", "us2")))
    return site


def test_stories_that_pass_pass(site: Site) -> None:
    code, output = site.run("all.yml")
    assert code == 0, output
    assert site.report().verdict == "passed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "relays"], "us1 made no check: no assertion ran on any host; correct --limit"),
        (["--skip-tags", "disruptive"], "us1 made no check"),
        (["--tags", "disruptiv"], "no task has the tag 'disruptiv': correct --tags"),
        (["-e", "verdict=skipped"], "nothing was proved: every check was skipped (why)"),
    ],
)
def test_a_run_that_proves_nothing_fails(site: Site, arguments: list[str], said: str) -> None:
    code, output = site.run("us1.yml", *arguments)
    assert code != 0, output
    assert said in " ".join(output.split())
    assert site.report().verdict == "error"


@pytest.mark.parametrize("arguments", [["--tags", "disruptive"], ["--limit", "n1"], ["--check"]])
def test_a_part_of_a_story_is_a_proof(site: Site, arguments: list[str]) -> None:
    code, output = site.run("us1.yml", *arguments)
    assert code == 0, output


def test_a_check_that_failed_fails_on_its_host(site: Site) -> None:
    code, output = site.run("all.yml", "-e", "verdict=failed")
    assert code == 2
    assert "n2: us1 failed: us1.a" in output
    assert site.report().not_run == ["us2"]


def test_a_host_whose_check_failed_is_not_lost_for_those_after_it(site: Site) -> None:
    code, output = site.run("us1.yml", "--forks", "1", "-e", "verdict=failed", "-e", "failing=n1")
    assert code == 2
    assert "n1: us1 failed: us1.a" in output
    assert "(lost)" not in output


def test_a_host_that_is_lost_fails_the_story(site: Site) -> None:
    code, output = site.run("us1.yml", "-e", "vanish=1")
    assert code != 0
    assert "n1: us1 failed: n2 (lost)" in output


@pytest.mark.parametrize("playbooks", [["all.yml"], ["us1.yml", "us2.yml"]])
@pytest.mark.parametrize("wrong", ["verdict=failed", "vanish=1"])
def test_stories_that_keep_going_fail_at_the_end(site: Site, playbooks: list[str], wrong: str) -> None:
    code, output = site.run(*playbooks, "-e", wrong, "-e", "mesh_keep_going=true")
    assert code != 0, output
    assert {check["story"] for check in site.report().checks} == {"us1", "us2"}
    assert "us1 failed: " in output
    assert site.report().not_run == []


def test_a_report_that_cannot_be_written_fails(site: Site) -> None:
    code, output = site.run("us1.yml", MESHCTL_RUNS_DIR="/proc/meshctl")
    assert code != 0
    assert "the report cannot be written" in output and "MESHCTL_RUNS_DIR" in output


def test_without_the_callback_a_failure_is_a_failure(site: Site) -> None:
    config = site.path / "ansible.cfg"
    config.write_text(config.read_text().replace("callbacks_enabled = meshctl.headscale.report", ""))
    assert site.run("us1.yml")[0] == 0
    assert site.run("us1.yml", "-e", "verdict=failed", "-e", "mesh_keep_going=true")[0] != 0


def test_what_every_host_remembers_does_not_grow_with_each_story() -> None:
    hosts = ["n1", "n2", "n3"]
    facts = {"n1": {"us1": ["us1.a", "us1.b"]}, "n2": {"us1": ["us1.a"], "us2": ["us2.a"]}, "n3": {}}
    for _story in range(6):
        known = {"groups": {"all": hosts}, "hostvars": {name: {"mesh_bad_checks": facts[name]} for name in hosts}}
        # The task runs once, for all hosts.
        facts = dict.fromkeys(hosts, verdict._of_all(known))
    assert facts["n3"] == {"us1": ["us1.a", "us1.b"], "us2": ["us2.a"]}
