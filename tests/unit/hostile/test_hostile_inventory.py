# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile nodes in the live inventory: a node chooses neither its identity nor a group, and executes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils import _nodes
from hostile_server import answer, hostile_server
from project import ROOT

PROGRAMS = Path(sys.executable).parent


def node(number: int, name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(number), "name": name, "givenName": name, "user": {"id": "1", "name": "alice"},
        "ipAddresses": [f"100.64.0.{number}"], "online": True, **fields,
    }  # fmt: skip


def ansible(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible on the directory `hosts`."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "HEADSCALE_"))},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_INVENTORY_ENABLED": "meshctl.headscale.headscale,yaml",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "HEADSCALE_API_KEY": "hskey-api-" + "A" * 12 + "-" + "b" * 64,
    }
    program, *rest = arguments
    return subprocess.run(
        [str(PROGRAMS / program), "-i", str(directory / "hosts"), *rest],
        capture_output=True, text=True, env=environment, cwd=directory, check=False, timeout=60,
    )  # fmt: skip


def write_sources(directory: Path, url: str, static: dict[str, Any] | None = None, **options: Any) -> None:
    (directory / "hosts").mkdir()
    live = {"plugin": "meshctl.headscale.headscale", "url": url, "group": "clients", "tailscaled_socket": "", **options}
    (directory / "hosts" / "mesh.headscale.yml").write_text(yaml.safe_dump(live), encoding="utf-8")
    if static:
        (directory / "hosts" / "a.yml").write_text(yaml.safe_dump(static), encoding="utf-8")


def listed(
    directory: Path, nodes: list[dict[str, Any]], static: dict[str, Any] | None = None, **options: Any
) -> tuple[dict[str, Any], str]:
    """Return the inventory with these nodes, and the warnings."""
    with hostile_server(answer(json.dumps({"nodes": nodes}))) as server:
        write_sources(directory, server.url, static, **options)
        done = ansible(directory, "ansible-inventory", "--list")
    assert done.returncode == 0, done.stderr
    # Ansible marks what is never a template.
    found = json.loads(done.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value))
    return found, " ".join(done.stderr.split())


STATIC = {
    "all": {
        "children": {
            "headscale": {"hosts": {"control": {"ansible_host": "192.0.2.1"}}},
            "printers": {"hosts": {"Office": None}},
        }
    }
}
RESERVED = ("all", "ungrouped", "localhost", "headscale", "relays", "clients", "spare", "routers", "lan", "printers")


def test_a_node_is_never_a_group_or_a_host_of_another_source(tmp_path: Path) -> None:
    names = [*RESERVED, "control", "CONTROL", "office", "laptop", "Laptop"]
    found, said = listed(tmp_path, [node(n, name) for n, name in enumerate(names, start=1)], STATIC)
    assert set(found["clients"]["hosts"]) == {*(f"{name}-node" for name in RESERVED), "laptop"}
    assert found["headscale"]["hosts"] == ["control"]
    assert found["_meta"]["hostvars"]["control"] == {"ansible_host": "192.0.2.1"}
    assert "4 node(s)" in said
    assert "same name" not in said
    for name in ("'control'", "'CONTROL'", "'office'", "'Laptop'"):
        assert name in said


NO_NAMES = (
    "a b", "a:b", "!a", "&a", "~a", "a[1:3]", "a,b", "*", "-oProxyCommand=id", "a/../b", "a\nb", "é", "_a", "a.", "x" * 64,
    "{{ 1 }}", "\u202eabc", "", "a\u0000b", "\u001b[2J",
)  # fmt: skip


def test_a_name_that_is_no_dns_label_is_left_out_with_a_warning(tmp_path: Path) -> None:
    nodes = [node(n, name) for n, name in enumerate(NO_NAMES, start=1)]
    found, said = listed(tmp_path, [*nodes, node(99, "good"), node(98, "10"), node(97, "0x7f000001")])
    assert set(found["clients"]["hosts"]) == {"good", "10-node", "0x7f000001-node"}
    assert f"{len(NO_NAMES)} node(s) of the Headscale server are not in the inventory" in said
    assert said.isprintable()


def test_nodes_that_report_the_same_hostname_are_told_apart(tmp_path: Path) -> None:
    nodes = [node(1, "web"), node(2, "web", givenName="web-x1"), node(3, "My Phone", givenName="my-phone")]
    found, _said = listed(tmp_path, nodes, name_from="hostname")
    assert set(found["clients"]["hosts"]) == {"web", "web-x1", "my-phone"}
    assert found["_meta"]["hostvars"]["web"]["ansible_host"] == "100.64.0.1"


@pytest.mark.parametrize(
    "address",
    [
        "-oProxyCommand=id",
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "fe80::1",
        "fd7a::1%lo",
        "224.0.0.1",
        "a.example",
        "{{ 1 }}",
        "",
    ],
)
def test_an_address_is_an_address_of_a_mesh(address: str) -> None:
    assert _nodes.host_address([address]) is None
    assert _nodes.host_address([address, "fd7a::2"]) == "fd7a::2"


def test_no_group_that_gets_the_key_follows_a_node(tmp_path: Path) -> None:
    nodes = [node(1, "a", user={"id": "1", "name": "headscale"}), node(2, "b", user={"id": "2", "name": "relays"})]
    keyed = [{"key": "headscale_user", "prefix": "", "separator": ""}]
    found, said = listed(tmp_path, nodes, STATIC, keyed_groups=keyed)
    assert found["headscale"]["hosts"] == ["control"]
    assert not found.get("relays", {}).get("hosts")
    assert set(found["clients"]["hosts"]) == {"a", "b"}
    assert "it was left out" in said


def test_texts_of_the_server_are_never_templates(tmp_path: Path) -> None:
    evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(tmp_path / "owned") + "') }}"
    fields = {
        "user": {"id": "1", "name": evil}, "tags": [], "machineKey": evil, "nodeKey": evil, "discoKey": evil, "name": evil,
        "approvedRoutes": [evil], "registerMethod": evil,
    }  # fmt: skip
    play = [{
        "hosts": "clients", "gather_facts": False, "connection": "local",
        "tasks": [
            {"debug": {"msg": "{{ hostvars[inventory_hostname] }}"}},
            {"debug": {"msg": "{{ headscale_user }} {{ headscale_approved_routes | join(' ') }} {{ headscale_name }}"}},
            {"set_fact": {"again": "{{ headscale_user }}"}},
            {"debug": {"msg": "{{ again }} {{ groups }} {{ copied }}"}},
            {"debug": {"msg": "{{ lookup('ansible.builtin.vars', 'headscale_user') }} {{ hostvars['a'].again }}"}},
        ],
    }]  # fmt: skip
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    nodes = [node(1, "a", givenName="a", **{key: value for key, value in fields.items() if key != "name"})]
    nodes[0]["name"] = evil
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    with hostile_server(answer(json.dumps({"nodes": nodes}))) as server:
        write_sources(tmp_path, server.url, compose={"copied": "headscale_user"}, **cache)
        for _ in range(2):  # the second time from the cache
            done = ansible(tmp_path, "ansible-playbook", "play.yml")
            assert done.returncode == 0, done.stdout + done.stderr
    assert "lookup(" in done.stdout
    assert not (tmp_path / "owned").exists()


TOPOLOGY = [{"hosts": "all", "gather_facts": False, "tasks": [{"meshctl.headscale.topology": None, "run_once": True}]}]


@pytest.mark.parametrize(
    ("name", "groups", "said"),
    [
        ("control", {"headscale": {"hosts": {"control": None}}}, "a node of the mesh has the same name"),
        ("later", {"headscale": {"hosts": {"api": None}}, "later": {"hosts": {"x": None}}}, "a host and of a group"),
    ],
)
def test_a_source_that_is_read_later_is_not_taken_over(
    tmp_path: Path, name: str, groups: dict[str, Any], said: str
) -> None:
    (tmp_path / "play.yml").write_text(yaml.safe_dump(TOPOLOGY), encoding="utf-8")
    with hostile_server(answer(json.dumps({"nodes": [node(1, name), node(2, "laptop")]}))) as server:
        write_sources(tmp_path, server.url)
        (tmp_path / "hosts" / "z.yml").write_text(yaml.safe_dump({"all": {"children": groups}}), encoding="utf-8")
        done = ansible(tmp_path, "ansible-playbook", "play.yml")
    assert done.returncode != 0
    assert said in " ".join((done.stdout + done.stderr).split())
