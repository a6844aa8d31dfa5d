# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `mesh_policy_info` reads, and what it says if it cannot."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.meshctl.headscale.plugins.action.mesh_policy_info import ActionModule

KNOWN: dict[str, Any] = {
    "policy": {"policy": "{}", "updatedAt": "2026-01-31T12:00:00Z"},
    "nodes": {"nodes": [{"id": "1", "user": {"id": "1", "name": "old"}, "ipAddresses": ["100.64.0.1"]}]},
    "users": {"users": [{"id": "1", "name": "new", "email": "new@example.com", "providerId": "x/7"}]},
}


def _observation(data: Any) -> dict[str, Any]:
    if isinstance(data, Exception):
        return {"ok": False, "error": {"type": "refused", "message": str(data)}}
    return {"ok": True, "data": data}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the action's result for what the server answers."""

    def run(known: dict[str, Any]) -> dict[str, Any]:
        def probe(_self: Any, requests: Any, *, seconds: float) -> dict[str, Any]:
            assert {one["path"] for one in requests} == {"/api/v1/policy", "/api/v1/node", "/api/v1/user"}
            return {"observations": {name: _observation(data) for name, data in known.items()}}

        monkeypatch.setattr(ActionBase, "run", lambda *_args: {})
        monkeypatch.setattr(ActionModule, "probe", probe)
        monkeypatch.setattr(ActionModule, "setting", lambda *_args: 1.0)
        action = object.__new__(ActionModule)
        action._task = SimpleNamespace(args={"url": "https://h", "api_key": "k"})
        found: dict[str, Any] = action.run(task_vars={"inventory_hostname": "server"})
        return found

    return run


def test_nodes_and_users_are_read(read: Any) -> None:
    found = read(KNOWN)
    assert found["users"] == [{"id": "1", "name": "new", "email": "new@example.com", "provider_id": "x/7"}]
    assert found["records"][0]["user"] == {"id": "1", "name": "old", "email": "", "provider_id": ""}
    assert (found["policy"], found["changed"]) == ("{}", False)


@pytest.mark.parametrize("missing", ["policy", "nodes", "users"])
def test_what_cannot_be_read_is_said(read: Any, missing: str) -> None:
    found = read({name: data for name, data in KNOWN.items() if name != missing})
    assert found["failed"] is True
    assert f"the {missing} cannot be read" in found["msg"]


@pytest.mark.parametrize(("path", "failed"), [("", False), ("/etc/p.hujson", True)])
def test_a_server_without_a_policy_file_has_no_policy(read: Any, path: str, failed: bool) -> None:
    body = json.dumps(
        {"code": 2, "message": f'reading policy from path "{path}": open {path}: no such file or directory'}
    )
    found = read({**KNOWN, "policy": OSError(f"https://h answered 500 to /api/v1/policy: {body}")})
    assert found.get("failed", False) is failed
    assert failed or found["policy"] == ""
