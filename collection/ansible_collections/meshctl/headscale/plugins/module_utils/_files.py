# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that hold one secret."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import tempfile
import time
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded

_LARGEST = 4096
_PATIENCE_S = 60.0


def read_secret(path: str) -> str | None:
    """Return what a file holds, without the blanks around it; None when there is no such file."""
    try:
        content = _content(str(expanded(path)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"The file {path!r} cannot be read ({error.strerror}).") from None
    text = content.decode("utf-8", errors="replace").strip()
    if len(content) > _LARGEST or "\n" in text:
        raise BadInput(f"The file {path!r} contains more than one line: it should contain a key and nothing else.")
    return text


def _content(path: str) -> bytes:
    """Return what a file or the pipe of a program holds; a pipe that stays empty is not waited for without end."""
    content, until = b"", time.monotonic() + _PATIENCE_S
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while len(content) <= _LARGEST:
            if not select.select([handle], [], [], max(0.0, until - time.monotonic()))[0]:
                raise OSError(errno.ETIMEDOUT, f"nothing came from this pipe within {_PATIENCE_S:g} s")
            chunk = os.read(handle, _LARGEST + 1)
            if not chunk:
                break
            content += chunk
    finally:
        os.close(handle)
    return content


def write_secret(path: str, secret: str) -> None:
    """Replace a file at once by one that only its owner reads; an existing file keeps its owner."""
    target = expanded(path).resolve()
    try:
        # mkstemp makes it 0600 from the first moment on.
        handle, temporary = tempfile.mkstemp(prefix=".meshctl-", dir=target.parent)
    except OSError as error:
        raise BadInput(f"No file can be written in {str(target.parent)!r} ({error.strerror}).") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            _keep_owner(target, file.fileno())
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise BadInput(f"The file {path!r} cannot be written ({error.strerror}).") from None


def _keep_owner(target: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        old = target.stat()
        os.fchown(descriptor, old.st_uid, old.st_gid)


def writable(path: str) -> None:
    """Say before anything is minted that a file could not be written."""
    target = expanded(path).resolve()
    if target.is_dir():
        raise BadInput(f"The path {path!r} is a directory: name a file in it.")
    if not target.parent.is_dir():
        raise BadInput(f"The directory of {path!r} does not exist: create it first.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise BadInput(f"The directory of {path!r} cannot be written by this user.")


def remove(path: str) -> None:
    """Remove a file that may not exist."""
    try:
        expanded(path).unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInput(f"The file {path!r} cannot be removed ({error.strerror}).") from None
