# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role headscale_server writes, what it refuses, and when it looks after the API key and the policy."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from project import COLLECTION, ROOT

_ROLE = COLLECTION / "roles" / "headscale_server"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _trusted(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_trusted(entry) for entry in value]
    return trust_as_template(value) if isinstance(value, str) else value


def _templar(**variables: Any) -> Templar:
    known = {**_read(_ROLE / "defaults" / "main.yml"), "mesh_server_url": "https://h.test", "groups": {}}
    return Templar(loader=DataLoader(), variables=_trusted({**known, **variables}))


def _file(name: str, **variables: Any) -> Any:
    text = (_ROLE / "templates" / f"{name}.j2").read_text(encoding="utf-8")
    return yaml.safe_load(_templar(**variables).template(trust_as_template(text)))


def _task(name: str, file: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = next(
        task for task in _read(_ROLE / "tasks" / f"{file}.yml") if str(task["name"]).startswith(name)
    )
    return found


def _due(task: dict[str, Any], **variables: Any) -> bool:
    templar = _templar(**task.get("vars", {}), **variables)
    return bool(templar.evaluate_conditional(trust_as_template(task["when"])))


@pytest.mark.parametrize(
    ("address", "listens", "probed"),
    [
        ("0.0.0.0", "0.0.0.0:443", "127.0.0.1"),
        ("::", "[::]:443", "127.0.0.1"),
        ("[::]", "[::]:443", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1:443", "127.0.0.1"),
        ("::1", "[::1]:443", "::1"),
        ("10.0.0.5", "10.0.0.5:443", "10.0.0.5"),
        ("fd00::5", "[fd00::5]:443", "fd00::5"),
        ("[fd00::5]", "[fd00::5]:443", "fd00::5"),
        ("fe80::5%eth0", "[fe80::5%eth0]:443", "fe80::5%eth0"),
    ],
)
def test_the_server_is_probed_where_it_listens(address: str, listens: str, probed: str) -> None:
    variables = {"headscale_server_listen_address": address}
    assert _file("config.yaml", **variables)["listen_addr"] == listens
    run = _task("Run Headscale")
    ready = _trusted(run["meshctl.headscale.service"]["ready"]["tcp"])
    assert _templar(address=run["vars"]["address"], **variables).template(ready) == [probed, 443]
    assert not _due(_task("Refuse a wrong listen address"), **variables)


@pytest.mark.parametrize(
    "address", ["", "0.0.0.0:8080", "[::]:443", "eth0", "10.0.0", "10.0.0.5/24", "a:b::c d", "::/0"]
)
def test_a_wrong_listen_address_is_refused(address: str) -> None:
    task = _task("Refuse a wrong listen address")
    assert _due(task, headscale_server_listen_address=address)
    said = _templar(headscale_server_listen_address=address).template(_trusted(task["ansible.builtin.fail"]["msg"]))
    assert f'headscale_server_listen_address is "{address}": write an IP address' in said


def _node(**relay: Any) -> dict[str, Any]:
    written = _file("derp.yaml", headscale_server_relays=[{"name": "relay.test", **relay}])
    node: dict[str, Any] = written["regions"][900]["nodes"][0]
    return node


def test_clients_resolve_a_relay_without_an_address() -> None:
    assert _node(address="203.0.113.10")["ipv4"] == "203.0.113.10"
    for relay in ({}, {"address": ""}, {"address": None}):
        node = _node(**relay)
        assert "ipv4" not in node
        assert node["hostname"] == "relay.test"


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("203.0.113.10", False),
        ("10.0.0.5", False),
        ("", False),
        (None, False),
        ("relay.test", True),
        ("203.0.113.256", True),
        ("203.0.113.010", True),
        ("203.0.113", True),
        ("2001:db8::1", True),
        ("203.0.113.10:443", True),
    ],
)
def test_an_address_that_clients_would_not_take_is_refused(address: str | None, refused: bool) -> None:
    relays = [{"name": "other.test"}, {"name": "relay.test", "address": address}]
    assert _due(_task("Refuse a wrong address of a relay"), headscale_server_relays=relays) == refused


_PLACES = {
    "lab": ({"public_address": "203.0.113.10"}, {"address": "203.0.113.10"}),
    "no place": (None, {}),
    "no public address": ({"public_address": None}, {}),
    "IPv6": ({"public_address": "2001:db8::1"}, {}),
}


def _relays(place: dict[str, Any] | None = None, *, of_host: dict[str, Any], **variables: Any) -> Any:
    play = next(play for play in _read(ROOT / "playbooks" / "up.yml") if play["name"] == "Mesh")
    known: dict[str, Any] = {
        "mesh_relays": play["vars"]["mesh_relays"],
        "mesh_topology": {"r1": place} if place else {},
        "groups": {"relays": ["r1"]},
        "hostvars": {"r1": {"ansible_host": "10.9.9.9", **of_host}},
        **variables,
    }
    return _templar(**known).template(trust_as_template("{{ headscale_server_relays }}"))


@pytest.mark.parametrize("place", _PLACES)
def test_the_relays_of_the_inventory_have_public_addresses_only(place: str) -> None:
    known, expected = _PLACES[place]
    named = {"mesh_names": ["relay.test"]}
    assert _relays(known, of_host=named) == [{"name": "relay.test", **expected}]
    own = [{"name": "own.test", "address": "192.0.2.1"}]
    assert _relays(known, of_host=named, headscale_server_relays=own) == own


@pytest.mark.parametrize("names", [{}, {"mesh_names": []}, {"mesh_names": ["relay.test"]}])
def test_a_relay_has_the_name_of_its_certificate(names: dict[str, Any]) -> None:
    assert _relays(of_host={**names, "derp_relay_name": "derp.test"}) == [{"name": "derp.test"}]


@pytest.mark.parametrize("names", [{}, {"mesh_names": []}])
def test_a_relay_without_a_name_is_not_left_out(names: dict[str, Any]) -> None:
    with pytest.raises(AnsibleUndefinedVariable):
        _relays(of_host=names)
    own = [{"name": "own.test"}]
    assert _relays(of_host=names, headscale_server_relays=own) == own


def test_the_playbook_leaves_the_relays_to_the_inventory() -> None:
    (task,) = (task for task in _read(ROOT / "playbooks" / "tasks" / "server.yml") if task["name"] == "Control server")
    assert "headscale_server_relays" not in task.get("vars", {})


def _recent(path: Path) -> bool:
    script = _templar(headscale_server_api_key_file=str(path)).template(
        trust_as_template(_task("Look for an API key")["ansible.builtin.raw"])
    )
    return subprocess.run(["/bin/sh", "-c", script], check=False).returncode == 0


def test_a_key_is_looked_after_unless_it_is_recent(tmp_path: Path) -> None:
    key = tmp_path / "a key"
    assert not _recent(key)
    key.touch()
    assert not _recent(key)
    key.write_text("k", encoding="utf-8")
    assert _recent(key)
    link = tmp_path / "link"
    link.symlink_to(key)
    assert _recent(link)
    for days, recent in ((29, True), (31, False), (90, False)):
        then = time.time() - days * 86400
        os.utime(key, (then, then))
        assert (_recent(key), _recent(link)) == (recent, recent), days
    task = _task("API key")
    assert _due(task, headscale_server_api_key_recent={"rc": 1})
    assert not _due(task, headscale_server_api_key_recent={"rc": 0})


def test_a_policy_is_set_only_where_the_server_has_none() -> None:
    assert _due(_task("First policy"), headscale_server_policy={"acls": []})
    assert not _due(_task("First policy"))
    task = _task("Set the first policy", "policy")
    assert _due(task, headscale_server_policy_found={"policy": None})
    for policy in ("{}", ""):
        assert not _due(task, headscale_server_policy_found={"policy": policy}), "the administrator's"
    assert "api_key" not in yaml.safe_dump(_task("First policy")["when"]), "a failed attempt is repeated"
