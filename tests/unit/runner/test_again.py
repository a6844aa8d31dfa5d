# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes of an `up`, which spare the next one a play."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from meshctl_headscale import _again, _collection, _fingerprint
from meshctl_headscale._again import Up


@pytest.mark.parametrize("there", [True, False])
def test_notes_are_kept_unless_the_lab_was_taken_down_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_fingerprint, "of", lambda _request: "print")
    monkeypatch.setattr(_collection.notes, "read", lambda lines: lines)
    request: Any = None
    up = Up(lab="seed", request=request, variables={}, command="")
    if there:
        up._path.parent.mkdir(parents=True)
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / _again._NOTES).write_text("{}\n", encoding="utf-8")
    (tmp_path / _collection.model.FILE_NAME).write_text("{}", encoding="utf-8")
    result: Any = SimpleNamespace(code=0, ended=SimpleNamespace(interrupted=False), run_dir=tmp_path)
    up.keep(result, "print")
    assert up._path.exists() is there
    if there:
        assert json.loads(up._path.read_text(encoding="utf-8"))["notes"] == ["{}"]
        assert not up._path.with_suffix(".new").exists()
