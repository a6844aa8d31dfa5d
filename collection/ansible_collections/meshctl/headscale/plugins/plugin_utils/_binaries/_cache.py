# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""meshctl's cache of programs: verified, locked, and never half-written."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils import _private
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import BinariesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import Progress

_MANIFEST = "manifest.json"
_STAGING = ".staging-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What was recorded of a program when it was installed."""

    sha256: str
    size: int
    mtime_ns: int
    inode: int
    source: str

    def untouched(self, stat: os.stat_result) -> bool:
        """Whether size, time and inode are as recorded, so that the content need not be read again."""
        return (self.size, self.mtime_ns, self.inode) == (stat.st_size, stat.st_mtime_ns, stat.st_ino)


class Cache:
    """The directory `<cache>/bin`, one directory for each tool and version in it."""

    def __init__(self, directory: Path) -> None:
        """Use the cache below `directory`; nothing is created until something is installed."""
        self.root = directory / "bin"

    def look(self, *, tool: str, version: str, program: str, complain: Progress) -> Path | None:
        """Return the cached program, None when there is none; a damaged one is named to `complain`, and is none."""
        directory = self._directory(tool, version)
        path = directory / program
        entry = _read_manifest(directory, complain).get(program)
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise BinariesError(f"{path} cannot be read ({exc.strerror}): correct its permissions") from None
        if entry is None:
            # Installed, and interrupted before it was recorded: nothing says that it is whole.
            return None
        _check(directory)
        if damage := _damage(path, stat, entry):
            complain(f"the cached {program} {version} is damaged ({damage}; {path}): fetching it again")
            return None
        if not entry.untouched(stat):
            # The content is right (a restored backup, a copied cache): remember, so that it is read once only.
            with contextlib.suppress(OSError):
                self._record(directory, program, _entry(path, sha256=entry.sha256, source=entry.source))
        return path

    @contextlib.contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Hold the cache's lock, so that two runs do not build the same twice; what dead runs left is removed."""
        try:
            _make(self.root)
            lock = (self.root / ".lock").open("w", encoding="utf-8")
        except OSError as exc:
            raise BinariesError(
                f"the cache {self.root} cannot be written ({exc.strerror}): "
                "correct its permissions, or set MESHCTL_CACHE_DIR to a directory that you own"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(f"another meshctl is filling {self.root}: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            # The lock is ours, so the process that made these is gone (killed, or the machine went down).
            for left in self.root.glob(_STAGING + "*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a directory on the cache's file system, and remove it however the work ends. Call it locked."""
        directory = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.root))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def install(self, *, tool: str, version: str, program: str, file: Path, source: str) -> Path:
        """Move `file` (in a staging directory) into the cache and record it. Call it locked."""
        directory = self._directory(tool, version)
        _make(directory)
        path = directory / program
        file.chmod(0o755)
        _sync(file)
        sha256 = digest(file)
        file.replace(path)
        self._record(directory, program, _entry(path, sha256=sha256, source=source))
        return path

    def _directory(self, tool: str, version: str) -> Path:
        return self.root / f"{tool}-{version}"

    def _record(self, directory: Path, program: str, entry: Entry) -> None:
        entries = {**_read_manifest(directory, _silent), program: entry}
        document = {"format": 1, "programs": {name: dataclasses.asdict(known) for name, known in entries.items()}}
        descriptor, name = tempfile.mkstemp(prefix="." + _MANIFEST, dir=directory)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=2, sort_keys=True)
                stream.write("\n")
            temporary.chmod(0o644)
            temporary.replace(directory / _MANIFEST)
        finally:
            temporary.unlink(missing_ok=True)


_REMEDY = "Its programs may run as root: set MESHCTL_CACHE_DIR to a directory that you own."


def _make(directory: Path) -> None:
    try:
        _private.directory(directory, remedy=_REMEDY)
    except _private.UntrustedError as exc:
        raise BinariesError(str(exc)) from None


def _check(directory: Path) -> None:
    try:
        _private.check(directory, remedy=_REMEDY)
    except _private.UntrustedError as exc:
        raise BinariesError(str(exc)) from None


def recorded_digest(path: Path) -> str | None:
    """Return the sha256 that a cached program had when it was installed; None for a program that is not of the cache."""
    entry = _read_manifest(path.parent, _silent).get(path.name)
    return entry.sha256 if entry else None


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damage(path: Path, stat: os.stat_result, entry: Entry) -> str:
    """Say what is wrong with a cached program, nothing when it is as it was installed."""
    if not os.access(path, os.X_OK):
        return "it is not executable"
    if entry.untouched(stat):
        return ""
    if stat.st_size != entry.size:
        return f"{stat.st_size} bytes instead of {entry.size}"
    return "" if digest(path) == entry.sha256 else "its content is not what was installed"


def _entry(path: Path, *, sha256: str, source: str) -> Entry:
    stat = path.stat()
    return Entry(sha256=sha256, size=stat.st_size, mtime_ns=stat.st_mtime_ns, inode=stat.st_ino, source=source)


def _read_manifest(directory: Path, complain: Progress) -> dict[str, Entry]:
    """Return what is recorded of a directory's programs; an unreadable record is named, and counts as none."""
    path = directory / _MANIFEST
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: _checked_entry(fields) for name, fields in document["programs"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        complain(f"the record {path} of the cache is damaged: fetching its programs again")
        return {}


def _checked_entry(fields: dict[str, Any]) -> Entry:
    """Return an entry of the right types: a number in quotes would count as a damaged program forever."""
    entry = Entry(**fields)
    for field in dataclasses.fields(entry):
        value = getattr(entry, field.name)
        if not isinstance(value, str if field.name in ("sha256", "source") else int):
            raise TypeError(field.name)
    return entry


def _sync(path: Path) -> None:
    """Have the kernel write a file out, so that a power cut leaves no empty program under the final name."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _silent(_text: str) -> None:
    """Say nothing."""
