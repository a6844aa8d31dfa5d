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


def test_a_server_that_does_not_start_because_of_its_disk_is_one_cause() -> None:
    log = _log("INF Opening database", "Error: initializing database: attempt to write a readonly database (8)")
    seen = {"nodes": None, "config": _CONFIG, "space": {"free": 0, "read_only": True}, "log": log, "listening": []}
    assert problems(examine_server(seen))["doctor.start"] == "because of doctor.database.space"


def test_the_space_for_a_file_is_read(tmp_path: Any) -> None:
    (tmp_path / "db").write_text("")
    asked = [{"id": str(path), "kind": "space", "path": str(path)} for path in (tmp_path / "db", tmp_path / "none")]
    seen = probe.main({"observe": asked, "deadline_s": 6})["observations"]
    here, missing = (seen[str(ask["id"])] for ask in asked)
    assert here["data"]["read_only"] is False
    assert here["data"]["free"] is None or here["data"]["free"] > 0
    assert missing["error"]["type"] == "no_file"


@pytest.mark.parametrize(("until", "found"), [(NOW, True), (NOW - 12, False), (NOW - 3600, False)])
def test_another_process_in_place_of_headscale(until: float, found: bool) -> None:
    log = _log(*["INF Opening database", _IN_USE] * 4, until=until)
    said = problems(examine_server({**_NODES, "log": log, "listening": _SERVES})).get("doctor.start", "")
    assert ("another process answers in its place" in said) is found
    assert ("address already in use: stop the program that has the port (`ss -Hltnp`)" in said) is found
    quoted = _log(*["INF http request agent='Error: x'"] * 8)
    assert "doctor.start" not in problems(examine_server({**_NODES, "log": quoted, "listening": _SERVES}))
    once = _log("INF Opening database", _IN_USE, "INF Opening database", "INF on")
    assert "doctor.start" not in problems(examine_server({**_NODES, "log": once, "listening": _SERVES}))


def test_a_server_without_files_for_connections() -> None:
    log = _log("INF Opening database", *[_FILES] * 3)
    found = problems(examine_server({"nodes": None, "log": log, "listening": _SERVES}))
    assert "accept4: too many open files" in found["doctor.start"]
    assert "LimitNOFILE" in found["doctor.start"]
    assert found["doctor.api"] == "because of doctor.start"
    assert "doctor.start" not in problems(examine_server({**_NODES, "log": log, "listening": _SERVES})), "it is over"


def test_a_client_refers_to_why_the_server_accepts_nothing() -> None:
    server = Server(answer(), ServerContext(url="https://h"))
    server.bad = {
        "start": Server.read({"bad": {"start": {"id": "doctor.start", "source": "s"}}}, server.known).bad["start"]
    }
    server.source = "s"
    row = {"url": "https://h/health", "outcome": "timeout", "connected": True}
    seen = {"status": {"Self": {}}, "prefs": {"ControlURL": "https://h"}, "server": [row]}
    assert problems(examine_client(seen, server=server))["doctor.server"] == "because of doctor.start on s"


def test_a_path_in_the_url_of_the_server() -> None:
    text = CONFIG.replace("https://h", "https://h/headscale/")
    found = problems(examine_server({**_NODES, "config": {"path": "config.yaml", "text": text}}))
    assert "server_url https://h/headscale/ has a path" in found["doctor.config"]
    other = examine_server({**_NODES, "config": {"path": "config.yaml", "text": text.replace("//h", "//other")}})
    assert next(check.verdict for check in other if check.id == "doctor.config") == "skipped"
