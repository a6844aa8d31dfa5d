# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the runs of a mesh are numbered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.sampling import run_number


def _task(*, check_mode: bool = False, **known: Any) -> Any:
    settings = {
        "pairs": {"per_node": 3}, "backend": "lab", "lab_name": "seed", "server_url": "https://Mesh.example.com:8443/x",
        **known,
    }  # fmt: skip
    return SimpleNamespace(
        setting=settings.get, shared=known.get, variable=known.get, _task=SimpleNamespace(check_mode=check_mode)
    )


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))


def test_runs_have_consecutive_numbers_for_each_mesh(tmp_path: Path) -> None:
    assert [run_number(_task()) for _run in range(3)] == [0, 1, 2]
    assert run_number(_task(lab_name="other")) == 0
    assert [run_number(_task(backend="hosts")) for _run in range(2)] == [0, 1]
    assert sorted(path.name for path in (tmp_path / "pairs").iterdir()) == ["mesh.example.com_8443_x", "other", "seed"]


def test_all_stories_of_a_run_have_the_same_number() -> None:
    assert run_number(_task(mesh_pairs_run=4)) == 4
    assert run_number(_task()) == 0


def test_awx_numbers_its_jobs() -> None:
    assert run_number(_task(awx_job_id="116")) == 116
    assert run_number(_task(awx_job_id=117)) == 117


def test_check_mode_and_all_pairs_count_nothing(tmp_path: Path) -> None:
    assert run_number(_task(check_mode=True)) == 0
    assert run_number(_task(pairs="all")) == 0
    assert not (tmp_path / "pairs").exists()


def test_a_damaged_count_begins_again(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir(mode=0o700)
    (tmp_path / "pairs" / "seed").write_text("one\n", encoding="ascii")
    assert [run_number(_task()) for _run in range(2)] == [0, 1]
