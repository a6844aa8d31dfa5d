# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A script that is sent through the reader, and everything that can become of it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.probing import PROBE
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import package, remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import observing
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import KINDS


def send(
    script: package.Script | str,
    request: dict[str, Any],
    *,
    noise: bytes = b"",
    deadline_s: float = 5,
    compiled: bool = False,
) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-ISc", remote._READER],
        input=remote.encode(script, request, deadline_s=deadline_s, compiled=compiled), capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    said, errors = (noise + done.stdout).decode(), done.stderr.decode()
    return remote.decode(done.returncode, said, errors, interpreter="python3", deadline_s=deadline_s)


def test_a_request_goes_in_and_an_answer_comes_out() -> None:
    source = "def main(request):\n    return {'got': request}\n"
    request = {"text": "é€\U0001f4ac", "list": [1, None]}
    assert send(source, request) == {"got": request}


def test_what_a_login_shell_prints_before_is_no_answer() -> None:
    assert send("def main(_):\n    return {'a': 1}", {}, noise=b"Welcome!\n{}\n") == {"a": 1}


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("def main(_):\n    raise ValueError('boo')", "script_failed", "ValueError: boo"),
        ("def main(_):\n    import os\n    os.kill(os.getpid(), 9)", "killed", "killed on the host"),
        ("def main(_):\n    return [1]", "script_failed", "status 0"),
        ("def main(_):\n    import os\n    os._exit(3)", "script_failed", "status 3"),
        ("def main(_) syntax", "script_failed", "SyntaxError"),
    ],
)
def test_what_becomes_of_a_script_is_said(source: str, kind: str, said: str) -> None:
    with pytest.raises(remote.RemoteError) as raised:
        send(source, {})
    assert raised.value.kind == kind
    assert said in str(raised.value)


def test_a_script_that_hangs_is_ended_on_the_host() -> None:
    with pytest.raises(remote.RemoteError) as raised:
        send("def main(_):\n    import time\n    time.sleep(60)", {}, deadline_s=-4.5)
    assert raised.value.kind == "timeout"


def test_a_missing_python_names_the_remedy() -> None:
    with pytest.raises(remote.RemoteError, match="ansible_python_interpreter"):
        remote.decode(127, "", "sh: 1: python3: not found", interpreter="python3", deadline_s=1)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_probe_answers_through_the_reader(compiled: bool) -> None:
    found = send(PROBE, {"observe": [{"id": "now", "kind": "time"}], "deadline_s": 2}, compiled=compiled)
    assert found["observations"]["now"]["ok"]


def test_only_the_python_that_runs_this_is_sent_what_this_one_has_compiled() -> None:
    assert remote._runs_this(sys._base_executable)
    assert not remote._runs_this("/bin/sh")
    assert not remote._runs_this("/nonexistent/python3")


def test_a_machine_that_may_be_a_guest_is_sent_the_source() -> None:
    said = "read n rest; cat >/dev/null; printf '\\n%s{\"length\": %s}\\n' '#meshctl-answer ' $n"
    assert remote.run_in(lambda _command: ["sh", "-c", said], PROBE, {}, deadline_s=5)["length"] > 0


def test_a_compiled_script_says_in_which_module_it_failed() -> None:
    script = package.Script(
        {"__init__": "from .other import main", "other": "def main(_):\n    raise ValueError('boo')"}
    )
    with pytest.raises(remote.RemoteError) as raised:
        send(script, {}, compiled=True)
    assert 'meshctl/other.py", line 2' in raised.value.stderr


def _run(script: str) -> subprocess.CompletedProcess[str]:
    # On standard input, as on a host: an argument cannot hold the whole probe.
    return subprocess.run(
        [sys.executable, "-IS", "-"], input=script, capture_output=True, text=True, timeout=30, check=True
    )


def test_no_module_of_the_probe_imports_anything_heavy() -> None:
    modules = sorted({made.partition(".")[0] for made in KINDS.values()})
    script = (
        f"import sys,importlib;exec(compile({PROBE.source!r},'probe','exec'),{{'__name__':'probe'}});"
        f"[importlib.import_module('meshctl_sent.'+name) for name in {modules!r}];print(' '.join(sys.modules))"
    )
    done = _run(script)
    heavy = {"typing", "http.client", "subprocess", "concurrent.futures", "urllib.request", "ssl", "asyncio", "logging"}
    assert not heavy & set(done.stdout.split())


def test_the_host_compiles_only_what_it_is_asked_for() -> None:
    script = (
        f"import sys;g={{'__name__':'probe'}};exec(compile({PROBE.source!r},'probe','exec'),g);"
        "g['main']({'observe': [{'kind': 'resolv_conf'}]});print(' '.join(sys.modules))"
    )
    done = _run(script)
    sent = {name.partition(".")[2] for name in done.stdout.split() if name.startswith("meshctl_sent.")}
    assert sent == {"base", "load", "names", "observing", "wire"}


@pytest.mark.parametrize("made", sorted(set(KINDS.values())))
def test_every_kind_of_observation_has_what_makes_it(made: str) -> None:
    module, _dot, function = made.partition(".")
    assert callable(getattr(importlib.import_module(f"{observing.__package__}.{module}"), function))
