# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache: what is trusted, what is noticed as damaged, and that two runs do not do the work twice."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import BinariesError, Program, find, look
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import _cache as cache_module
from release_files import HEADSCALE, Release, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def filled(release: Release, cache: Path, tools: Path) -> Callable[[], tuple[Program, list[str]]]:
    """Return a search for headscale that gives what was found and what was said; it ran once already."""

    def search() -> tuple[Program, list[str]]:
        said: list[str] = []
        found = find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources(), progress=said.append)
        return found["headscale"], said

    assert search()[0].source == "archive"
    assert search()[0].source == "cache"
    return search


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5)


def _flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"#" + content[-1:])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _not_executable(path: Path) -> None:
    path.chmod(0o644)
    if os.access(path, os.X_OK):
        pytest.skip("this user may execute anything")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_truncate, "5 bytes instead of"),
        (_flip, "its content is not what was installed"),
        (_empty, "0 bytes instead of"),
        (_not_executable, "it is not executable"),
    ],
)
def test_a_damaged_program_is_named_and_got_again(
    harm: Callable[[Path], None], words: str, filled: Callable[[], tuple[Program, list[str]]]
) -> None:
    path = filled()[0].path
    harm(path)
    found, said = filled()
    assert found.source == "archive"
    assert path.read_bytes() == program(HEADSCALE)
    complaint = next(line for line in said if "damaged" in line)
    assert words in complaint
    assert str(path) in complaint
    assert filled()[1] == []


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{",
        "[]",
        "null",
        '{"programs": 3}',
        '{"programs": {"headscale": {}}}',
        '{"programs": {"headscale": {"sha256": 1, "size": "2", "mtime_ns": 3, "inode": 4, "source": "x"}}}',
    ],
)
def test_a_damaged_record_is_named_and_mended(record: str, filled: Callable[[], tuple[Program, list[str]]]) -> None:
    manifest = filled()[0].path.with_name("manifest.json")
    manifest.write_text(record)
    found, said = filled()
    assert found.source == "archive"
    assert any(str(manifest) in line for line in said)
    assert filled()[0].source == "cache"


def test_a_program_that_was_never_recorded_is_not_trusted(
    filled: Callable[[], tuple[Program, list[str]]],
) -> None:
    filled()[0].path.with_name("manifest.json").unlink()
    assert filled()[0].source == "archive"


def test_an_untouched_program_is_not_read_again(
    filled: Callable[[], tuple[Program, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "digest", lambda path: pytest.fail(f"{path} was read"))
    assert filled()[0].source == "cache"


def test_a_touched_program_is_read_once_and_kept(
    filled: Callable[[], tuple[Program, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    digest = cache_module.digest
    monkeypatch.setattr(cache_module, "digest", lambda path: read.append(path) or digest(path))
    path = filled()[0].path
    os.utime(path, ns=(1, 1))
    assert filled()[0].source == "cache"
    assert filled()[0].source == "cache"
    assert read == [path]


def test_a_copied_cache_is_accepted(filled: Callable[[], tuple[Program, list[str]]], cache: Path, tools: Path) -> None:
    path = filled()[0].path
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o755)
    copy.replace(path)
    assert look(["headscale"], cache_dir=cache, tools_dir=tools)["headscale"].source == "cache"


def test_looking_creates_nothing(cache: Path, tools: Path) -> None:
    assert look(cache_dir=cache, tools_dir=tools) == {}
    assert not cache.exists()


def test_what_a_killed_run_left_is_removed(release: Release, cache: Path, tools: Path) -> None:
    left = cache / "bin" / ".staging-dead"
    left.mkdir(parents=True)
    (left / "headscale").write_bytes(b"half")
    find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources())
    assert not left.exists()


def test_two_runs_at_once_fetch_once(release: Release, cache: Path, tools: Path) -> None:
    sources: list[str] = []

    def search() -> None:
        found = find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources())
        sources.append(found["headscale"].source)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sources) == ["archive", "cache", "cache", "cache"]
    assert release.asked.count(release.headscale) == 1


def test_a_run_that_waits_for_another_says_so(release: Release, cache: Path, tools: Path) -> None:
    said: list[str] = []
    told = threading.Event()

    def progress(text: str) -> None:
        said.append(text)
        told.set()

    def search() -> None:
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources(), progress=progress)

    (cache / "bin").mkdir(parents=True)
    waiting = threading.Thread(target=search)
    with (cache / "bin" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        assert told.wait(10)
        assert "waiting" in said[0]
        assert release.asked == []
    waiting.join(10)
    assert not waiting.is_alive()
    assert release.asked


def test_an_interruption_leaves_nothing_half_made(
    release: Release, cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_module, "_sync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources())
    assert not [path for path in cache.rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_cache_that_cannot_be_written_is_named(release: Release, tmp_path: Path, tools: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BinariesError, match="MESHCTL_CACHE_DIR"):
        find(["headscale"], cache_dir=blocked, tools_dir=tools, sources=release.sources())


def test_the_record_says_where_a_program_came_from(filled: Callable[[], tuple[Program, list[str]]]) -> None:
    path = filled()[0].path
    recorded = json.loads(path.with_name("manifest.json").read_text())["programs"]["headscale"]
    assert recorded["source"] == "archive"
    assert recorded["size"] == path.stat().st_size
    assert recorded["sha256"] == cache_module.digest(path)


def test_a_search_that_ends_in_the_cache_is_quick(filled: Callable[[], tuple[Program, list[str]]]) -> None:
    started = time.monotonic()
    filled()
    assert time.monotonic() - started < 0.1
