# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action that brings labs up and down, as far as it goes without a lab."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action.lab import ActionModule
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _backend
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import use
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.guests import Guests, Made


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the labs."""
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    (tmp_path / "labs").mkdir()
    return tmp_path / "labs"


def _action(**options: Any) -> ActionModule:
    task = SimpleNamespace(
        args=options, async_val=0, check_mode=False, delegate_to=None, environment=[], diff=False, action="lab"
    )
    templar = SimpleNamespace(template=lambda value: value)
    action = ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir="x")),
        play_context=None,
        loader=None,
        templar=templar,
        shared_loader_obj=None,
    )
    action.validate_argument_spec = lambda argument_spec: (
        None,
        {key: options.get(key, spec.get("default")) for key, spec in argument_spec.items()},
    )
    return action


@pytest.mark.parametrize("backend", ["lab", "libvirt"])
@pytest.mark.parametrize(("options", "lab_name"), [({}, ""), ({}, None), ({"name": ""}, "seed")])
def test_an_empty_name_removes_no_lab(state: Path, backend: str, options: dict[str, str], lab_name: str | None) -> None:
    (state / "seed").mkdir()
    result = _action(state="absent", **options).run(task_vars={"mesh_backend": backend, "lab_name": lab_name})
    assert result["meshctl_error"] == "bad_input"
    assert result["msg"].startswith("lab_name '' must be 1 to 32 lower-case letters")
    assert (state / "seed").is_dir()


@pytest.mark.parametrize("backend", ["lab", "libvirt"])
def test_a_lab_that_is_not_up_cannot_be_reserved(state: Path, backend: str) -> None:
    result = _action(state="reserved").run(task_vars={"mesh_backend": backend, "lab_name": "seed"})
    assert result["meshctl_error"] == "could_not_run"
    assert result["msg"] == "the lab 'seed' is not up; start it with `meshctl up --lab seed`"
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("backend", ["lab", "libvirt"])
def test_both_backends_reserve_the_lab(state: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "record", property(lambda _self: "up"))
    assert _action(state="reserved").run(task_vars={"mesh_backend": backend})["changed"] is False
    reserved = json.loads((state / ".seed.use").read_text())
    assert reserved["pid"] == use.Play.this("").process.pid


@pytest.mark.parametrize(("backend", "kind"), [("lab", Lab), ("libvirt", Guests)])
def test_the_inventory_selects_the_backend(state: Path, backend: str, kind: type) -> None:
    assert isinstance(_backend.configured(_action(), {"mesh_backend": backend}), kind)
    with pytest.raises(BadInput, match="mesh_backend is hosts: only the backends lab and libvirt have a lab"):
        _backend.configured(_action(), {"mesh_backend": "hosts"})


def test_what_is_removed_depends_on_what_was_built(state: Path) -> None:
    (state / "seed").mkdir()
    assert isinstance(_backend.recorded(_action(), {"mesh_backend": "libvirt"}, "seed"), Lab)
    Made(uri="qemu:///system", disk_dir="/x", key="y").save(state / "seed")
    assert isinstance(_backend.recorded(_action(), {"mesh_backend": "lab"}, "seed"), Guests)
