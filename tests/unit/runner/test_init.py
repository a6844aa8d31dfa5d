# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory that `meshctl init` writes."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from meshctl_headscale import _init
from meshctl_headscale._exit import BadInputError

_SOURCE = _init.Source(url="https://headscale.example.com")


def _node(name: str, **more: Any) -> dict[str, Any]:
    node = {"given_name": name, "name": name, "online": True, "expired": False, "tags": [], "user": {"name": "alice"},
            "ip_addresses": ["100.64.0.1", "fd7a:115c:a1e0::1"]}  # fmt: skip
    return {**node, **more}


def _written(nodes: list[dict[str, Any]], place: str = "/keys/headscale", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_init.inventory(_SOURCE, place, nodes, **more))["all"]
    return found


def test_nodes_that_are_there_are_clients_and_the_others_are_put_aside() -> None:
    groups = _written([_node("a"), _node("b", online=False), _node("c", expired=True)])["children"]
    assert groups["clients"]["hosts"] == {"a": {"ansible_host": "100.64.0.1"}}
    assert set(groups["offline"]["hosts"]) == {"b", "c"}
    assert groups["headscale"]["hosts"] == {"headscale.example.com": {"ansible_connection": "local"}}


def test_owners_become_groups_where_there_are_several() -> None:
    nodes = [_node("a"), _node("b", user={"name": "bob.b"}), _node("c", tags=["tag:web"], user=None)]
    groups = _written(nodes)["children"]
    assert {"user_alice", "user_bob_b", "tag_web"} <= set(groups)
    assert set(_written([_node("a")])["children"]) == {"headscale", "clients"}


def test_the_place_of_the_key_is_kept_and_never_the_key() -> None:
    assert _written([_node("a")])["vars"]["mesh_api_key_file"] == "/keys/headscale"
    text = _init.inventory(_SOURCE, "HEADSCALE_API_KEY", [_node("a")])
    assert "mesh_api_key_file" not in text
    assert "HEADSCALE_API_KEY_FILE in the environment" in text


def test_the_proposal_or_why_there_is_none() -> None:
    entries = [{"from": "a", "to": "b", "reach": False}]
    assert _written([_node("a")], expected=entries)["vars"]["mesh_expect"] == entries
    assert "could not be proposed: odd" in _init.inventory(_SOURCE, "x", [_node("a")], problem="odd")


def test_the_proposal_knows_a_renamed_user_by_the_new_name() -> None:
    users = [{"id": "1", "name": "new"}]
    nodes = [
        _node("a", id="1", user={"id": "1", "name": "old"}),
        _node("b", id="2", user={"id": "1", "name": "new"}, ip_addresses=["100.64.0.2"]),
    ]
    for source, reached in (("new@", True), ("old@", False)):
        policy = {"policy": json.dumps({"acls": [{"action": "accept", "src": [source], "dst": ["*:*"]}]})}
        expected, problem = _init._expected(nodes, policy, users)
        assert (not expected, problem) == (reached, "")


def test_a_node_called_as_the_server_keeps_its_name() -> None:
    groups = _written([_node("headscale.example.com")])["children"]
    assert "headscale.example.com" in groups["clients"]["hosts"]
    assert list(groups["headscale"]["hosts"]) == ["headscale.example.com-server"]


@pytest.mark.parametrize("name", ["localhost", "all", "clients", "headscale"])
def test_a_node_whose_name_means_something_else_in_an_inventory_gets_another(name: str) -> None:
    groups = _written([_node(name), _node("b", user={"name": "bob"})])["children"]
    assert groups["clients"]["hosts"][f"{name}-node"] == {"mesh_node_name": name, "ansible_host": "100.64.0.1"}
    assert set(groups["user_alice"]["hosts"]) == {f"{name}-node"}


@pytest.mark.parametrize("url", ["https://localhost:8443", "http://127.0.0.1:8080", "https://[::1]"])
def test_a_server_on_this_machine_is_not_taken_for_the_controller(url: str) -> None:
    text = _init.inventory(_init.Source(url=url), "/keys/headscale", [_node("a")])
    assert list(yaml.safe_load(text)["all"]["children"]["headscale"]["hosts"]) == ["headscale-api"]


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    _init.refuse_to_overwrite(str(path), force=False)
    path.touch()
    with pytest.raises(BadInputError, match="--force"):
        _init.refuse_to_overwrite(str(path), force=False)
    _init.refuse_to_overwrite(str(path), force=True)
    _init.refuse_to_overwrite("-", force=False)


@pytest.mark.parametrize(("mode", "kept"), [(0o664, 0o644), (0o600, 0o600)])
def test_the_old_inventory_stays_until_the_new_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, kept: int
) -> None:
    def full(_descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "hosts.yml"
    path.write_text("old")
    path.chmod(mode)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BadInputError, match="cannot be written: No space left on device"):
            _init.write("new", str(path), force=True)
    assert path.read_text() == "old"
    _init.write("new", str(path), force=True)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", kept)
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_key_and_a_terminal_the_ways_to_give_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSCALE_API_KEY", raising=False)
    monkeypatch.delenv("HEADSCALE_API_KEY_FILE", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(BadInputError, match="--api-key-file"):
        _SOURCE.api_key()


def test_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADSCALE_API_KEY", raising=False)
    file = tmp_path / "key"
    file.write_text("from a file\n", encoding="utf-8")
    monkeypatch.setenv("HEADSCALE_API_KEY_FILE", str(file))
    assert _SOURCE.api_key() == ("from a file", str(file))
    monkeypatch.setenv("HEADSCALE_API_KEY", "from the environment")
    assert _SOURCE.api_key() == ("from the environment", "HEADSCALE_API_KEY")
