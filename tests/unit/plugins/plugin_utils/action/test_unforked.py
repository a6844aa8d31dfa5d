# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-playbook decides itself has the same results as in processes of its own, and takes none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import unforked
from ansible_site import Site

PLAYBOOK = """
- name: Conditions of all kinds
  hosts: clients
  gather_facts: false
  vars: {chosen: "{{ inventory_hostname == 'n1' }}"}
  tasks:
    - {name: For no host, ansible.builtin.set_fact: {a: 1}, when: inventory_hostname == 'n9'}
    - {name: For one host, ansible.builtin.set_fact: {b: "{{ inventory_hostname }}"}, when: chosen}
    - {name: Hidden, ansible.builtin.set_fact: {c: 1}, when: not chosen and false, no_log: true}
    - {name: By a fact, ansible.builtin.fail: {msg: "{{ b }}"}, when: b is not defined, ignore_errors: true}
    - {name: Undefined, ansible.builtin.fail: {msg: x}, when: nothing.there, ignore_errors: true}
    - {name: In a loop, ansible.builtin.set_fact: {d: "{{ item }}"}, loop: [1, 2], when: item == 2}
    - {name: Delegated, ansible.builtin.set_fact: {e: 1}, when: false, delegate_to: n2}
    - {name: Once, ansible.builtin.set_fact: {f: 1}, when: not chosen, run_once: true}
    - {name: File, ansible.builtin.include_tasks: "{{ 'inner' if chosen else 'other' }}.yml", vars: {v: "{{ b }}"}}
    - {name: Files, ansible.builtin.include_tasks: "{{ item }}.yml", loop: [inner, other], vars: {v: "{{ item }}"}, when: chosen or item == 'other'}
    - {name: Role, ansible.builtin.include_role: {name: part}, when: chosen, vars: {v: role}}
    - {name: No file, ansible.builtin.include_tasks: "{{ nothing.there }}", ignore_errors: true}
    - name: A block
      when: chosen
      block:
        - {name: Fails, ansible.builtin.fail: {msg: "{{ b }}"}, when: b == 'n1'}
      rescue:
        - {name: Rescued, ansible.builtin.set_fact: {g: "{{ ansible_failed_result.msg }}"}}
        - {name: Rescued in vain, ansible.builtin.set_fact: {h: 1}, when: g == 'n2'}
"""

ONLY_SKIPPED = """
- hosts: clients
  gather_facts: false
  tasks:
    - {name: Skipped, meshctl.headscale.topology: , when: inventory_hostname == 'n9'}
    - {name: Skipped too, ansible.builtin.raw: "exit 1", when: inventory_hostname == 'n9'}
    - {name: Files, ansible.builtin.include_tasks: "{{ item }}.yml", loop: [skipped]}
"""

RECORDER = """
from __future__ import annotations
import json, os, pathlib
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "recorder"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self):
        super().__init__()
        self.seen, self.forks = [], 0
        os.register_at_fork(after_in_parent=self._forked)

    def _forked(self):
        self.forks += 1

    def _keep(self, kind, result, **_options):
        self.seen.append([result.task.get_name(), result.host.get_name(), kind, result.result])

    def v2_runner_on_start(self, host, task):
        self.seen.append([task.get_name(), host.get_name(), "start", None])

    def v2_runner_on_ok(self, result): self._keep("ok", result)
    def v2_runner_on_skipped(self, result): self._keep("skipped", result)
    def v2_runner_on_failed(self, result, ignore_errors=False): self._keep(f"failed {ignore_errors}", result)
    def v2_runner_item_on_ok(self, result): self._keep("item ok", result)
    def v2_runner_item_on_skipped(self, result): self._keep("item skipped", result)

    def v2_playbook_on_include(self, included_file):
        hosts = sorted(host.name for host in included_file._hosts)
        self.seen.append([included_file._task.get_name(), hosts, "include", included_file._filename])

    def v2_playbook_on_stats(self, stats):
        seen = sorted(self.seen, key=lambda entry: json.dumps(entry, default=str))
        found = {"seen": seen, "forks": self.forks, "stats": {host: stats.summarize(host) for host in stats.processed}}
        pathlib.Path("seen.json").write_text(json.dumps(found, default=str))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    found.write("callback_plugins/recorder.py", RECORDER)
    found.write("play.yml", PLAYBOOK)
    found.write("only_skipped.yml", ONLY_SKIPPED)
    found.write("inner.yml", '[{name: Inner, ansible.builtin.debug: {msg: "{{ v }}"}}]')
    found.write("other.yml", "[{name: Other, ansible.builtin.debug: {msg: other}}]")
    found.write("skipped.yml", "[{name: Inner, ansible.builtin.set_fact: {x: 1}, when: false}]")
    (tmp_path / "roles" / "part").mkdir(parents=True)
    found.write("roles/part/tasks/main.yml", "[{name: Of the role, ansible.builtin.debug: {msg: '{{ v }}'}}]")
    return found


def _seen(site: Site, playbook: str, **environment: str) -> tuple[int, dict[str, Any]]:
    status, output = site.run(playbook, **environment)
    path = site.path / "seen.json"
    assert path.exists(), output
    found = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return status, found


def test_results_are_those_of_ansible(site: Site) -> None:
    status, decided = _seen(site, "play.yml")
    site.write("ansible.cfg", "[defaults]\n")
    plain_status, plain = _seen(site, "play.yml")
    assert status == plain_status
    assert decided["seen"] == plain["seen"]
    assert decided["stats"] == plain["stats"]
    kinds = {(name, kind) for name, _host, kind, _result in decided["seen"]}
    assert {("Undefined", "failed True"), ("Rescued in vain", "skipped"), ("File", "include")} <= kinds
    assert 0 < decided["forks"] < plain["forks"]


def test_skipped_tasks_and_includes_take_no_process(site: Site) -> None:
    status, found = _seen(site, "only_skipped.yml")
    assert status == 0
    assert [entry[2] for entry in found["seen"] if entry[2] != "start"].count("skipped") == 6
    assert found["forks"] == 0


def test_an_unknown_ansible_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unforked, "TaskExecutor", type("TaskExecutor", (), {}))
    before = unforked.WorkerProcess.start
    unforked.install()
    assert unforked.WorkerProcess.start is before
