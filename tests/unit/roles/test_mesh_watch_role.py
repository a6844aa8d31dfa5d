# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role mesh_watch removes its own virtual environment, and no program of the mesh."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_site import Site
from project import COLLECTION

_ROLES = COLLECTION / "roles"
_TASKS = _ROLES / "mesh_watch" / "tasks"
_PROGRAMS = {"derp_relay": "derper", "headscale_server": "headscale", "tailscale_client": "tailscaled"}


def _defaults(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    return found


def test_no_other_role_has_its_program_in_the_directory() -> None:
    directory = Path(_defaults("mesh_watch")["mesh_watch_directory"])
    for role, program in _PROGRAMS.items():
        place = Path(_defaults(role)[f"{role}_program"])
        assert place.name == program
        assert directory not in place.parents


def test_each_program_of_the_mesh_is_looked_for() -> None:
    tasks = yaml.safe_load((_TASKS / "environment.yml").read_text(encoding="utf-8"))
    assert {f"bin/{program}" for program in _PROGRAMS.values()} < set(tasks[0]["loop"])


def _environment(directory: Path) -> None:
    for name in ("bin", "include", "lib"):
        (directory / name).mkdir(parents=True)
    (directory / "lib64").symlink_to("lib")
    (directory / "lib" / "module.py").touch()
    (directory / "bin" / "python3").symlink_to("/usr/bin/python3")
    for name in ("activate", "activate.csh", "Activate.ps1"):
        (directory / "bin" / name).touch()
    for name in ("meshctl", "pip3", "ansible-playbook"):
        (directory / "bin" / name).write_text(f"#!{directory}/bin/python3\nimport sys\n", encoding="utf-8")
    (directory / "pyvenv.cfg").touch()
    (directory / "lock.txt").touch()


def _removed(tmp_path: Path, *directories: Path) -> None:
    """Run the tasks on directories."""
    site = Site(tmp_path / "site")
    tasks = [
        {
            "ansible.builtin.include_tasks": str(_TASKS / "environment.yml"),
            "vars": {"mesh_watch_environment": str(directory)},
        }
        for directory in directories
    ]
    variables = {"ansible_python_interpreter": sys.executable}
    site.write("play.yml", json.dumps([{"hosts": "n1", "gather_facts": False, "vars": variables, "tasks": tasks}]))
    status, output = site.run("play.yml")
    assert status == 0, output


def _files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir())


def test_programs_of_the_mesh_remain(tmp_path: Path) -> None:
    shared, own, other = tmp_path / "opt (1)", tmp_path / "own", tmp_path / "other"
    _environment(shared)
    (shared / "bin" / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    (shared / "bin" / "binary").write_bytes(b"\x7fELF\xff\xfe")
    (shared / "bin" / "headscale").write_bytes(b"\x7fELF\xff\xfe")
    _environment(own)
    (other / "bin").mkdir(parents=True)
    (other / "bin" / "meshctl").touch()
    _removed(tmp_path, shared, own, other, shared)
    assert _files(shared) == ["bin/binary", "bin/headscale", "bin/tool"]
    assert [path.name for path in shared.iterdir()] == ["bin"]
    assert not own.exists()
    assert _files(other) == ["bin/meshctl"], "there is no virtual environment"


@pytest.mark.parametrize(
    ("unit", "used"),
    [
        (None, []),
        ("[Service]\nType=exec\n", []),
        ("[Service]\nExecStart=/opt/meshctl/bin/meshctl watch --every 5m\nRestart=always\n", ["/opt/meshctl"]),
    ],
)
def test_the_service_says_where_the_environment_is(unit: str | None, used: list[str]) -> None:
    (task,) = (task for task in yaml.safe_load((_TASKS / "main.yml").read_text(encoding="utf-8")) if "vars" in task)
    read = {} if unit is None else {"content": base64.b64encode(unit.encode()).decode()}
    templar = Templar(loader=DataLoader(), variables={"mesh_watch_service": read})
    assert templar.template(trust_as_template(task["vars"]["mesh_watch_used"])) == used


def test_the_unit_that_is_written_is_the_unit_that_is_read() -> None:
    text = (_ROLES / "mesh_watch" / "templates" / "meshctl-watch.service.j2").read_text(encoding="utf-8")
    assert "\nExecStart={{ mesh_watch_directory }}/bin/meshctl watch " in text
