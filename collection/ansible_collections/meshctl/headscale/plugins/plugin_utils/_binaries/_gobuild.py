# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build programs with Go from the modules that `tools/` pins."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import Pace, Tool, WayFailedError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._pinned import go_needed, pinned_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import Progress

_LAST_LINES = 12
_STOP_S = 10.0
_REMEDY = "run ./bootstrap in a checkout, which installs one, or put a newer Go on PATH"


def build(  # noqa: PLR0913
    tool: Tool,
    *,
    version: str,
    programs: Collection[str],
    staging: Path,
    tools: Path,
    progress: Progress,
) -> dict[str, Path]:
    """Build `programs` of `tool`, and return them in `staging`."""
    _check_pinned(tool, version=version, tools=tools)
    go = _find_go(go_needed(tool, tools), asked_by=tools / tool.name / "go.mod")
    module = tools / tool.name
    temporary = staging / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = _environment(temporary)
    flags = _flags(tool, version)
    packages = [tool.packages[program] for program in programs]
    pace = Pace(progress)
    label = f"building {', '.join(programs)} {version}"
    pace.headline(f"{label} with Go: takes some minutes the first time")
    stale = _stale_packages(go, [*flags, *packages], module=module, environment=environment, pace=pace, label=label)
    command = [go, "build", "-v", *flags, "-o", f"{staging}/", *packages]
    built = 0

    def count(line: str) -> bool:
        nonlocal built
        if line not in stale:
            return False
        built += 1
        pace.tick(f"{label}: {built * 100 // max(len(stale), 1)} % ({built} of {len(stale)} packages)")
        return True

    _run(command, module=module, environment=environment, on_line=count, label=label)
    pace.headline(f"{label}: done")
    return {program: staging / program for program in programs}


def _check_pinned(tool: Tool, *, version: str, tools: Path) -> None:
    pinned = pinned_version(tool, tools)
    if pinned is None:
        raise WayFailedError(
            f"{tools / tool.name} has no go.mod that pins {tool.module}: "
            "set MESHCTL_TOOLS_DIR to the directory tools of a checkout"
        )
    if pinned != version:
        raise WayFailedError(
            f"only {tool.name} {pinned} can be built, which {tools / tool.name}/go.mod pins, and {version} is wanted: "
            f"drop mesh_{tool.name}_version or name a program in mesh_binaries"
        )


def _find_go(needed: str, *, asked_by: Path) -> str:
    """Return the first Go that is new enough: the one on PATH, next to this Python, or where its installer puts it."""
    neighbour = Path(sys.executable).parent / "go"
    candidates = [shutil.which("go"), str(neighbour), "/usr/local/go/bin/go"]
    too_old = ""
    for candidate in dict.fromkeys(path for path in candidates if path and os.access(path, os.X_OK)):
        release = _go_release(candidate)
        if release and _numbers(release) >= _numbers(needed):
            return candidate
        too_old = f"{candidate} is Go {release}" if release else f"{candidate} does not run"
    if too_old:
        raise WayFailedError(f"{too_old}, but {asked_by} requires {needed} or newer: {_REMEDY}")
    raise WayFailedError(f"Go is missing, and {asked_by} requires {needed} or newer: {_REMEDY}")


def _go_release(go: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            [go, "env", "GOVERSION"],
            env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"go(\d+(?:\.\d+)*)", done.stdout.strip())
    return match.group(1) if match else None


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def _environment(temporary: Path) -> dict[str, str]:
    """Return the environment of the build: what would change its result is fixed, proxies and caches are the user's."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH", "GOEXPERIMENT")}
    return {
        **kept,
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        # As upstream's releases: a static program runs in every root, and no C compiler is needed.
        "CGO_ENABLED": "0",
        # A killed build leaves its files in the staging directory, which the next run removes.
        "GOTMPDIR": str(temporary),
    }


def _flags(tool: Tool, version: str) -> list[str]:
    stamps = "".join(f" -X {variable}={version}" for variable in tool.stamps)
    return ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w{stamps}"]


def _stale_packages(  # noqa: PLR0913
    go: str, arguments: list[str], *, module: Path, environment: dict[str, str], pace: Pace, label: str
) -> frozenset[str]:
    """Return the packages that the build has to compile; on the way, Go fetches the modules that it lacks."""
    names: set[str] = set()
    fetched = 0

    def take(line: str) -> bool:
        nonlocal fetched
        if line.startswith("go: downloading "):
            fetched += 1
            pace.tick(f"{label}: fetching Go modules ({fetched} so far)")
            return True
        if line.startswith("stale "):
            names.add(line.removeprefix("stale "))
        return line.startswith("stale ")

    template = "{{if .Stale}}stale {{.ImportPath}}{{end}}"
    command = [go, "list", "-deps", "-f", template, *arguments]
    _run(command, module=module, environment=environment, on_line=take, label=label)
    return frozenset(names)


def _run(
    command: list[str],
    *,
    module: Path,
    environment: dict[str, str],
    on_line: Callable[[str], bool],
    label: str,
) -> None:
    """Run Go to its end; each line of output goes to `on_line`, and what that does not know is kept for the error."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with _started([*_gently(), *command], module=module, environment=environment) as process:
        for line in _lines(process):
            if not on_line(line):
                last.append(line)
        code = process.wait()
    if code != 0:
        said = "; ".join(last) or f"exit code {code}"
        raise WayFailedError(
            f"{label} failed ({said}): check the network (Go modules), the disk, and that the go.mod and go.sum "
            f"in {module} are unchanged"
        )


def _gently() -> list[str]:
    """Return what runs Go at low priority, and ends it when meshctl itself is killed."""
    prefix = []
    if nice := shutil.which("nice"):
        prefix += [nice, "-n", "10"]
    if setpriv := shutil.which("setpriv"):
        prefix += [setpriv, "--pdeathsig", "KILL", "--"]
    return prefix


@contextlib.contextmanager
def _started(command: list[str], *, module: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and see it gone however the block is left."""
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=module,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as exc:
        raise WayFailedError(f"{command[0]} cannot be started ({exc.strerror})") from None
    try:
        yield process
    finally:
        if process.poll() is None:
            # On SIGINT Go ends its compilers and removes its files.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _lines(process: subprocess.Popen[str]) -> Iterable[str]:
    if process.stdout is not None:
        for line in process.stdout:
            if text := line.rstrip():
                yield text
