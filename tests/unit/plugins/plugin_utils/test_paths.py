# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directories of state and programs: none that another user could tamper with is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import BinariesError, find
from release_files import HEADSCALE, Release


@pytest.mark.parametrize(("name", "of"), [("STATE", _paths.state_dir), ("CACHE", _paths.cache_dir)])
@pytest.mark.parametrize("shared", ["", ".."])
def test_a_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, of: object, shared: str
) -> None:
    path = tmp_path / "shared" / "own"
    path.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv(f"MESHCTL_{name}_DIR", str(path))
    assert of() == path  # type: ignore[operator]
    _paths._check.cache_clear()
    (path / shared).resolve().chmod(0o777)
    with pytest.raises(BadInput, match=f"writable by every user.*MESHCTL_{name}_DIR"):
        of()  # type: ignore[operator]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "theirs"
    path.mkdir()
    os.chown(path, 12345, 12345)
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(path))
    with pytest.raises(BadInput, match="belongs to another user"):
        _paths.lab_dir("seed")


def test_what_is_made_is_for_this_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = _paths.make(tmp_path / "a" / "labs")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == path.parent.stat().st_mode & 0o777 == 0o700


def test_a_cached_program_that_others_could_replace_is_not_run(release: Release, cache: Path, tools: Path) -> None:
    before = os.umask(0)
    try:
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources())
    finally:
        os.umask(before)
    directory = cache / "bin" / f"headscale-{HEADSCALE}"
    assert all(place.stat().st_mode & 0o077 == 0 for place in (directory, directory.parent, cache))
    directory.chmod(0o777)
    with pytest.raises(BinariesError, match=r"writable by every user.*MESHCTL_CACHE_DIR"):
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources())
