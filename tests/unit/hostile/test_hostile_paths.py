# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pipes, sockets, devices, directories, endless files and loops of links in the place of every file that a user names."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _files
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.observing import observe_all
from hostile_server import answer, hostile_server
from meshctl_headscale import _errors, _init, _stories, cli

_KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
_NODES = '{"nodes":[{"id":"1","name":"one","givenName":"one","ipAddresses":["100.64.0.1"]}]}'
_DEADLINE_S = 15
_KINDS = ("pipe", "socket", "device", "sparse", "loop", "below")
# Each costs a start of the command line.
_SOME = ("pipe", "device", "sparse")

# What is run with each kind of file, by option; FILE is its path, DIR the directory of the test.
_READ = {
    "api-key-file": "init --url http://127.0.0.1:1 --output - --api-key-file FILE",
    "ca-file": "init --url https://127.0.0.1:1 --api-key-file DIR/key --output - --ca-file FILE",
    "config": "doctor --config FILE",
    "policy": "doctor --policy FILE",
    "headscale": "doctor --policy DIR/policy --headscale FILE",
    "inventory": "status -i FILE",
    "inventory as YAML": "status -i FILE.yml",
    "extra-vars": "run us1 -i 192.0.2.1, -e @FILE",
    "playbook": "run FILE.yml -i 192.0.2.1,",
    "report": "report FILE",
    "compare": "report --compare FILE FILE",
    "add": "history --history DIR/h.sqlite --add FILE",
    "auth-file": "watch us1 --once -i 192.0.2.1, --listen 127.0.0.1:0 --auth-file FILE",
    "tls-cert": "watch us1 --once -i 192.0.2.1, --listen 127.0.0.1:0 --tls-cert FILE --tls-key DIR/key",
    "tls-key": "watch us1 --once -i 192.0.2.1, --listen 127.0.0.1:0 --tls-cert DIR/key --tls-key FILE",
    "notify": "watch us1 --once -i 192.0.2.1, --notify @FILE",
}
_WRITTEN = {
    "output": "init --url URL --api-key-file DIR/key --output FILE",
    "output by force": "init --url URL --api-key-file DIR/key --force --output FILE",
    "html": "history --history DIR/h.sqlite --html FILE",
    "textfile": "watch us1 --once -i 192.0.2.1, --textfile FILE.prom",
    "collect": "collect -i 192.0.2.1, --output FILE",
    "history": "history --history FILE",
}
_DIRECTORIES = {
    "MESHCTL_STATE_DIR": _paths.state_dir,
    "MESHCTL_CACHE_DIR": _paths.cache_dir,
    "MESHCTL_RUNS_DIR": _paths.runs_dir,
}


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a directory with a key and a policy, in which meshctl runs; end a test that hangs."""
    (tmp_path / "key").write_text(_KEY)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "policy").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_files, "_PATIENCE_S", 0.2)
    _paths._check.cache_clear()
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(_DEADLINE_S)
    yield tmp_path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _made(path: Path, kind: str) -> Path:
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        path.chmod(0o600)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 40)
        path.chmod(0o600)
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        path.with_name("file").write_text("x")
        return path.with_name("file") / path.name
    return path


def _said(capsys: pytest.CaptureFixture[str], line: str, top: Path, kind: str, url: str = "") -> tuple[int, str]:
    """Run meshctl with a file of a kind; return its exit code and what it complained about."""
    suffix = next((found for found in (".yml", ".prom") if f"FILE{found}" in line), "")
    path = _made(top / f"named{suffix}", kind)
    words = [
        word.replace(f"FILE{suffix}", str(path)).replace("DIR", str(top)).replace("URL", url) for word in line.split()
    ]
    with pytest.raises(SystemExit) as ended:
        _errors.ended(lambda: cli.app(words, prog_name="meshctl", standalone_mode=False))
    return int(str(ended.value.code)), capsys.readouterr().err


def _is_one_sentence(said: str, top: Path) -> bool:
    named = str(top) in said or "--notify" in said
    return said.startswith("Error: ") and said.count("\n") == 1 and len(said) < 500 and named


@pytest.mark.parametrize("kind", _SOME)
@pytest.mark.parametrize("line", list(_READ.values()), ids=list(_READ))
def test_a_file_that_is_read(top: Path, capsys: pytest.CaptureFixture[str], line: str, kind: str) -> None:
    code, said = _said(capsys, line, top, kind)
    assert code == 2
    assert _is_one_sentence(said, top), said


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
@pytest.mark.parametrize("option", list(_WRITTEN))
def test_a_file_that_is_written(top: Path, capsys: pytest.CaptureFixture[str], option: str, kind: str) -> None:
    if option == "history" and kind == "loop":
        pytest.skip("it is like a file that does not exist")
    with hostile_server(answer(_NODES)) as server:
        code, said = _said(capsys, _WRITTEN[option], top, kind, server.url)
    assert code == 2
    assert _is_one_sentence(said, top), said


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("name", list(_DIRECTORIES))
def test_a_directory_that_is_none(top: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    path = _made(top / "place", kind)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(BadInput) as refused:
        _DIRECTORIES[name]()
    assert str(refused.value).startswith(f"The directory {path} cannot be used: ")
    assert str(refused.value).endswith(f". Set {name} to a directory that you own.")


@pytest.mark.parametrize("line", ["status --lab none", "report", "history"])
def test_a_directory_that_is_none_is_bad_input(
    top: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    for name in _DIRECTORIES:
        monkeypatch.setenv(name, str(top / "policy"))
    with pytest.raises(SystemExit) as ended:
        _errors.ended(lambda: cli.app(line.split(), prog_name="meshctl", standalone_mode=False))
    assert ended.value.code == 2
    assert f"Error: The directory {top / 'policy'} cannot be used" in capsys.readouterr().err


def test_force_replaces_one_name_of_a_file(top: Path) -> None:
    (top / "backup").write_text("before")
    (top / "hosts.yml").hardlink_to(top / "backup")
    _init.write("after", str(top / "hosts.yml"), force=True)
    assert ((top / "hosts.yml").read_text(), (top / "backup").read_text()) == ("after", "before")
    with pytest.raises(_init.BadInputError, match="File exists"):
        _init.write("later", str(top / "hosts.yml"))


@pytest.mark.parametrize("kind", ["headscale", "http"])
def test_certificates_of_a_host(top: Path, kind: str) -> None:
    os.mkfifo(top / "ca")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        ask = {"id": "it", "kind": kind, "ca_file": str(top / "ca"), "url": url, "api_key": _KEY}
        began = time.monotonic()
        found = observe_all([{**ask, "targets": [ask]}], began + 5)
    assert "is not a regular file on this host" in str(found)
    assert time.monotonic() - began < 4


def test_playbooks_that_import_each_other(top: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "b")):
        (top / f"{name}.yml").write_text(f"- import_playbook: {other}.yml\n- name: {name}\n  hosts: all\n")
    story = _stories._own(str(top / "a.yml"))
    assert story is not None
    assert story.plays == {"a", "b", "c"}


@pytest.mark.parametrize("line", ["status -i FILE.yml", "run us1 -i 192.0.2.1, -e @FILE.yml", "run FILE.yml"])
def test_lists_in_lists_in_lists(top: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    (top / "deep.yml").write_text("[" * 1_500)
    words = line.replace("FILE", str(top / "deep")).split()
    with pytest.raises(SystemExit) as ended:
        _errors.ended(lambda: cli.app(words, prog_name="meshctl", standalone_mode=False))
    assert ended.value.code == 2
    assert _is_one_sentence(capsys.readouterr().err, top)
