# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Release archives: what is fetched, what is refused, and that nothing of the refused is kept."""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
import tarfile
import time
from typing import TYPE_CHECKING

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import (
    BinariesError,
    Sources,
    _archive,
    find,
    tools_dir,
    wanted_versions,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import architecture
from release_files import HEADSCALE, TAILSCALE, Release, archive, pin, program

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = ["tailscale", "tailscaled"]


def _files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != ".lock")


def _refused(programs: list[str], *, release: Release, cache: Path, tools: Path) -> str:
    """Return the message of a search that must fail, and see that it left nothing behind."""
    with pytest.raises(BinariesError) as caught:
        find(programs, cache_dir=cache, tools_dir=tools, sources=release.sources())
    assert _files(cache) == []
    assert not list(cache.rglob(".staging-*"))
    return str(caught.value)


def test_programs_are_fetched_verified_and_ready_to_run(release: Release, cache: Path, tools: Path) -> None:
    said: list[str] = []
    found = find(
        ["headscale", *CLIENTS], cache_dir=cache, tools_dir=tools, sources=release.sources(), progress=said.append
    )
    assert {name: (item.version, item.source) for name, item in found.items()} == {
        "headscale": (HEADSCALE, "archive"),
        "tailscale": (TAILSCALE, "archive"),
        "tailscaled": (TAILSCALE, "archive"),
    }
    assert found["headscale"].path == cache / "bin" / f"headscale-{HEADSCALE}" / "headscale"
    assert found["tailscaled"].path == cache / "bin" / f"tailscale-{TAILSCALE}" / "tailscaled"
    assert all(item.path.stat().st_mode & 0o777 == 0o755 for item in found.values())
    assert any("fetching headscale" in line for line in said)
    assert not list(cache.rglob(".staging-*"))


def test_a_second_search_asks_nobody(release: Release, cache: Path, tools: Path) -> None:
    find(CLIENTS, cache_dir=cache, tools_dir=tools, sources=release.sources())
    release.asked.clear()
    found = find(CLIENTS, cache_dir=cache, tools_dir=tools, sources=release.sources())
    assert [item.source for item in found.values()] == ["cache", "cache"]
    assert not any(item.changed for item in found.values())
    assert release.asked == []


def test_the_publishers_checksums_are_not_asked_for(release: Release, cache: Path, tools: Path) -> None:
    find(["headscale"], cache_dir=cache, tools_dir=tools, sources=release.sources())
    assert release.asked == [release.headscale]


@pytest.mark.parametrize("name", ["headscale", "tailscale"])
def test_what_differs_from_the_pinned_checksum_is_refused(
    name: str, release: Release, cache: Path, tools: Path
) -> None:
    release.files[getattr(release, name)] += b"\n# and more\n"
    message = _refused([name], release=release, cache=cache, tools=tools)
    assert "wrong checksum" in message
    assert f"mesh_release_url_{name}" in message


@pytest.mark.parametrize("name", ["headscale", "tailscale"])
def test_nothing_without_a_pinned_checksum_is_fetched(name: str, release: Release, cache: Path, tools: Path) -> None:
    (tools / "checksums.json").unlink()
    message = _refused([name], release=release, cache=cache, tools=tools)
    assert "has no checksum in" in message
    assert "mesh_binaries" in message
    assert release.asked == []


def test_the_versions_of_this_release_are_pinned() -> None:
    root = tools_dir()
    versions = wanted_versions(root)
    pinned = json.loads((root / "checksums.json").read_text(encoding="utf-8"))["sha256"]
    for cpu in ("amd64", "arm64"):
        for asset in (f"headscale_{versions['headscale']}_linux_{cpu}", f"tailscale_{versions['tailscale']}_{cpu}.tgz"):
            assert re.fullmatch(r"[0-9a-f]{64}", pinned[asset])


def _archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _member(name: str, size: int) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = size
    return info, bytes(size)


def _long_header() -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 5_000_000
    return _archive_of((info, bytes(info.size)))


@pytest.mark.parametrize(
    "content",
    [
        _archive_of(_member("d/x", 8_000_000)),
        _archive_of(_member("d/tailscale", 8_000_000)),
        _archive_of(*(_member(f"d/{n}", 0) for n in range(9000))),
        _long_header(),
        gzip.compress(bytes(8_000_000)),
    ],
    ids=["member", "program", "members", "header", "blanks"],
)
def test_an_archive_that_unpacks_to_too_much_is_refused(
    content: bytes, release: Release, cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_archive, "_MOST_UNPACKED", 4_000_000)
    release.publish_tailscale(content)
    message = _refused(["tailscale"], release=release, cache=cache, tools=tools)
    assert "cannot be unpacked" in message or "contains no tailscale" in message


def test_a_mirror_that_hardly_sends_anything_is_given_up(
    release: Release, cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_archive, "_SLOW_AFTER_S", 0.0)
    monkeypatch.setattr(_archive, "_SLOWEST_BYTES_S", 10**12)
    assert "bytes a second" in _refused(["headscale"], release=release, cache=cache, tools=tools)


@pytest.mark.parametrize("name", ["headscale", "tailscale"])
def test_a_download_that_breaks_off_is_refused(name: str, release: Release, cache: Path, tools: Path) -> None:
    address = getattr(release, name)
    release.cut[address] = len(release.files[address]) // 2
    message = _refused([name], release=release, cache=cache, tools=tools)
    assert re.search(r"broke off after \d+ of \d+ bytes|cannot be fetched", message)


def test_a_release_that_does_not_exist_is_named(release: Release, cache: Path, tools: Path) -> None:
    release.files.clear()
    message = _refused(["headscale"], release=release, cache=cache, tools=tools)
    assert "HTTP 404" in message
    assert "check the version" in message


def test_a_missing_archive_beside_its_checksum_is_named(release: Release, cache: Path, tools: Path) -> None:
    del release.files[release.tailscale]
    assert "HTTP 404" in _refused(["tailscale"], release=release, cache=cache, tools=tools)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no archive at all", "cannot be unpacked"),
        (archive(TAILSCALE, names=("tailscale",)), "contains no tailscaled"),
        (archive("4.5.5"), "reports version 4.5.5, not 4.5.6"),
    ],
)
def test_an_archive_that_is_not_the_release_is_refused(
    content: bytes, words: str, release: Release, cache: Path, tools: Path
) -> None:
    release.publish_tailscale(content)
    assert words in _refused(CLIENTS, release=release, cache=cache, tools=tools)


def test_a_program_that_does_not_run_is_refused(release: Release, cache: Path, tools: Path) -> None:
    release.publish_headscale(b"\x7fELF of another machine")
    assert "cannot be run" in _refused(["headscale"], release=release, cache=cache, tools=tools)


def test_another_version_is_fetched_when_it_is_wanted(release: Release, cache: Path, tools: Path) -> None:
    text = archive("4.9.0")
    release.files[release.tailscale.replace(TAILSCALE, "4.9.0")] = text
    pin(tools, release.tailscale_asset.replace(TAILSCALE, "4.9.0"), text)
    found = find(CLIENTS, versions={"tailscale": "v4.9.0"}, cache_dir=cache, tools_dir=tools, sources=release.sources())
    assert {item.version for item in found.values()} == {"4.9.0"}


def test_no_network_is_noticed_within_seconds(cache: Path, tools: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        pin(tools, f"headscale_{HEADSCALE}_linux_{architecture()}", b"")
        started = time.monotonic()
        with pytest.raises(BinariesError, match="cannot be reached") as caught:
            find(
                ["headscale"],
                cache_dir=cache,
                tools_dir=tools,
                sources=Sources(ways=("archive",), headscale_url=address),
            )
    assert time.monotonic() - started < 3.5
    assert "mesh_release_url_headscale" in str(caught.value)


def test_a_name_lookup_that_hangs_does_not_hang_the_search(
    cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_args: object, **_options: object) -> None:
        time.sleep(5)
        raise TimeoutError

    pin(tools, f"tailscale_{TAILSCALE}_{architecture()}.tgz", b"")
    monkeypatch.setattr(socket, "create_connection", hang)
    started = time.monotonic()
    with pytest.raises(BinariesError, match=r"no answer within 0\.1 s"):
        find(
            ["tailscale"],
            cache_dir=cache,
            tools_dir=tools,
            sources=Sources(ways=("archive",), tailscale_url="https://pkgs.invalid", connect_timeout_s=0.1),
        )
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc", "is not a web address"),
        ("releases.example.com/x", "is not a web address"),
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused(url: str, words: str, cache: Path, tools: Path) -> None:
    with pytest.raises(BinariesError, match=words):
        find(["headscale"], cache_dir=cache, tools_dir=tools, sources=Sources(ways=("archive",), headscale_url=url))


def test_the_environment_names_a_mirror(
    release: Release, cache: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHCTL_RELEASE_URL_HEADSCALE", f"{release.url}/headscale")
    found = find(["headscale"], cache_dir=cache, tools_dir=tools, sources=Sources.from_environment(ways=("archive",)))
    assert found["headscale"].path.read_bytes() == program(HEADSCALE)
