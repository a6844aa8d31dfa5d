# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which clients the server does not know, and how it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.meshctl.headscale.plugins.action.unknown_nodes_info import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._standing import notes

SERVER = {"url": "https://h.test", "api_key_file": "/key"}
CA = "HEADSCALE_CA_PATH"


@pytest.mark.parametrize(
    ("variables", "environment", "more"),
    [
        ({}, {}, {}),
        ({"mesh_ca_path": ""}, {}, {}),
        ({"mesh_ca_path": "/ca"}, {}, {"ca_file": "/ca"}),
        ({}, {CA: "/env"}, {"ca_file": "/env"}),
        ({"mesh_ca_path": "/ca"}, {CA: "/env"}, {"ca_file": "/ca"}),
    ],
)
def test_the_server_is_asked_as_assertions_ask_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any], environment: dict[str, str], more: Any
) -> None:
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.delenv(CA, raising=False)
    for name, value in {**environment, notes.VARIABLE: str(path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ActionBase, "run", lambda *_args: {})
    asked: list[dict[str, Any]] = []

    def probe(_self: ActionModule, requests: list[dict[str, Any]], *, seconds: float) -> dict[str, Any]:
        assert seconds > 0
        asked.extend(requests)
        return {"observations": {"nodes": {"ok": True, "data": {"nodes": [{"nodeKey": "nodekey:1"}]}}}}

    monkeypatch.setattr(ActionModule, "probe", probe)
    action = object.__new__(ActionModule)
    # The last one is what a hostile host says.
    keys = {"a": "nodekey:1", "b": "nodekey:2", "c": "", "d": ["nodekey:3"]}
    action._task = SimpleNamespace(args={**SERVER, "keys": keys})
    action._templar = SimpleNamespace(template=lambda value: value)
    found = action.run(None, {**variables, "inventory_hostname": "server"})
    assert found["unregistered"] == ["b"]
    assert asked == [{"id": "nodes", "kind": "headscale", "path": "/api/v1/node", **SERVER, **more}]
    # Another `up` asks in the same way.
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "kind": "nodes",
        "host": "server",
        "data": {**SERVER, **more},
    }
