# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What determines the tasks of an `up`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from meshctl_headscale import _fingerprint, _project
from meshctl_headscale._play import Request

TEXT = "all:\n  vars: {mesh_backend: lab}\n  hosts: {a: {}}\n"


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Request]:
    """Return a maker of requests for a small project."""
    for directory in ("playbooks", "collections/ansible_collections/meshctl/headscale/roles"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "playbooks" / "up.yml").write_text("[]\n", encoding="utf-8")
    files = _project.Project(root=tmp_path, collections=tmp_path / "collections")
    monkeypatch.setattr(_fingerprint, "project", lambda: files)
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))

    def make(text: str) -> Request:
        path = tmp_path / "inventory.yml"
        path.write_text(text, encoding="utf-8")
        return Request(playbooks=[tmp_path / "playbooks" / "up.yml"], inventory=str(path))

    return make


def test_the_same_request_has_the_same_fingerprint(
    request_of: Callable[[str], Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _fingerprint.of(request_of(TEXT))
    monkeypatch.setenv("COLUMNS", "123")
    assert first
    assert _fingerprint.of(request_of(TEXT)) == first


@pytest.mark.parametrize(
    "text",
    [
        'all:\n  vars: {mesh_backend: lab, x: \'{{ lookup("env", "HOME") }}\'}\n',
        "all:\n  vars:\n    mesh_backend: lab\n    x: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n",
        "plugin: meshctl.headscale.headscale\n",
    ],
)
def test_an_inventory_that_is_evaluated_has_none(request_of: Callable[[str], Request], text: str) -> None:
    assert _fingerprint.of(request_of(text)) == ""


def test_an_inventory_with_files_beside_it_has_none(request_of: Callable[[str], Request]) -> None:
    request = request_of(TEXT)
    (Path(request.inventory).parent / "group_vars").mkdir()
    assert _fingerprint.of(request) == ""


def test_options_that_change_what_is_done_have_none(request_of: Callable[[str], Request], tmp_path: Path) -> None:
    plain = request_of(TEXT)
    for other in (
        replace(plain, check=True),
        replace(plain, verbosity=1),
        replace(plain, limit=["a"]),
        replace(plain, tags="x"),
        replace(plain, skip_tags="x"),
        replace(plain, extra_files=[tmp_path / "x.yml"]),
        replace(plain, extra_vars={"x": "{{ y }}"}),
        replace(plain, inventory="a,b"),
    ):
        assert _fingerprint.of(other) == "", other


def test_whatever_determines_a_task_changes_it(
    request_of: Callable[[str], Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = request_of(TEXT)
    seen = {_fingerprint.of(plain)}

    def differs(what: str, request: Request = plain) -> None:
        found = _fingerprint.of(request)
        assert found not in seen, what
        seen.add(found)

    differs("variables", replace(plain, extra_vars={"x": "y"}))
    differs("inventory", request_of(TEXT + "# a comment\n"))
    (tmp_path / "playbooks" / "up.yml").write_text("[]\n\n", encoding="utf-8")
    differs("playbook")
    role = tmp_path / "collections/ansible_collections/meshctl/headscale/roles/main.yml"
    role.touch()
    differs("a new file of a role")
    os.utime(role, ns=(1, 1))
    differs("another version of a role")
    plugin = tmp_path / "ansible" / "plugins" / "vars" / "own.py"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    differs("a plugin of the user")
    monkeypatch.setenv("ANSIBLE_RUN_TAGS", "x")
    differs("environment")


def test_what_python_compiles_changes_nothing(request_of: Callable[[str], Request], tmp_path: Path) -> None:
    first = _fingerprint.of(request_of(TEXT))
    cache = tmp_path / "playbooks" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").touch()
    assert _fingerprint.of(request_of(TEXT)) == first
