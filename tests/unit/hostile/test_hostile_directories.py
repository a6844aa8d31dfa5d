# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories that other users can write to, and where the names of meshctl's files are known: nothing of theirs is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from watch_scene import Scene, rounds_of


@pytest.mark.parametrize("kind", ["link", "link to nothing", "file", "pipe"])
def test_a_textfile_is_written_through_nothing_of_others(tmp_path: Path, kind: str) -> None:
    """The directory of node_exporter is often one that a group can write to."""
    textfile, mine = tmp_path / "mesh.prom", tmp_path / "mine"
    mine.write_text("mine", encoding="utf-8")
    mine.chmod(0o600)
    fresh = textfile.with_name(".mesh.prom.new")
    if kind.startswith("link"):
        fresh.symlink_to(mine if kind == "link" else tmp_path / "new")
    elif kind == "file":
        os.link(mine, fresh)
    else:
        os.mkfifo(fresh)
    scene = Scene(tmp_path)
    rounds_of(scene.watch(textfile=textfile), scene, 1)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert mine.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "new").exists()
    assert not textfile.is_symlink()
    assert textfile.stat().st_mode & 0o777 == 0o644
    assert "meshctl_watch_rounds_total" in textfile.read_text(encoding="utf-8")
