# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of the API run on the controller, and on the host where that is needed."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.meshctl.headscale.plugins.action import node, node_info, policy, preauthkey
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import api
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = {"url": "https://headscale.test", "api_key_file": "/key"}
BY_MODULE = {"changed": False, "by": "module"}


class _Host:
    """Answers requests, in order, in place of a host."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, _action: object, source: str, request: dict[str, Any], *, deadline_s: float) -> dict[str, Any]:
        assert "def main" in source
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(document: object, *, status: int = 200, exposed: bool = False) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Location": "", "Date": "Sat, 31 Jan 2026 12:00:00 GMT"}
    return {"status": status, "body": json.dumps(document), "headers": headers, "exposed": exposed}


def known(number: str, name: str) -> dict[str, Any]:
    user = {"id": "1", "name": "default", "createdAt": "2026-01-31T12:00:00Z"}
    return {
        "id": number, "name": name, "givenName": name, "user": user, "ipAddresses": [f"100.64.0.{number}"], "online": True,
        "createdAt": "2026-01-31T12:00:00Z", "registerMethod": "REGISTER_METHOD_AUTH_KEY", "nodeKey": f"nodekey:{number}",
        "machineKey": f"mkey:{number}", "discoKey": f"discokey:{number}",
    }  # fmt: skip


NODES = answer({"nodes": [known("1", "one"), known("2", "two")]})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    monkeypatch.setattr(ActionBase, "run", lambda *_args: {})
    monkeypatch.setattr(ActionBase, "_execute_module", lambda *_args, **_named: dict(BY_MODULE))

    def run(plugin: Any, host: _Host, check: bool = False, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(api, "run_script", host)
        action = object.__new__(plugin.ActionModule)
        action._task = SimpleNamespace(args={**SERVER, **options}, check_mode=check, async_val=0, environment=None)
        found: dict[str, Any] = action.run()
        return found

    return run


def test_nodes_are_listed_without_sending_the_module(run: Callable[..., dict[str, Any]]) -> None:
    host = _Host(NODES)
    found = run(node_info, host, name="two")
    assert [one["id"] for one in found["nodes"]] == ["2"]
    assert host.asked[0]["api_key_file"] == "/key"
    assert "Authorization" not in host.asked[0]["headers"]


def test_a_node_is_renamed_and_check_mode_only_looks(run: Callable[..., dict[str, Any]]) -> None:
    renamed = known("1", "uno")
    listed = {**renamed, "subnetRoutes": ["10.0.0.0/24"]}
    host = _Host(NODES, answer({"node": renamed}), answer({"nodes": [listed]}))
    found = run(node, host, id="1", new_name="uno")
    assert found["changed"]
    assert (found["node"]["given_name"], found["node"]["subnet_routes"]) == ("uno", ["10.0.0.0/24"])
    assert [one["method"] for one in host.asked] == ["GET", "POST", "GET"]
    host = _Host(NODES)
    assert run(node, host, check=True, id="1", new_name="uno")["changed"]
    assert len(host.asked) == 1


def test_a_refusal_is_in_the_servers_words(run: Callable[..., dict[str, Any]]) -> None:
    found = run(node, _Host(NODES, answer({"message": "no such luck"}, status=500)), id="1", state="absent")
    assert found["failed"]
    assert "no such luck" in found["msg"]


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "k"}, {"ca_path": "/ca"}, {"validate_certs": False}, {"timeout": 3}, {"use_proxy": True}, {"url": None},
        {"url": "http://headscale.test"}, {"api_key_file": None}, {"nmae": "x"}, {"online": "perhaps"},
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_the_module(run: Callable[..., dict[str, Any]], options: dict[str, Any]) -> None:
    host = _Host()
    assert run(node_info, host, **options) == BY_MODULE
    assert not host.asked


@pytest.mark.parametrize(
    ("variables", "options", "sent"),
    [
        ({"mesh_ca_path": "/ca"}, {}, {"ca_path": "/ca"}),
        ({"mesh_ca_path": "{{ home }}/ca"}, {}, {"ca_path": "/home/ca"}),
        ({"mesh_ca_path": "/ca"}, {"ca_path": "/own"}, {"ca_path": "/own"}),
        ({"mesh_ca_path": "/ca"}, {"ca_file": "/own"}, {"ca_file": "/own"}),
        ({"mesh_ca_path": ""}, {}, None),
        ({"mesh_ca_path": None}, {}, None),
        ({"mesh_ca_path": "{{ none }}"}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_module_gets_the_certificates_that_the_inventory_names(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any], options: dict[str, str], sent: dict[str, str] | None
) -> None:
    modules: list[dict[str, Any]] = []
    monkeypatch.setattr(ActionBase, "run", lambda *_args: {})
    monkeypatch.setattr(
        ActionBase, "_execute_module", lambda *_args, **named: modules.append(named["module_args"]) or dict(BY_MODULE)
    )
    host = _Host(NODES)
    monkeypatch.setattr(api, "run_script", host)
    action = object.__new__(node_info.ActionModule)
    args = {**SERVER, **options}
    action._task = SimpleNamespace(args=args, check_mode=False, async_val=0, environment=None)
    action._templar = SimpleNamespace(
        template=lambda text: {"{{ home }}/ca": "/home/ca", "{{ none }}": ""}.get(text, text)
    )
    action.run(None, variables)
    assert modules == ([{**SERVER, **sent}] if sent else [])
    assert len(host.asked) == (0 if sent else 1), "without certificates, no module is sent"
    assert args == {**SERVER, **options}


def test_files_on_the_host_are_left_to_the_module(run: Callable[..., dict[str, Any]]) -> None:
    assert run(policy, _Host(), src="/policy").items() >= BY_MODULE.items()
    assert run(preauthkey, _Host(), user="u", path="/kept") == BY_MODULE


@pytest.mark.parametrize(
    "trouble",
    [RemoteError("no_python", "none"), {"problem": "no route"}, answer({}, status=401), answer({}, status=403)],
    ids=["host", "network", "401", "403"],
)
def test_the_module_explains_trouble(run: Callable[..., dict[str, Any]], trouble: Any) -> None:
    assert run(node_info, _Host(trouble)) == BY_MODULE


def test_a_change_whose_answer_was_lost_counts(run: Callable[..., dict[str, Any]]) -> None:
    found = run(node, _Host(NODES, {"problem": "cut off"}), id="1", state="absent")
    assert found.pop("started_at") <= time.time()
    assert found == {**BY_MODULE, "changed": True}


def test_a_change_after_which_the_node_cannot_be_read_counts(run: Callable[..., dict[str, Any]]) -> None:
    host = _Host(NODES, answer({"node": known("1", "uno")}), {"problem": "cut off"})
    found = run(node, host, id="1", new_name="uno")
    assert found.pop("started_at") <= time.time()
    assert found == {**BY_MODULE, "changed": True}


def test_a_key_that_others_can_read_is_a_warning(run: Callable[..., dict[str, Any]]) -> None:
    assert "0600" in run(node_info, _Host({**NODES, "exposed": True}))["warnings"][0]
