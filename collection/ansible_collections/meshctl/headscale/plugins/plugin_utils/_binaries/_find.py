# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The search: inventory, cache, archive, build."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import _pinned
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._cache import Cache
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import (
    PROGRAMS,
    TAILSCALE,
    TOOLS,
    BadInputError,
    BinariesError,
    Program,
    Progress,
    Source,
    Sources,
    Tool,
    WayFailedError,
    reported_version,
    tool_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def find(  # noqa: PLR0913
    programs: Iterable[str] = PROGRAMS,
    *,
    versions: Mapping[str, str] | None = None,
    paths: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    tools_dir: Path | None = None,
    sources: Sources | None = None,
    progress: Progress | None = None,
) -> dict[str, Program]:
    """Return where each program is, fetching or building what is missing.

    :param versions: of a tool (`headscale`, `tailscale`); what is not named is as `tools/*/go.mod` pins it.
        The relay `derper` always has the pinned version of tailscale: it has no release archive.
    :param paths: of programs that the inventory names; those are taken as they are, or refused.
    :param progress: called with one line of text at the start and the end of something long, and every few seconds.
    """
    search = _Search(versions=versions, paths=paths, cache_dir=cache_dir, tools_dir=tools_dir, progress=progress)
    wanted = list(dict.fromkeys(programs))
    found = search.look(wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        found |= search.get(missing, sources or Sources.from_environment())
    return {name: found[name] for name in wanted}


def look(
    programs: Iterable[str] = PROGRAMS,
    *,
    versions: Mapping[str, str] | None = None,
    paths: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    tools_dir: Path | None = None,
) -> dict[str, Program]:
    """Return the programs that the inventory names or the cache holds; nothing is fetched, built or waited for."""
    search = _Search(versions=versions, paths=paths, cache_dir=cache_dir, tools_dir=tools_dir, progress=None)
    return search.look(list(dict.fromkeys(programs)))


class _Search:
    """One search, with what it was asked for."""

    def __init__(
        self,
        *,
        versions: Mapping[str, str] | None,
        paths: Mapping[str, str] | None,
        cache_dir: Path | None,
        tools_dir: Path | None,
        progress: Progress | None,
    ) -> None:
        self._paths = dict(paths or {})
        for name in self._paths:
            tool_of(name)
        self._tools = tools_dir or _pinned.tools_dir()
        self._versions = _pinned.wanted_versions(tools=self._tools, overrides=versions or {})
        self._cache = Cache(cache_dir or _paths.cache_dir())
        self._progress: Progress = progress or _silent

    def look(self, programs: list[str]) -> dict[str, Program]:
        """Return what is there already."""
        found = {}
        for name in programs:
            tool = tool_of(name)
            if name in self._paths:
                found[name] = _named(name, self._paths[name])
            elif program := self._cached(tool, name):
                found[name] = program
        return found

    def get(self, programs: list[str], sources: Sources) -> dict[str, Program]:
        """Fetch or build programs, one run at a time; what another run made meanwhile is taken from the cache."""
        found: dict[str, Program] = {}
        failures: list[str] = []
        with self._cache.locked(self._progress):
            for tool in TOOLS:
                for version, names in self._by_version(tool, programs).items():
                    made = _Making(cache=self._cache, tool=tool, version=version, tools=self._tools)
                    got, failed = made.run(names, sources, self._progress)
                    found |= got
                    failures += failed
        if failures:
            raise BinariesError("; ".join(failures) + "; or name your own program in mesh_binaries")
        return found

    def _cached(self, tool: Tool, name: str) -> Program | None:
        version = self._version(tool, name)
        path = self._cache.look(tool=tool.name, version=version, program=name, complain=self._progress)
        return Program(name=name, path=path, version=version, source="cache") if path else None

    def _by_version(self, tool: Tool, programs: list[str]) -> dict[str, list[str]]:
        """Return the programs of a tool by the version that is wanted of each."""
        by_version: dict[str, list[str]] = {}
        for name in programs:
            if name in tool.packages:
                by_version.setdefault(self._version(tool, name), []).append(name)
        return by_version

    def _version(self, tool: Tool, name: str) -> str:
        version = self._versions.get(tool.name)
        if tool is TAILSCALE and name not in tool.archived:
            # The relay need not have the clients' version, and there is but one that can be built.
            version = _pinned.pinned_version(tool, self._tools) or version
        if version is None:
            raise BinariesError(
                f"the wanted version of {tool.name} is not known, because {self._tools / tool.name}/go.mod is missing: "
                f"set mesh_{tool.name}_version, or MESHCTL_TOOLS_DIR to the directory tools of a checkout"
            )
        return version


class _Making:
    """Getting the missing programs of one version of one tool. Used under the cache's lock."""

    def __init__(self, *, cache: Cache, tool: Tool, version: str, tools: Path) -> None:
        self._cache = cache
        self._tool = tool
        self._version = version
        self._tools = tools

    def run(self, names: list[str], sources: Sources, progress: Progress) -> tuple[dict[str, Program], list[str]]:
        """Return what was got, and a clause for what could not be."""
        found: dict[str, Program] = {}
        for name in names:
            where = {"tool": self._tool.name, "version": self._version, "program": name}
            if path := self._cache.look(**where, complain=_silent):
                found[name] = Program(name=name, path=path, version=self._version, source="cache")
        tried: list[str] = []
        for way in sources.ways:
            missing = [name for name in names if name not in found]
            if missing:
                found |= self._try(way, missing, sources, progress, tried)
        missing = [name for name in names if name not in found]
        if not missing:
            return found, []
        ways = "; ".join(tried) or "no source is allowed"
        return found, [
            f"{' and '.join(missing)} {self._version} could not be obtained: not in the cache {self._cache.root}; {ways}"
        ]

    def _try(
        self, way: str, names: list[str], sources: Sources, progress: Progress, tried: list[str]
    ) -> dict[str, Program]:
        """Get by one way what that way has, and note in `tried` what went wrong."""
        if way == "archive":
            lacking = [name for name in names if name not in self._tool.archived]
            names = [name for name in names if name in self._tool.archived]
            if lacking:
                tried.append(f"release archive: there is none of {' and '.join(lacking)}")
            if not names:
                return {}
        title: str = {"archive": "release archive", "build": "go build"}[way]
        try:
            with self._cache.staging() as staging:
                return self._install(way, names, staging, sources, progress)
        except WayFailedError as exc:
            progress(f"{' and '.join(names)} {self._version}, {title}: {exc}")
            tried.append(f"{title}: {exc}")
        except OSError as exc:
            tried.append(
                f"{title}: {exc.strerror} ({exc.filename or self._cache.root}): correct its permissions, or free disk space"
            )
        return {}

    def _install(
        self, way: str, names: list[str], staging: Path, sources: Sources, progress: Progress
    ) -> dict[str, Program]:
        # Loaded here: HTTP and its friends cost more than a whole search that ends in the cache.
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import (
            _archive,
            _gobuild,
        )

        common = {"version": self._version, "programs": names, "staging": staging, "tools": self._tools}
        if way == "archive":
            files = _archive.fetch(self._tool, **common, sources=sources, progress=progress)  # type: ignore[arg-type]
        else:
            files = _gobuild.build(self._tool, **common, progress=progress)  # type: ignore[arg-type]
        for name, file in files.items():
            self._check(name, file)
        source: Source = "archive" if way == "archive" else "build"
        found = {}
        for name, file in files.items():
            path = self._cache.install(
                tool=self._tool.name, version=self._version, program=name, file=file, source=source
            )
            found[name] = Program(name=name, path=path, version=self._version, source=source)
        return found

    def _check(self, name: str, file: Path) -> None:
        """See a program run and say its version before it may enter the cache."""
        file.chmod(0o755)
        reported = reported_version(name, file)
        if reported != self._version and not reported.startswith(self._version + "-"):
            raise WayFailedError(f"the {name} that was obtained reports version {reported}, not {self._version}")


def _named(name: str, given: str) -> Program:
    """Return the program at a path that the inventory names; a wrong path is an error, never passed over."""
    path = expanded(given)
    remedy = f"correct mesh_binaries.{name} or remove it, so that meshctl finds {name} itself"
    if not path.is_absolute():
        raise BadInputError(f"mesh_binaries.{name} is {given!r}, which is not an absolute path: {remedy}")
    if not path.is_file():
        raise BadInputError(f"mesh_binaries.{name} is {given!r}, and there is no such file: {remedy}")
    if not os.access(path, os.X_OK):
        raise BadInputError(f"mesh_binaries.{name} is {given!r}, which is not executable: chmod +x it, or {remedy}")
    try:
        version = reported_version(name, path)
    except WayFailedError as exc:
        raise BadInputError(f"mesh_binaries.{name} is {given!r}: {exc}; {remedy}") from None
    return Program(name=name, path=path, version=version, source="inventory")


def _silent(_text: str) -> None:
    """Say nothing."""
