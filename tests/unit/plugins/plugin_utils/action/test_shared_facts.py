# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that one host holds for all are read as they are, unless they have templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars as AnsibleHostVars
from ansible.vars.manager import VariableManager
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.view import HostView


class HostVars(dict[str, Any]):
    """Variables of hosts: rendered by subscription, raw on request."""

    def __init__(self, raw: dict[str, Any], rendered: dict[str, Any]) -> None:
        """Hold both forms."""
        super().__init__(rendered)
        self._raw = raw

    def raw_get(self, host: str) -> Any:
        """Return the variables of a host with their templates."""
        return self._raw[host]


def view(hostvars: dict[str, Any]) -> HostView:
    """Return the view of a client."""
    found = HostView()
    found.known = {"groups": {"headscale": ["server"]}, "hostvars": hostvars}
    return found


@pytest.mark.parametrize("raw", [{"one": {"id": "{{ number }}"}}, {"one": {"id": "{% if x %}"}}, "{{ nodes }}", None])
def test_a_fact_with_templates_is_rendered(raw: Any) -> None:
    rendered = {"one": {"id": "1"}}
    known = HostVars({"server": {"mesh_nodes": raw}}, {"server": {"mesh_nodes": rendered}})
    assert view(known).shared("mesh_nodes") == rendered


def test_a_fact_without_templates_is_not_rendered() -> None:
    fact = {"one": {"id": "1", "addresses": ["100.64.0.1"]}}
    known = HostVars({"server": {"mesh_nodes": fact}}, {"server": {"mesh_nodes": "rendered in vain"}})
    assert view(known).shared("mesh_nodes") == fact


def test_a_fact_that_no_host_has_is_none() -> None:
    assert view(HostVars({"server": {}}, {"server": {}})).shared("mesh_nodes") is None
    assert view({"server": {"mesh_nodes": {"one": {}}}}).shared("mesh_nodes") == {"one": {}}


class Counted(VariableManager):
    """Ansible's own, which counts how often it puts the variables of a host together."""

    count = 0

    def get_vars(self, *args: Any, **kwargs: Any) -> Any:
        """Count."""
        self.count += 1
        return super().get_vars(*args, **kwargs)


@pytest.fixture
def manager(tmp_path: Path) -> Counted:
    """Return what Ansible knows of a server and two clients, one of which a task has examined."""
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("server\n[clients]\none mesh_serving=inventory\ntwo mesh_serving={{number}} number=2\n")
    loader = DataLoader()
    found = Counted(loader=loader, inventory=InventoryManager(loader=loader, sources=[str(inventory)]))
    found.set_host_facts("one", {"mesh_serving": {"token": "t"}})
    AnsibleHostVars(found._inventory, found, loader)
    return found


def test_what_a_task_found_of_another_host_is_read_alone(manager: Counted) -> None:
    own = view(manager._hostvars)
    assert own.of_host("one", "mesh_serving") == {"token": "t"}
    assert manager.count == 0
    manager.set_nonpersistent_facts("one", {"mesh_serving": {"token": "later"}})
    assert own.of_host("one", "mesh_serving") == {"token": "later"}


def test_what_no_task_found_is_read_from_the_inventory(manager: Counted) -> None:
    own = view(manager._hostvars)
    assert [str(own.of_host(host, "mesh_serving")) for host in ("two", "server", "nowhere")] == ["2", "None", "None"]


def test_the_variables_of_a_host_are_put_together_once(manager: Counted) -> None:
    own = view(manager._hostvars)
    assert [own.of_host("server", name) for name in ("stopped", "killed", "plugged")] == [None, None, None]
    assert manager.count == 1
    manager.set_nonpersistent_facts("server", {"mesh_pairs_run": 7, "mesh_done": True, "mesh_name": "alice"})
    assert [own.shared(name) for name in ("mesh_pairs_run", "mesh_done", "mesh_name")] == [7, True, "alice"]
    assert manager.count == 1


def test_a_large_fact_is_read_once_until_it_changes(manager: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: read.append(len(text)) or loads(text))
    for number in (1, 2):
        fact = {f"node-{index}": {"id": f"{number}", "addresses": ["100.64.0.1"] * 5} for index in range(200)}
        manager.set_nonpersistent_facts("server", {"mesh_nodes": fact})
        assert [view(manager._hostvars).shared("mesh_nodes") for _task in range(3)] == [fact] * 3
        assert len(read) == number


def test_a_large_fact_that_hosts_share_is_kept_once(manager: Counted) -> None:
    places = {f"node-{index}": {"subnet": "subnet-a", "address": "192.168.1.10"} for index in range(300)}
    found = []
    for host in ("one", "two"):
        manager.set_nonpersistent_facts(host, {"mesh_topology": places})
        own = view(manager._hostvars)
        own.host, own.known = host, {**own.known, **manager._nonpersistent_fact_cache[host]}
        found.append(own.topology())
    assert found[0] is found[1]
    assert found[0] == places


def test_a_fact_of_the_host_itself_is_not_searched_for_templates(manager: Counted) -> None:
    manager.set_nonpersistent_facts("one", {"mesh_topology": {"one": {"subnet": "a"}}})
    own = view(manager._hostvars)
    # Without a templar, a search would fail.
    own.host, own.known = "one", {**own.known, **manager._nonpersistent_fact_cache["one"]}
    assert own.topology() == {"one": {"subnet": "a"}}


def test_a_variable_of_the_command_line_is_stronger_than_a_fact(manager: Counted) -> None:
    manager.extra_vars["mesh_serving"] = {"token": "said"}
    assert view(manager._hostvars).of_host("one", "mesh_serving") == {"token": "said"}
