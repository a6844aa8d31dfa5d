# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories that another user controls are refused, and what is made is for this user alone."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _private

REMEDY = "Choose another."


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_directory_and_its_parents_are_made_for_this_user_alone(tmp_path: Path) -> None:
    _private.directory(tmp_path / "a" / "b", remedy=REMEDY)
    made = _private.new_directory(tmp_path / "a" / "b", "c")
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "a" / "b", made)] == [0o700] * 3
    with pytest.raises(FileExistsError):
        _private.new_directory(tmp_path / "a" / "b", "c")


@pytest.mark.parametrize(("where", "bits"), [("a/b", 0o777), ("a/b", 0o1777), ("a", 0o777)])
def test_a_directory_that_everybody_can_write_to_or_replace_is_refused(tmp_path: Path, where: str, bits: int) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        path.chmod(0o755)
    (tmp_path / where).chmod(bits)
    with pytest.raises(_private.UntrustedError, match=f"{tmp_path / where} is writable by every user.*{REMEDY}"):
        _private.directory(tmp_path / "a" / "b", remedy=REMEDY)


def test_a_directory_in_one_that_is_shared_like_tmp_is_fine(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert mode(_private.directory(tmp_path / "runs", remedy=REMEDY)) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
@pytest.mark.parametrize("kind", ["directory", "link", "parent"])
def test_a_directory_that_another_user_has_put_there_is_refused(tmp_path: Path, kind: str) -> None:
    tmp_path.chmod(0o1777)
    runs = tmp_path / "runs" if kind != "parent" else tmp_path / "theirs" / "runs"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        runs.symlink_to(tmp_path / "elsewhere")
        os.lchown(runs, 1234, 1234)
    else:
        runs.mkdir(mode=0o755, parents=True)
        os.chown(runs if kind == "directory" else runs.parent, 1234, 1234)
    with pytest.raises(_private.UntrustedError, match=r"belongs to another user \(1234\)"):
        _private.directory(runs, remedy=REMEDY)


def test_a_directory_that_cannot_be_made_is_bad_input() -> None:
    with pytest.raises(BadInput, match=f"^The directory /proc/nosuch cannot be created: No such file .*{REMEDY}"):
        _private.directory(Path("/proc/nosuch"), remedy=REMEDY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_group_with_other_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o775)
    assert _private.directory(tmp_path, remedy=REMEDY)
    os.chown(tmp_path, 0, 1234)
    with pytest.raises(_private.UntrustedError, match="is writable by the group 1234"):
        _private.directory(tmp_path, remedy=REMEDY)


_ROOT = ("root", 0, 0)


@pytest.mark.parametrize(
    ("group", "mine", "members", "others", "trusted"),
    [
        pytest.param(("alice", 1000), 1000, [], [], True, id="private group"),
        pytest.param(("alice", 1000), 1000, ["alice", "root"], [], True, id="private group that lists its user"),
        pytest.param(("alice", 1001), 1001, [], [], True, id="same name, other number"),
        pytest.param((None, 1000), 1000, [], [], True, id="number of a container"),
        pytest.param(("alice", 1000), 1000, [], [("alias", 1000, 1000)], True, id="another name of the user"),
        pytest.param(("alice", 1000), 1000, ["bob"], [], False, id="another member"),
        pytest.param(("alice", 1000), 1000, [], [("bob", 1001, 1000)], False, id="another's primary group"),
        pytest.param(("alice", 1000), 1000, [], [("service", 300, 1000)], False, id="a service's primary group"),
        pytest.param(("users", 100), 100, [], [("bob", 1001, 100)], False, id="shared primary group"),
        pytest.param(("domain users", 10513), 10513, [], [], False, id="shared primary group of a directory"),
        pytest.param(("team", 1000), 100, [], [], False, id="not the primary group"),
        pytest.param(("root", 0), 1000, [], [("halt", 7, 0)], True, id="root's group"),
        pytest.param(("root", 0), 1000, [], [("bob", 1001, 0)], False, id="root's group with a person"),
        pytest.param(("root", 0), 1000, ["bob"], [], False, id="root's group with a member"),
    ],
)
def test_a_group_is_trusted_if_no_other_user_is_in_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: tuple[str | None, int],
    mine: int,
    members: list[str],
    others: list[tuple[str, int, int]],
    trusted: bool,
) -> None:
    name, number = group
    accounts = [
        SimpleNamespace(pw_name=name, pw_uid=uid, pw_gid=gid)
        for name, uid, gid in [_ROOT, ("alice", 1000, mine), *others]
    ]

    def getgrgid(asked: int) -> Any:
        if name is None or asked != number:
            raise KeyError(asked)
        return SimpleNamespace(gr_name=name, gr_mem=members)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: mine)
    monkeypatch.setattr(grp, "getgrgid", getgrgid)
    monkeypatch.setattr(pwd, "getpwall", lambda: accounts)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: next(known for known in accounts if known.pw_uid == uid))
    found: Any = SimpleNamespace(st_mode=0o40775, st_gid=number)
    why = "" if trusted else (
        f"is writable by the group {name}, which other users may be in: `chmod g-w {tmp_path}` changes that"
    )  # fmt: skip
    assert _private._writable(tmp_path, found) == why


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_the_user_behind_sudo_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    os.chown(tmp_path, 1234, 1234)
    monkeypatch.setenv("SUDO_UID", "1234")
    assert _private.directory(tmp_path / "runs", remedy=REMEDY)


def test_a_file_is_new_or_appended_to_and_never_a_link(tmp_path: Path) -> None:
    os.close(_private.new_file(tmp_path / "file"))
    assert mode(tmp_path / "file") == 0o600
    with pytest.raises(FileExistsError):
        _private.new_file(tmp_path / "file")
    os.close(_private.new_file(tmp_path / "file", append=True))
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for append in (True, False):
        with pytest.raises(OSError, match="link"):
            _private.new_file(tmp_path / "link", append=append)
    assert not (tmp_path / "target").exists()
