# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories that other users can write to, and where the names of meshctl's files are known: nothing of theirs is used."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.meshctl.headscale.plugins.lookup import lab_file
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths, _private
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import ssh
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


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a lab whose path is too long for sockets, so that they are below the one for temporary files."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    state = tmp_path / ("long" * 30)
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(state))
    directory = _paths.lab_dir("seed")
    (directory / "ssh").mkdir(parents=True, mode=0o700)
    return directory


def test_the_sockets_of_guests_are_in_a_directory_of_this_user(lab: Path) -> None:
    assert ssh.control_dir(lab).parent.name == "tmp"
    before = os.umask(0)
    try:
        assert ssh.secure(lab).stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert lab_file._sockets(lab) == ssh.control_dir(lab)
    ssh.hang_up(lab)
    assert not ssh.control_dir(lab).exists()


@pytest.mark.parametrize("kind", ["owned by another", "writable", "link"])
def test_the_sockets_of_guests_are_in_no_directory_of_others(lab: Path, kind: str) -> None:
    """Whoever has the socket of a connection gets what is sent to the guest, and answers for it."""
    place = ssh.control_dir(lab)
    there = place.with_name("theirs") if kind == "link" else place
    there.mkdir()
    if kind == "writable":
        there.chmod(0o777)
    elif os.geteuid():
        pytest.skip("only root can give a directory to another user")
    else:
        os.chown(there, 12345, 12345)
    if kind == "link":
        place.symlink_to(there)
        os.lchown(place, 12345, 12345)
    (there / "socket").touch()
    with pytest.raises(_private.UntrustedError, match="shorter path"):
        ssh.secure(lab)
    with pytest.raises(AnsibleError, match="shorter path"):
        lab_file._sockets(lab)
    ssh.hang_up(lab)
    assert (there / "socket").exists()
