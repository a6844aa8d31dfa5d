# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories and files that no other user can read, write or replace."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from ..module_utils._errors import BadInput

_FIRST_PERSON = 1000


class UntrustedError(BadInput):
    """A directory that another user could tamper with; its text is one sentence for people."""


def directory(path: Path, *, remedy: str) -> Path:
    """Make `path` and its missing parents, 0700; refuse it when another user owns it, can write to it or replace it.

    :raises UntrustedError: with the directory, the reason and `remedy`.
    """
    try:
        with _umask():
            path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        # As /proc answers, in which nothing can be created.
        raise BadInput(f"The directory {path} cannot be created: {error.strerror}. {remedy}") from None
    check(path, remedy=remedy)
    return path


def check(path: Path, *, remedy: str) -> None:
    """Refuse a directory that another user owns, can write to, or can replace through one of its parents."""
    real = path.resolve()
    if reason := _writable(real, real.lstat()):
        raise UntrustedError(f"The directory {real} {reason}. {remedy}")
    links = [place for place in (path, *path.parents) if place.is_symlink()]
    for place in (*links, real, *real.parents):
        found = place.lstat()
        reason = _foreign(found)
        if not (reason or found.st_mode & stat.S_ISVTX or place in links):
            reason = _writable(place, found)
        if reason:
            raise UntrustedError(f"The directory {path} is not safe from other users: {place} {reason}. {remedy}")


def check_open(path: Path, *, remedy: str) -> None:
    """Refuse a directory that this user cannot list or enter, such as one of root's; one that is missing is fine."""
    try:
        closed = path.is_dir() and not os.access(path, os.R_OK | os.X_OK, effective_ids=True)
        # From Python 3.14, `is_dir` hides that a parent is closed.
        path.stat()
    except PermissionError:
        closed = True
    except OSError:
        return
    if closed:
        raise UntrustedError(f"The directory {path} is closed to this user (Permission denied). {remedy}")


def new_file(path: Path, *, append: bool = False) -> int:
    """Return a descriptor of a file for this user alone; one that exists is only taken for appending, a link never."""
    how = os.O_APPEND if append else os.O_EXCL
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)


def new_directory(parent: Path, name: str) -> Path:
    """Make the directory `name`, which must not exist, in a `parent` that was checked before."""
    descriptor = os.open(parent.resolve(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.mkdir(name, mode=0o700, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    return parent / name


def _foreign(found: os.stat_result) -> str:
    """Return why the owner is not trusted: neither this user, nor root, nor the user who can change meshctl itself."""
    trusted = {0, os.geteuid(), Path(__file__).stat().st_uid}
    if (caller := os.environ.get("SUDO_UID", "")).isdigit():
        trusted.add(int(caller))
    if "4294967295" not in Path("/proc/self/uid_map").read_text(encoding="utf-8"):
        # In a user namespace, root of the host has no number but this one.
        trusted.add(int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="utf-8")))
    return "" if found.st_uid in trusted else f"belongs to another user ({_name(found.st_uid)})"


def _writable(place: Path, found: os.stat_result) -> str:
    """Return how others can write to a directory, if they can."""
    if found.st_mode & stat.S_IWOTH:
        return f"is writable by every user: `chmod o-w {shlex.quote(str(place))}` changes that"
    if found.st_mode & stat.S_IWGRP and not _only_ours(found.st_gid):
        return (
            f"is writable by the group {_group(found.st_gid)}, which other users may be in: "
            f"`chmod g-w {shlex.quote(str(place))}` changes that"
        )
    return ""


def _only_ours(group: int) -> bool:
    """Whether a group is root's, or the one that many systems give this user alone, and no other user is in it."""
    user = os.geteuid()
    # LDAP seldom lists all accounts, so the name or number must match as well.
    own = group == os.getegid() and (group == user or _group(group) == _name(user))
    if not (own or group == 0):
        return False
    try:
        members = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        members = set()
    # Red Hat gives accounts of the system, such as `halt`, root's group; only root can use them.
    people = _FIRST_PERSON if group == 0 else 0
    others = [known for known in pwd.getpwall() if known.pw_gid == group and known.pw_uid not in (0, user)]
    return members <= {_name(user), _name(0)} and all(known.pw_uid < people for known in others)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _group(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


@contextlib.contextmanager
def _umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
