# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the API key comes from, the strongest source first."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.probing import ProbingAction
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.server import server


class _Task:
    """What the function asks of a task."""

    def __init__(self, options: dict[str, str] | None = None, **variables: str) -> None:
        self.options = options or {}
        self._variables = {"mesh_server_url": "https://h", **variables}

    def variable(self, name: str, default: object = None) -> object:
        return self._variables.get(name, default)


def _ask(*args: Any, **variables: str) -> dict[str, Any]:
    return server(cast(ProbingAction, _Task(*args, **variables)))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADSCALE_API_KEY", "HEADSCALE_API_KEY_FILE", "HEADSCALE_URL", "HEADSCALE_CA_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_the_strongest_source_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = {"url": "https://h", "api_key_file": "/var/lib/headscale/meshctl_api_key"}
    assert _ask() == kept
    file = tmp_path / "key"
    file.write_text("of the file\n", encoding="utf-8")
    monkeypatch.setenv("HEADSCALE_API_KEY_FILE", str(file))
    assert _ask()["api_key"] == "of the file", "the controller's file is read here and not on the host"
    monkeypatch.setenv("HEADSCALE_API_KEY", "of the environment")
    assert _ask()["api_key"] == "of the environment"
    assert _ask(mesh_api_key_file="/on/the/host") == {"url": "https://h", "api_key_file": "/on/the/host"}
    assert _ask(mesh_api_key_file="/on/the/host", mesh_api_key="of a vault")["api_key"] == "of a vault"
    assert _ask({"api_key_file": "/of/the/task"}, mesh_api_key="of a vault")["api_key_file"] == "/of/the/task"


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSCALE_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="does not exist"):
        _ask()


def test_a_server_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="mesh_server_url"):
        _ask(mesh_server_url="")
    monkeypatch.setenv("HEADSCALE_URL", "https://of-the-environment")
    assert _ask(mesh_server_url="")["url"] == "https://of-the-environment"
