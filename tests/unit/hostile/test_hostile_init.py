# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl init` against a hostile server: the file that it writes is code, and no text of the server becomes code."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadAnswerError
from hostile_server import answer, hostile_server
from hypothesis import given
from hypothesis import strategies as st
from meshctl_headscale import _init
from meshctl_headscale._exit import BadInputError, MeshctlError
from sample import examples

KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
_SOURCE = _init.Source(url="https://headscale.example.com")
_NASTY = st.sampled_from(
    ["{{ lookup('pipe', 'id') }}", "{% if 1 %}", "a\nb: c", "a\r\n- x", "# x", "'", '"', "!unsafe x", "&a", "*a", "\u2028x", "\x85y", "null",
     "no", "0x1", "1e3", "\u202e", "all", "x", "LOCALHOST", "headscale", "web", "WEB", "-oProxyCommand=id", "100.64.0.1", ""]
)  # fmt: skip
TEXTS = _NASTY | st.text(max_size=12)


def record(**fields: Any) -> dict[str, Any]:
    return {
        "id": "1", "given_name": "a", "name": "a", "online": True, "expired": False, "tags": [], "user": {"name": "alice"},
        "ip_addresses": ["100.64.0.1"], **fields,
    }  # fmt: skip


RECORDS = st.builds(
    record,
    given_name=TEXTS,
    name=TEXTS,
    online=st.booleans(),
    tags=st.lists(TEXTS, max_size=2),
    user=st.none() | st.builds(dict, name=TEXTS, email=TEXTS),
    ip_addresses=st.lists(TEXTS, max_size=3),
)


@examples(200)
@given(st.lists(RECORDS, max_size=6), TEXTS)
def test_only_names_and_addresses_get_into_the_file(nodes: list[dict[str, Any]], problem: str) -> None:
    text = _init.inventory(_SOURCE, "/keys/headscale", nodes, problem=problem)
    document = yaml.safe_load(text)["all"]
    assert set(document) == {"vars", "children"}
    assert document["vars"] == {
        "mesh_backend": "hosts",
        "mesh_server_url": _SOURCE.url,
        "mesh_api_key_file": "/keys/headscale",
    }
    names: list[str] = []
    for group, members in document["children"].items():
        assert re.fullmatch(r"[A-Za-z0-9_]+", group)
        for name, variables in members["hosts"].items():
            assert re.fullmatch(r"[A-Za-z0-9.-]+", name)
            if group in ("clients", "offline"):
                names.append(name.lower())
                assert set(variables) <= {"ansible_host", "mesh_node_name"}
                if "ansible_host" in variables:
                    ipaddress.ip_address(variables["ansible_host"])
                assert re.fullmatch(r"[A-Za-z0-9.-]+", variables.get("mesh_node_name", "x"))
    assert len(names) == len(set(names))
    assert not set(names) & {group.lower() for group in document["children"]}
    assert [*document["children"]["headscale"]["hosts"].values()] == [{"ansible_connection": "local"}]
    # Whatever a YAML reader takes for the end of a line, the comments end there and nowhere else.
    assert all(line.startswith("#") for line in text.split("all:")[0].splitlines()[1:])


def initialised(directory: Path, nodes: list[Any], policy: str) -> str:
    """Return what `meshctl init` writes about these nodes."""
    (directory / "key").write_text(KEY, encoding="utf-8")
    document = json.dumps({"nodes": nodes, "policy": policy})
    with hostile_server(answer(document)) as server:
        return _init.compose(_init.Source(url=server.url, api_key_file=directory / "key"), expect=True)


def test_ansible_runs_no_text_of_the_server(tmp_path: Path) -> None:
    evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(tmp_path / "owned") + "') }}"
    nodes = [
        {"id": "1", "givenName": "a", "name": evil, "ipAddresses": [evil], "online": True, "user": {"id": "1", "name": evil}},
        {"id": "2", "givenName": evil, "name": "b", "ipAddresses": ["100.64.0.2"], "online": True},
        {"id": "3", "givenName": "c", "name": "c", "ipAddresses": ["100.64.0.3", evil], "online": True, "tags": ["tag:" + evil]},
    ]  # fmt: skip
    policy = json.dumps(
        {"acls": [{"action": "accept", "src": ["group:x\nall:\n  vars:\n    x: " + evil], "dst": ["*:*"]}]}
    )
    (tmp_path / "hosts.yml").write_text(initialised(tmp_path, nodes, policy), encoding="utf-8")
    play = [{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": [{"debug": {"var": "hostvars"}}]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
        env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "owned").exists()
    assert set(yaml.safe_load((tmp_path / "hosts.yml").read_text())["all"]["children"]["clients"]["hosts"]) == {
        "a",
        "c",
    }


@pytest.mark.parametrize(
    "policy",
    [
        {"groups": {"group:a": ["group:a"]}, "acls": [{"src": ["group:a"], "dst": ["*:*"]}]},
        {"groups": {"group:a": ["group:b"], "group:b": ["group:a"]}, "acls": [{"src": ["group:b"], "dst": ["*:*"]}]},
        {"groups": ["x"]},
        {"groups": {"group:a": 7}},
        {"hosts": 7},
        {"acls": [{"src": 7, "dst": []}]},
        {"acls": [{"action": {}, "src": ["*"], "dst": ["*:*"]}]},
        {"acls": [{"src": ["*"] * 20_000, "dst": [f"h{n}:1" for n in range(200)]}] * 3},
        {"groups": {"group:a": ["x@y"] * 30_000}, "acls": [{"src": ["group:a"] * 3000, "dst": ["*:*"]}]},
        "\x1b]0;x\x07",
    ],
    ids=["self", "cycle", "list", "number", "hosts", "names", "action", "many", "group", "escape"],
)
def test_a_hostile_policy_is_a_comment_in_bounded_time(tmp_path: Path, policy: Any) -> None:
    nodes = [
        {"id": str(n), "givenName": f"n{n}", "ipAddresses": [f"100.64.0.{n}"], "online": True} for n in range(1, 60)
    ]
    began = time.process_time()
    text = initialised(tmp_path, nodes, policy if isinstance(policy, str) else json.dumps(policy))
    assert "mesh_expect could not be proposed" in text
    assert max(map(len, text.splitlines())) < 320
    assert "\x1b" not in text
    assert time.process_time() - began < 5


def test_a_server_with_nodes_without_names_still_ends_in_a_file(tmp_path: Path) -> None:
    nodes = [{"id": str(n), "givenName": "same\u202e\x1b" if n % 2 else "same"} for n in range(1, 2000)]
    text = initialised(tmp_path, nodes, "")
    assert text.isascii() or "…" in text
    assert "Left out, as their names are taken or no DNS names" in text
    assert "\x1b" not in text


def test_a_server_without_nodes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeshctlError, match="no nodes"):
        initialised(tmp_path, [], "")


def test_the_file_follows_no_link_and_only_its_owner_writes_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(BadInputError, match="cannot be written"):
        _init.write("x", str(tmp_path / "link"))
    assert not (tmp_path / "victim").exists()
    before = os.umask(0)
    try:
        _init.write("x", str(tmp_path / "hosts.yml"))
    finally:
        os.umask(before)
    assert (tmp_path / "hosts.yml").stat().st_mode & 0o022 == 0


def test_a_policy_without_rules_takes_bounded_time() -> None:
    nodes = [record(id=str(number), given_name=f"n{number}") for number in range(3000)]
    began = time.process_time()
    expected, problem = _init._expected(nodes, {"policy": '{"acls": []}'})
    assert time.process_time() - began < 5
    assert expected == []
    assert problem.endswith("too many for 3000 nodes")


@pytest.mark.parametrize(("count", "tags"), [(20_001, 0), (100, 101)], ids=["nodes", "tags"])
def test_more_hosts_or_groups_than_ansible_can_hold_are_refused(count: int, tags: int) -> None:
    nodes = [{"id": str(number), "tags": [f"tag:{number}-{tag}" for tag in range(tags)]} for number in range(count)]
    with (
        hostile_server(answer(json.dumps({"nodes": nodes}))) as server,
        pytest.raises(BadAnswerError, match="are read"),
    ):
        HeadscaleAPI(url=server.url, api_key=KEY, timeout=60).list_nodes()
