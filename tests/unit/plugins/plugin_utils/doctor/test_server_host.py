# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about the host of the server: its disk, its limits, and other processes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import probe
from doctor import CONFIG, NOW, answer, examine_client, examine_server, node, problems

_DB = "/var/lib/headscale/db.sqlite"
_CONFIG = {
    "path": "config.yaml",
    "text": CONFIG + json.dumps({"database": {"type": "sqlite", "sqlite": {"path": _DB}}})[1:-1] + "\n",
}
_NODES = {"nodes": {"nodes": [node(1, "a")]}}
_SERVES = [{"port": 443, "process": {"name": "headscale"}}]
_IN_USE = "Error: headscale ran into an error: listen tcp 127.0.0.1:50443: bind: address already in use"
_FILES = "http: Accept error: accept tcp [::]:443: accept4: too many open files; retrying in 1s"


def _log(*words: str, until: float = NOW) -> dict[str, Any]:
    times = [datetime.fromtimestamp(until - number, UTC) for number in range(len(words))][::-1]
    return {
        "from": "file",
        "lines": [f"{at:%Y-%m-%d %H:%M:%S.000}  {word}" for at, word in zip(times, words, strict=True)],
    }


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"free": 0, "read_only": False}, "is full (0 KiB are free)"),
        ({"free": 1 << 30, "read_only": True}, "is read-only"),
        ({"free": 1 << 30, "read_only": False}, ""),
        ({"free": None, "read_only": False}, ""),
        (None, ""),
    ],
)
def test_a_database_that_cannot_be_written(space: Any, words: str) -> None:
    seen = {**_NODES, "config": _CONFIG, "locks": [], **({} if space is None else {"space": space})}
    said = problems(examine_server(seen)).get("doctor.database.space", "")
    assert words in said
    assert bool(said) is bool(words)


def test_the_space_for_a_file_is_read(tmp_path: Any) -> None:
    (tmp_path / "db").write_text("")
    asked = [{"id": str(path), "kind": "space", "path": str(path)} for path in (tmp_path / "db", tmp_path / "none")]
    seen = probe.main({"observe": asked, "deadline_s": 6})["observations"]
    here, missing = (seen[str(ask["id"])] for ask in asked)
    assert here["data"]["read_only"] is False
    assert here["data"]["free"] is None or here["data"]["free"] > 0
    assert missing["error"]["type"] == "no_file"
