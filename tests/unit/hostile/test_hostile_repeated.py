# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A name that occurs twice in one object hides a value from Python, and shows it to other readers: it is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._cli import ApiKeyCommand
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import (
    ApiError,
    BadAnswerError,
    CouldNotRun,
    HeadscaleError,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import base
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from hostile_server import answer, hostile_server

_KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
_NODE = '{"id":"1","name":"one","approvedRoutes":[],"tags":[]}'


def _asked(body: str, *, status: str = "200 OK") -> None:
    with hostile_server(answer(body, status=status)) as server:
        HeadscaleAPI(url=server.url, api_key=_KEY, timeout=5).list_nodes()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (f'{{"nodes":[{_NODE}],"nodes":[]}}', "nodes"),
        ('{"nodes":[{"id":"1","id":"2","name":"one"}]}', "id"),
        (f'{{"nodes":[{_NODE}],"\\u006eodes":[]}}', "nodes"),
    ],
    ids=["top", "node", "escaped"],
)
def test_the_api_says_one_thing(body: str, name: str) -> None:
    with pytest.raises(BadAnswerError, match=rf"its answer is ambiguous: the name '{name}' occurs twice in one object"):
        _asked(body)


def test_the_name_is_shown_without_the_key_and_in_bounds() -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in _KEY)
    for name in (escaped, "\\u001b]0;x" + "z" * 100_000):
        with pytest.raises(HeadscaleError) as refused:
            _asked(f'{{"{name}":1,"{name}":2}}')
        assert _KEY[:30] not in str(refused.value)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 300


def test_a_refusal_may_repeat_itself() -> None:
    with pytest.raises(ApiError, match="second"):
        _asked('{"message":"first","message":"second"}', status="500 No")


def test_the_command_says_one_thing() -> None:
    told = '[{"id":1,"prefix":"a","prefix":"b"}]'
    command = ApiKeyCommand(lambda _words: (0, told, ""), executable="headscale", config=None)
    with pytest.raises(BadAnswerError, match="ambiguous: the name 'prefix' occurs twice"):
        command.list_api_keys()


def test_a_host_says_one_thing() -> None:
    told = '{"host":{},"observations":{"a":{"ok":true},"a":{"ok":false}}}'
    with pytest.raises(remote.RemoteError, match="ambiguous: the name 'a' occurs twice") as refused:
        remote.decode(0, f"\n{remote._MARK}{told}\n", "", interpreter="python3", deadline_s=1)
    assert refused.value.kind == "bad_answer"


def test_a_tailscaled_says_one_thing() -> None:
    with pytest.raises(base.Unseen, match="a name occurs twice in one object") as refused:
        base.read_json(b'{"Peer":{"nodekey:a":{"Online":true},"nodekey:a":{"Online":false}}}')
    assert refused.value.kind == "bad_response"
    # Programs of the system may: some versions of ip do.
    assert base.read_json(b'[{"dev":"a","dev":"b"}]', repeated=True) == [{"dev": "b"}]


def test_a_report_says_one_thing(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema_version":2,"verdict":"failed","verdict":"passed"}')
    with pytest.raises(CouldNotRun, match="the name 'verdict' occurs twice in one object"):
        model.load(tmp_path)


def test_many_names_take_time_in_proportion() -> None:
    names = "".join(f'"{number}":0,' for number in range(200_000))
    began = time.process_time()
    with pytest.raises(ValueError, match="the name '7' occurs twice"):
        remote.loads("{" + names + '"7":1}')
    assert time.process_time() - began < 4
    assert remote.loads(json.dumps({"a": {"b": 1}, "c": {"b": 1}})) == {"a": {"b": 1}, "c": {"b": 1}}
