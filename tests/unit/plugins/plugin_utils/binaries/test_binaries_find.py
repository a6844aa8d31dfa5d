# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of the ways, programs that the inventory names, builds with a scripted Go, and the closing sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import (
    PROGRAMS,
    BinariesError,
    Sources,
    find,
    look,
    tools_dir,
    wanted_versions,
)
from release_files import HEADSCALE, TAILSCALE, Release, program

BUILD = Sources(ways=("build",))


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a scripted Go first on PATH; it writes programs that report the pinned versions."""
    path = _script(
        tmp_path / "go-bin" / "go",
        f"""
case "$1" in
  env) echo go1.99.1 ;;
  list) echo "go: downloading x v1" >&2; echo "stale a/b"; echo "stale c/d" ;;
  build)
    echo "$GOFLAGS $CGO_ENABLED $GOTOOLCHAIN $*" >> {tmp_path}/go.log
    echo a/b >&2; echo c/d >&2
    while [ "$1" != -o ]; do shift; done
    out=$2; shift 2
    for package; do
      case "$package" in *juanfont*) v={HEADSCALE} ;; *) v={TAILSCALE} ;; esac
      printf '#!/bin/sh\\necho %s\\n' $v > "$out${{package##*/}}"
    done ;;
esac
""",
    )
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return path


def test_everything_is_built_where_there_is_no_archive(go: Path, cache: Path, tools: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = find(cache_dir=cache, tools_dir=tools, sources=BUILD, progress=said.append)
    assert list(found) == list(PROGRAMS)
    assert {item.source for item in found.values()} == {"build"}
    assert {name: item.version for name, item in found.items()} == {
        "headscale": HEADSCALE,
        "tailscale": TAILSCALE,
        "tailscaled": TAILSCALE,
        "derper": TAILSCALE,
    }
    calls = (tmp_path / "go.log").read_text().splitlines()
    assert len(calls) == 2
    assert all(call.startswith("-mod=readonly 0 local build") for call in calls)
    assert f"tailscale.com/version.longStamp={TAILSCALE}" in calls[1]
    assert "building headscale" in said[0]
    assert {item.source for item in find(cache_dir=cache, tools_dir=tools, sources=BUILD).values()} == {"cache"}


def test_archives_come_before_builds_and_the_relay_is_built(
    release: Release, go: Path, cache: Path, tools: Path
) -> None:
    found = find(cache_dir=cache, tools_dir=tools, sources=release.sources("archive", "build"))
    assert {name: item.source for name, item in found.items()} == {
        "headscale": "archive",
        "tailscale": "archive",
        "tailscaled": "archive",
        "derper": "build",
    }


def test_a_refused_archive_is_built_instead(release: Release, go: Path, cache: Path, tools: Path) -> None:
    release.files[release.headscale] += b"#"
    said: list[str] = []
    found = find(
        ["headscale"],
        cache_dir=cache,
        tools_dir=tools,
        sources=release.sources("archive", "build"),
        progress=said.append,
    )
    assert found["headscale"].source == "build"
    assert any("wrong checksum" in line for line in said)


def test_the_relay_keeps_its_version_when_another_client_is_wanted(go: Path, cache: Path, tools: Path) -> None:
    found = find(["derper"], versions={"tailscale": "9.9.9"}, cache_dir=cache, tools_dir=tools, sources=BUILD)
    assert found["derper"].version == TAILSCALE


def test_another_version_cannot_be_built(go: Path, cache: Path, tools: Path) -> None:
    with pytest.raises(BinariesError, match=rf"only headscale {HEADSCALE} can be built.*mesh_headscale_version"):
        find(["headscale"], versions={"headscale": "9.9.9"}, cache_dir=cache, tools_dir=tools, sources=BUILD)


def test_a_go_that_is_too_old_is_named(
    cache: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = _script(tmp_path / "old" / "go", "echo go1.19.8\n")
    text = (tools / "headscale" / "go.mod").read_text().replace("go 1.21", "go 99.1")
    (tools / "headscale" / "go.mod").write_text(text)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    with pytest.raises(BinariesError, match=r"requires 99\.1 or newer: run \./bootstrap"):
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=BUILD)


def test_what_go_said_is_in_the_message(go: Path, cache: Path, tools: Path) -> None:
    _script(go, 'case "$1" in env) echo go1.99.1 ;; list) ;; build) echo "x.go:1: no space left" >&2; exit 1 ;; esac\n')
    with pytest.raises(BinariesError, match="no space left"):
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=BUILD)
    assert not list(cache.rglob(".staging-*"))


def test_when_no_way_works_one_sentence_names_them_all(cache: Path, tools: Path, go: Path) -> None:
    go.write_text("#!/bin/sh\nexit 1\n")
    sources = Sources(headscale_url="http://127.0.0.1:1")
    with pytest.raises(BinariesError) as caught:
        find(["headscale"], versions={"headscale": "9.9.9"}, cache_dir=cache, tools_dir=tools, sources=sources)
    message = str(caught.value)
    assert "\n" not in message
    for words in ("headscale 9.9.9", str(cache), "release archive: ", "go build: ", "mesh_binaries"):
        assert words in message


def test_a_kill_leaves_no_program_and_the_next_run_builds(go: Path, cache: Path, tools: Path, tmp_path: Path) -> None:
    good = go.read_text()
    pids = tmp_path / "pids"
    _script(go, f'case "$1" in env) echo go1.99.1 ;; list) ;; build) echo $$ > {pids}; exec sleep 60 ;; esac\n')
    code = (
        "from pathlib import Path; from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import *;"
        f"find(['headscale'], cache_dir=Path({str(cache)!r}), tools_dir=Path({str(tools)!r}),"
        "sources=Sources(ways=('build',)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    _until(lambda: pids.exists() and pids.read_text().strip())
    process.send_signal(signal.SIGKILL)
    process.wait()
    go_pid = int(pids.read_text())
    _until(lambda: not Path(f"/proc/{go_pid}").exists() or "Z" in _state(go_pid))
    assert look(["headscale"], cache_dir=cache, tools_dir=tools) == {}
    go.write_text(good)
    assert find(["headscale"], cache_dir=cache, tools_dir=tools, sources=BUILD)["headscale"].source == "build"
    assert not list(cache.rglob(".staging-*"))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def _until(true: object) -> None:
    deadline = time.monotonic() + 15
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come true within 15 s"
        time.sleep(0.02)


def test_a_program_that_the_inventory_names_is_taken(cache: Path, tools: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(program("7.8.9"))
    mine.chmod(0o755)
    found = find(["headscale"], paths={"headscale": str(mine)}, cache_dir=cache, tools_dir=tools, sources=BUILD)
    assert (found["headscale"].path, found["headscale"].version) == (mine, "7.8.9")
    assert found["headscale"].source == "inventory"
    assert not cache.exists()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "there is no such file"),
        ("#!/bin/sh\necho 1.2.3\n", 0o644, "is not executable"),
        ("#!/bin/sh\necho hello\n", 0o755, "reported no version"),
        ("#!/bin/sh\necho 1.2.3\nexit 3\n", 0o755, "exit code 3"),
        ("#!/no/such/shell\n", 0o755, "cannot be run"),
    ],
)
def test_a_named_program_that_will_not_do_is_refused(
    content: str | None, mode: int, words: str, cache: Path, tools: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    if content is not None:
        mine.write_text(content)
        mine.chmod(mode)
    with pytest.raises(BinariesError, match=words) as caught:
        find(["headscale"], paths={"headscale": str(mine)}, cache_dir=cache, tools_dir=tools, sources=BUILD)
    assert "mesh_binaries.headscale" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_relative_path_is_refused(cache: Path, tools: Path) -> None:
    with pytest.raises(BinariesError, match="not an absolute path"):
        find(["headscale"], paths={"headscale": "bin/headscale"}, cache_dir=cache, tools_dir=tools, sources=BUILD)


@pytest.mark.parametrize("name", ["headscal", ""])
def test_an_unknown_program_is_named(name: str, cache: Path, tools: Path) -> None:
    with pytest.raises(BinariesError, match="choose from headscale, tailscale, tailscaled, derper"):
        find([name], cache_dir=cache, tools_dir=tools)
    with pytest.raises(BinariesError, match="choose from"):
        find(["headscale"], paths={name: "/x"}, cache_dir=cache, tools_dir=tools)


@pytest.mark.parametrize("version", ["latest", "1.2", "../../x", "1.2.3; rm"])
def test_a_version_that_is_none_is_named(version: str, tools: Path) -> None:
    with pytest.raises(BinariesError, match="mesh_headscale_version"):
        wanted_versions(tools=tools, overrides={"headscale": version})


def test_without_pinned_modules_the_message_says_what_to_set(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BinariesError, match="MESHCTL_TOOLS_DIR"):
        find(["headscale"], cache_dir=cache, tools_dir=tmp_path / "none", sources=BUILD)


def test_the_projects_own_pins_are_read() -> None:
    pinned = wanted_versions(tools=tools_dir(), overrides={})
    assert set(pinned) == {"headscale", "tailscale"}
    assert pinned["headscale"].startswith("0.")


def test_the_environment_moves_the_pinned_modules(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_TOOLS_DIR", str(tools))
    assert tools_dir() == tools
