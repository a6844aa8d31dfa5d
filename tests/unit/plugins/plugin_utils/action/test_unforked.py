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
    - name: Bad arguments
      block:
        - {name: Bad role, ansible.builtin.include_role: {name: part}, vars: {v: bad}}
      rescue:
        - {name: Refused, ansible.builtin.set_fact: {i: "{{ ansible_failed_result.msg }}"}}
    - {name: For members, ansible.builtin.set_fact: {j: 1}, when: inventory_hostname in groups.clients}
    - {name: For members of both, ansible.builtin.set_fact: {k: 1}, when: [inventory_hostname in groups.clients, chosen]}
    - {name: For others, ansible.builtin.set_fact: {l: 1}, when: inventory_hostname in groups.ungrouped}
    - {name: No group, ansible.builtin.set_fact: {m: 1}, when: inventory_hostname in groups.nothing, ignore_errors: true}
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

READS = """
- hosts: clients
  gather_facts: false
  vars: {mesh_story: nightly}
  tasks:
    - {name: Read, meshctl.headscale.topology: }
    - name: Known
      returns: {topology: "{{ mesh_topology }}", resolver: "{{ mesh_resolver }}", mesh: "{{ mesh }}", lacks: "{{ mesh_story_lacks }}"}
    - {name: Read a part, meshctl.headscale.topology: , when: inventory_hostname == 'n2'}
    - {name: Read again, meshctl.headscale.topology: , register: again}
    - {name: Registered, returns: {topology: "{{ again.ansible_facts.mesh_topology }}"}}
"""

LAB = """
all:
  vars:
    ansible_connection: meshctl.headscale.netns
    mesh_backend: lab
    mesh_subnets: {a: {cidr: 10.1.0.0/24}, b: {cidr: 10.2.0.0/24}}
  children:
    headscale: {hosts: {server: {mesh_subnet: a, mesh_address: 10.1.0.5}}}
    relays: {hosts: {relay: {mesh_subnet: wan, mesh_address: 203.0.113.10, mesh_names: [relay.mesh.example]}}}
    clients:
      hosts:
        n1: {mesh_subnet: a, mesh_address: 10.1.0.11}
        n2: {mesh_subnet: b, mesh_address: 10.2.0.12, mesh_latency_budget_ms: 77}
"""

COUNTED = """
- hosts: clients
  gather_facts: false
  tasks:
    - {name: Counted, ansible.builtin.set_fact: {a: 1}, when: "lookup('counted', 'a')", failed_when: "lookup('counted', 'b')"}
"""

COUNTER = """
from __future__ import annotations
import pathlib
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        with pathlib.Path(terms[0]).open("a") as file:
            file.write(variables["inventory_hostname"] + "\\n")
        return [terms[0] == "a"]
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
    found.write(
        "roles/part/meta/argument_specs.yml",
        "argument_specs: {main: {options: {v: {type: str, required: true, choices: [role]}}}}",
    )
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
    assert {("Refused", "ok"), ("For members", "ok"), ("For others", "skipped"), ("No group", "failed True")} <= kinds
    assert 0 < decided["forks"] < plain["forks"]


def test_skipped_tasks_and_includes_take_no_process(site: Site) -> None:
    status, found = _seen(site, "only_skipped.yml")
    assert status == 0
    assert [entry[2] for entry in found["seen"] if entry[2] != "start"].count("skipped") == 6
    assert found["forks"] == 0


def test_a_condition_is_evaluated_once(site: Site) -> None:
    site.write("counted.yml", COUNTED)
    site.write("lookup_plugins/counted.py", COUNTER)
    status, found = _seen(site, "counted.yml")
    assert status == 0
    assert [entry[2] for entry in found["seen"]].count("ok") == 2
    # What tells whether a task has failed is evaluated as well.
    for name in ("a", "b"):
        assert sorted((site.path / name).read_text(encoding="utf-8").split()) == ["n1", "n2"]


def test_what_all_hosts_share_is_made_once_without_a_process(site: Site) -> None:
    site.write("inventory.yml", LAB)
    site.write("reads.yml", READS)
    status, here = _seen(site, "reads.yml")
    assert status == 0, here
    site.write("ansible.cfg", "[defaults]\n")
    plain_status, plain = _seen(site, "reads.yml")
    assert plain_status == 0
    for found in (here, plain):
        known = {(name, host): result for name, host, kind, result in found["seen"] if kind == "ok"}
        first, second = known["Known", "n1"], known["Known", "n2"]
        assert first["topology"] == second["topology"] == known["Registered", "n2"]["topology"]
        assert first["topology"]["n2"]["subnet"] == "b"
        assert (first["mesh"]["latency_budget_ms"], second["mesh"]["latency_budget_ms"]) == (50, 77)
        assert "mesh_topology" in known["Read", "n1"]["ansible_facts"]
    known = {(name, host): result for name, host, kind, result in here["seen"] if kind == "ok"}
    assert "mesh_topology" not in known["Read", "n2"]["ansible_facts"]
    # A process tells what Ansible calls deprecated once.
    results = [
        {
            (name, host): {**result, "deprecations": []}
            for name, host, kind, result in found["seen"]
            if kind == "ok" and name == "Known"
        }
        for found in (here, plain)
    ]
    assert results[0] == results[1]
    # One for each host and task, but for tasks that read and register nothing.
    assert (plain["forks"], here["forks"]) == (10, 6)


def test_an_unknown_ansible_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unforked, "TaskExecutor", type("TaskExecutor", (), {}))
    before = unforked.WorkerProcess.start
    unforked.install()
    assert unforked.WorkerProcess.start is before
