# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory is code: commands that only need the name of a lab do not run it. Files of secrets are plain files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _files
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import modules
from meshctl_headscale import _inventory, _play
from meshctl_headscale._exit import BadInputError
from meshctl_headscale._project import project
from meshctl_headscale._watch import endpoint

_STATUS = ("status",)
_TOUCH = "open('{}/executed', 'w')\n"
_COMMANDS = (_STATUS, ("logs", "node"), ("exec", "node", "--", "true"), ("down",))


def _run(directory: Path, *words: str) -> bool:
    """Run a command with an inventory that is a program; return whether that was run."""
    script = directory / "hosts"
    script.write_text(f"#!/bin/sh\ntouch {directory}/evaluated\necho '{{}}'\n", encoding="utf-8")
    script.chmod(0o755)
    subprocess.run(
        [str(Path(sys.executable).with_name("meshctl")), *words], capture_output=True, check=False, cwd=directory, timeout=100,
        env={**os.environ, "MESHCTL_INVENTORY": str(script), "MESHCTL_STATE_DIR": str(directory / "state")},
    )  # fmt: skip
    return (directory / "evaluated").exists()


@pytest.mark.parametrize("words", _COMMANDS, ids=lambda words: words[0])
def test_a_command_with_a_lab_does_not_run_the_inventory(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert not _run(tmp_path, words[0], "--lab", "none", *words[1:])


def test_a_command_without_a_lab_does(tmp_path: Path) -> None:
    assert _run(tmp_path, *_STATUS)


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with variables of somebody else; return the inventory, which is elsewhere and not YAML."""
    for name in ("group_vars/all.yml", "group_vars/headscale.yml", "host_vars/server.yml", "vars_plugins/theirs.py"):
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        template = "{{ lookup('ansible.builtin.pipe', 'touch " + str(tmp_path / "executed") + "') }}"
        path.write_text(f'lab_name: "{template}"\n' if name.endswith(".yml") else _TOUCH.format(tmp_path), "utf-8")
    (tmp_path / "theirs" / "ansible.cfg").write_text("[defaults]\nvars_plugins = vars_plugins\n", encoding="utf-8")
    (tmp_path / "ours" / "group_vars").mkdir(parents=True)
    (tmp_path / "ours" / "group_vars" / "headscale.yml").write_text("lab_name: ours\n", encoding="utf-8")
    inventory = tmp_path / "ours" / "hosts.ini"
    inventory.write_text("[headscale]\nserver ansible_connection=local\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "theirs")
    return inventory


def test_variables_and_settings_in_the_working_directory_are_not_used(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ansible would take its configuration from the working directory.
    monkeypatch.setenv("ANSIBLE_CONFIG", "")
    (tmp_path / "extra.yml").write_text("mesh_domain: extra.test\n", encoding="utf-8")
    found = _inventory.variables(str(foreign), [tmp_path / "extra.yml"])
    assert (found["lab_name"], found["mesh_domain"]) == ("ours", "extra.test")
    assert _inventory.hosts(_play.Request(playbooks=(), inventory=str(foreign)), "headscale") == ["server"]
    assert not (tmp_path / "executed").exists()


def test_a_play_does_not_use_variables_in_the_working_directory(foreign: Path, tmp_path: Path) -> None:
    playbook = tmp_path / "ours" / "play.yml"
    task = "{ansible.builtin.debug: {msg: 'it is {{ lab_name }}'}}"
    playbook.write_text(f"[{{hosts: all, gather_facts: false, tasks: [{task}]}}]\n", encoding="utf-8")
    request = _play.Request(playbooks=[playbook], inventory=str(foreign))
    environment = _play.environment(project(), tmp_path / "run")
    del environment["ANSIBLE_CALLBACKS_ENABLED"]
    done = subprocess.run(
        [*_play.ansible_command("ansible-playbook"), *request.arguments(None)], capture_output=True, text=True, check=False,
        timeout=100, env=environment,
    )  # fmt: skip
    assert "it is ours" in done.stdout, done.stderr
    assert not (tmp_path / "executed").exists()


def test_a_module_in_the_working_directory_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("libvirt.py", "lxml.py"):
        (tmp_path / name).write_text(_TOUCH.format(tmp_path), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    modules.python_with_binding.cache_clear()
    modules.python_with_binding()
    modules.python_with_binding.cache_clear()
    assert not (tmp_path / "executed").exists()


def test_a_pipe_in_the_place_of_a_file_of_secrets_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "auth", 0o600)
    began = time.monotonic()
    with pytest.raises(BadInputError, match="must contain one line"):
        endpoint._credentials(tmp_path / "auth")
    assert time.monotonic() - began < 10


def test_a_pipe_that_stays_empty_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "_PATIENCE_S", 0.2)
    os.mkfifo(tmp_path / "key", 0o600)
    began = time.monotonic()
    with pytest.raises(BadInput, match="nothing came from this pipe within"):
        _files.read_secret(str(tmp_path / "key"))
    assert time.monotonic() - began < 10


def test_the_key_of_a_program_is_waited_for() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(["sh", "-c", "sleep 0.3; printf hskey-; sleep 0.1; echo api-x"], stdout=writing):
        os.close(writing)
        assert _files.read_secret(f"/dev/fd/{reading}") == "hskey-api-x"
    os.close(reading)
