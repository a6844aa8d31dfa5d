# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of `up` note, and how a mesh is compared with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import package, remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._standing import notes, standing
from project import COLLECTION, ROOT

JOINED = {
    "state": "joined",
    "login_server": "https://h.test",
    "hostname": "a",
    "accept_dns": True,
    "socket": "/s",
    "timeout": 30,
}
WEB = {"state": "started", "name": "web", "command": ["nginx"], "ready": {"tcp": ["127.0.0.1", "80"]}}


def _lines(*more: tuple[str, str, dict[str, Any]]) -> list[str]:
    noted = [
        ("binaries", "", {"found": {"headscale": "/bin/h"}, "paths": {}, "versions": {}}),
        ("lab", "", {"name": "l", "server": {}, "topology": {}, "programs": {}}),
        ("service", "a", WEB),
        ("client", "a", {**JOINED, "auth_key": None, "require": False, "force": False}),
        ("nodes", "h", {"url": "https://h.test", "api_key_file": "/key"}),
        ("addresses", "a", {"addresses": ["100.64.0.1"]}),
        *more,
    ]
    return [json.dumps({"kind": kind, "host": host, "data": data}) for kind, host, data in noted]


def _notes() -> notes.Notes:
    found = notes.read(_lines())
    assert found is not None
    return found


def test_a_client_that_first_had_to_register_is_compared_without_its_key() -> None:
    found = notes.read(_lines(("client", "a", {**JOINED, "auth_key": None, "require": True, "force": True})))
    assert found is not None
    assert found.clients == {"a": JOINED}
    assert found.services == {"a": [WEB]}


@pytest.mark.parametrize(
    "more",
    [
        ("service", "a", {**WEB, "command": ["other"]}),
        ("service", "b", {**WEB, "state": "restarted"}),
        ("client", "a", {**JOINED, "hostname": "b"}),
        ("client", "b", {**JOINED, "state": "down"}),
        ("nodes", "g", {"url": "https://h.test", "api_key_file": "/key"}),
        ("addresses", "a", {"addresses": []}),
        ("odd", "a", {}),
    ],
)
def test_what_cannot_be_compared_again_is_left_to_a_play(more: tuple[str, str, dict[str, Any]]) -> None:
    assert notes.read(_lines(more)) is None


@pytest.mark.parametrize("kind", ["binaries", "lab", "nodes"])
def test_notes_without_a_part_are_none(kind: str) -> None:
    assert notes.read([line for line in _lines() if f'"{kind}"' not in line]) is None


def test_half_a_line_makes_no_notes() -> None:
    assert notes.read([*_lines(), '{"kind": "serv']) is None


def test_a_note_is_appended_only_where_meshctl_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes"
    monkeypatch.delenv(notes.VARIABLE, raising=False)
    notes.note("service", "a", WEB)
    monkeypatch.setenv(notes.VARIABLE, str(path))
    notes.note("service", "a", WEB)
    assert not path.exists(), "a file that meshctl has removed is not made again"
    path.touch()
    notes.note("service", "a", WEB)
    notes.note("odd", "b", {})
    assert [json.loads(line)["host"] for line in path.read_text(encoding="utf-8").splitlines()] == ["a", "b"]


def test_notes_that_cannot_be_complete_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes"
    path.symlink_to("/dev/full")
    monkeypatch.setenv(notes.VARIABLE, str(path))
    notes.note("service", "a", WEB)
    assert not path.is_symlink()


def _observed(data: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "data": data}


def _answers() -> dict[str, Any]:
    me = {"PublicKey": "nodekey:1", "TailscaleIPs": ["100.64.0.1"]}
    status = {"BackendState": "Running", "HaveNodeKey": True, "Self": me}
    prefs = {"ControlURL": "https://h.test", "Hostname": "a", "CorpDNS": True}
    return {
        "a": {"changes": [], "observations": {"status": _observed(status), "prefs": _observed(prefs)}},
        "h": {"changes": [], "observations": {"nodes": _observed({"nodes": [{"nodeKey": "nodekey:1"}]})}},
    }


def test_a_mesh_as_it_was_does_not_differ() -> None:
    assert standing.difference(_notes(), _answers()) == ""


def _set(*path: str) -> Callable[[dict[str, Any], Any], None]:
    def change(answers: dict[str, Any], value: object) -> None:
        where = answers
        for name in path[:-1]:
            where = where[name]
        where[path[-1]] = value

    return change


STATUS = ("a", "observations", "status", "data")
PREFS = ("a", "observations", "prefs", "data")
DIFFERENCES: list[tuple[tuple[str, ...], object, str]] = [
    (("a", "changes"), ["file /etc/x written"], "a: file /etc/x written"),
    (("h", "changes"), ["/var/x is not empty"], "h: /var/x is not empty"),
    (("a", "changes"), None, "a: no answer"),
    (("a", "changes"), {}, "a: no answer"),
    (("a",), {"observations": {}, "failure": {"message": "it hung"}}, "a: no answer"),
    (("a",), "nonsense", "a: no answer"),
    (("h",), {}, "h: no answer"),
    ((*STATUS, "BackendState"), "Stopped", "a: client is up"),
    ((*STATUS, "BackendState"), "NeedsLogin", "a: node registered with https://h.test"),
    ((*STATUS, "BackendState"), "Starting", "the node is registered, but still connecting"),
    ((*STATUS, "BackendState"), "NeedsMachineAuth", "the control server has not approved"),
    ((*STATUS, "Self"), {"PublicKey": "nodekey:2"}, "a: the server does not know its node"),
    ((*STATUS, "Self"), [], "a: the server does not know its node"),
    ((*STATUS, "Self", "TailscaleIPs"), ["100.64.0.9"], "a: its mesh addresses have changed"),
    ((*PREFS, "Hostname"), "b", "a: hostname set to a"),
    ((*PREFS, "CorpDNS"), False, "a: accept_dns set to true"),
    ((*PREFS, "LoggedOut"), True, "a: node registered"),
    ((*PREFS, "ControlURL"), "https://other.test", "a: node registered"),
    (("a", "observations", "prefs"), {"ok": False, "error": {"message": "no tailscaled"}}, "a: no tailscaled"),
    (("a", "observations", "status"), {"ok": "yes", "data": {"x": 1}}, "a: the host did not report"),
    (("h", "observations", "nodes", "data"), {"nodes": []}, "a: the server does not know its node"),
    (("h", "observations", "nodes", "data"), {"nodes": [[], {"nodeKey": ["nodekey:1"]}]}, "a: the server does not"),
    (("h", "observations", "nodes"), {"ok": False, "error": {"message": "refused"}}, "h: refused"),
]


@pytest.mark.parametrize(("path", "value", "said"), DIFFERENCES)
def test_each_difference_is_told(path: tuple[str, ...], value: object, said: str) -> None:
    answers = copy.deepcopy(_answers())
    _set(*path)(answers, value)
    assert said in standing.difference(_notes(), answers)


def test_the_hosts_are_asked_for_all_that_is_compared() -> None:
    asked = standing.requests(_notes())
    assert asked["a"]["services"] == [WEB]
    assert [question["id"] for question in asked["a"]["observe"]] == ["status", "prefs"]
    assert asked["h"]["observe"] == [
        {"id": "nodes", "kind": "headscale", "path": "/api/v1/node", "url": "https://h.test", "api_key_file": "/key"}
    ]
    assert asked["h"]["empty"]


def _sent(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of the script from another process, as on a host."""
    source = package.script_with("look", "apply", "probe")
    return remote.run_in(list, source, {"services": [], "observe": [], "empty": [], **request}, deadline_s=5)


def test_the_script_tells_what_is_not_empty_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("x", encoding="utf-8")
    (tmp_path / "void").touch()
    files = [str(tmp_path / name) for name in ("full", "void", "missing")]
    assert _sent({"empty": files})["changes"] == [f"{files[0]} is not empty"]
    wanted = {**WEB, "files": [{"path": str(tmp_path / "web.conf"), "content": "x", "mode": "0644"}], "manager": "s6"}
    changes = _sent({"services": [wanted]})["changes"]
    assert f"file {tmp_path}/web.conf written" in changes
    assert not (tmp_path / "web.conf").exists()


# The tasks of `up` by action. Who adds one also has it note what it compares, or sees that its condition is compared.
COMPARED = {
    "meshctl.headscale.topology",  # the fingerprint has the inventory
    "meshctl.headscale.binaries",
    "meshctl.headscale.lab",
    "meshctl.headscale.fault",
    "meshctl.headscale.service",
    "meshctl.headscale.client",
    "meshctl.headscale.client_info",
    "meshctl.headscale.unknown_nodes_info",
}
ELSEWHERE = {
    "ansible.builtin.include_role",
    "ansible.builtin.include_tasks",
    "ansible.builtin.import_tasks",
    "ansible.builtin.meta",
    "ansible.builtin.fail",
    "ansible.builtin.add_host",  # slices only
}
# Conditions: a recent API key, which the comparison itself uses, and the notes of the story about the policy.
CONDITIONS = {
    "roles/headscale_server/tasks/main.yml": 1,
    "policy/restore.yml": 1,
}
# They run only if a condition holds: no recent API key, a client that must register, something that a story has left. The first
# policy need not be compared: an `up` that does not set it fails, and a server keeps the policy that it has.
CONDITIONAL = (
    "api_key.yml",
    "tasks/policy.yml",
    "preauthkey.yml",
    "register.yml",
    "policy/undo.yml",
    "existing/ready.yml",
)


def _tasks(entries: list[Any]) -> list[dict[str, Any]]:
    found = []
    for entry in entries:
        inner = [task for part in ("tasks", "block", "rescue", "always") for task in entry.get(part) or []]
        found += _tasks(inner) if inner else [entry]
    return found


def _files() -> list[Path]:
    playbooks, roles = ROOT / "playbooks", COLLECTION / "roles"
    used = (
        "lab_web",
        "lab_resolver",
        "derp_relay",
        "lab_database",
        "headscale_server",
        "tailscale_client",
        "mesh_service",
    )
    return [
        playbooks / "up.yml",
        playbooks / "tasks" / "server.yml",
        playbooks / "tasks" / "policy" / "restore.yml",
        *(path for role in used for path in sorted((roles / role / "tasks").glob("*.yml"))),
    ]


def test_every_task_of_up_is_compared() -> None:
    for path in _files():
        if str(path).endswith(CONDITIONAL):
            continue
        raw = 0
        for task in _tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            (action,) = [key for key in task if "." in key]
            raw += action == "ansible.builtin.raw"
            assert action in COMPARED | ELSEWHERE | {"ansible.builtin.raw"}, f"{path}: {task['name']}"
        assert raw == next((count for end, count in CONDITIONS.items() if str(path).endswith(end)), 0), path


def test_up_uses_no_other_file_than_those() -> None:
    known = {path.name for path in _files()} | {Path(name).name for name in CONDITIONAL}
    roles = {path.parent.parent.name for path in _files()}
    for path in _files():
        for task in _tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            included = task.get("ansible.builtin.include_tasks") or task.get("ansible.builtin.import_tasks")
            assert included is None or Path(included).name in known, f"{path}: {included}"
            role = (task.get("ansible.builtin.include_role") or {}).get("name", "")
            if role == "{{ item }}":
                assert all(f"meshctl.headscale.{name}" in task["loop"] for name in ("lab_resolver", "derp_relay"))
                assert task["loop"].count("meshctl.headscale.") == len(("lab_resolver", "derp_relay"))
            elif role:
                assert role.removeprefix("meshctl.headscale.") in roles, f"{path}: {role}"
