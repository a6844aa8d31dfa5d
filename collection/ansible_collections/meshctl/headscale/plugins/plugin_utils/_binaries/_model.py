# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program is, which tool it belongs to, and what the search may use."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, CouldNotRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Progress = Callable[[str], None]
else:
    Progress = object

Source = Literal["inventory", "cache", "archive", "build"]

_VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)")
# A broken or foreign program must not hang the play; headscale answers in a tenth of a second.
_VERSION_TIMEOUT_S = 20.0
_PROGRESS_EVERY_S = 3.0


class BinariesError(CouldNotRun):
    """A program was not found; the message names it, each way that was tried and what to do."""


class BadInputError(BinariesError, BadInput):
    """The inventory or a task asks for a program that there cannot be."""


class WayFailedError(Exception):
    """One way of getting a program did not work; the text is a clause, with its remedy."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A program that is ready to run."""

    name: str
    path: Path
    version: str
    source: Source

    @property
    def changed(self) -> bool:
        """Whether this very search fetched or built it."""
        return self.source in ("archive", "build")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tool:
    """One upstream project: a pinned Go module below `tools/` and, mostly, a release archive."""

    name: str
    module: str
    packages: Mapping[str, str]
    archived: frozenset[str]
    # Upstream's release build stamps its version in; a build from the module cache has to do the same.
    stamps: tuple[str, ...] = ()


HEADSCALE = Tool(
    name="headscale",
    module="github.com/juanfont/headscale",
    packages={"headscale": "github.com/juanfont/headscale/cmd/headscale"},
    archived=frozenset({"headscale"}),
)
TAILSCALE = Tool(
    name="tailscale",
    module="tailscale.com",
    packages={
        "tailscale": "tailscale.com/cmd/tailscale",
        "tailscaled": "tailscale.com/cmd/tailscaled",
        "derper": "tailscale.com/cmd/derper",
    },
    archived=frozenset({"tailscale", "tailscaled"}),
    stamps=("tailscale.com/version.shortStamp", "tailscale.com/version.longStamp"),
)
TOOLS = (HEADSCALE, TAILSCALE)
PROGRAMS: tuple[str, ...] = tuple(program for tool in TOOLS for program in tool.packages)

_VERSION_ARGUMENT = {"headscale": "version", "tailscale": "version", "tailscaled": "--version", "derper": "-version"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """Which ways may be used to get a program that is neither named nor cached, and from where."""

    ways: tuple[str, ...] = ("archive", "build")
    headscale_url: str = "https://github.com/juanfont/headscale/releases/download"
    tailscale_url: str = "https://pkgs.tailscale.com/stable"
    connect_timeout_s: float = 3.0

    @classmethod
    def from_environment(cls, **changes: str | tuple[str, ...] | None) -> Sources:
        """Return the defaults, changed by `MESHCTL_RELEASE_URL_<TOOL>`, changed by what is given and not empty."""
        fields: dict[str, object] = {
            f"{tool.name}_url": url
            for tool in TOOLS
            if (url := os.environ.get(f"MESHCTL_RELEASE_URL_{tool.name.upper()}"))
        }
        fields.update({name: value for name, value in changes.items() if value})
        return cls(**fields)  # type: ignore[arg-type]

    def url(self, tool: Tool) -> str:
        """Return the base address of the releases of `tool`, without a slash at its end."""
        return str(getattr(self, f"{tool.name}_url")).rstrip("/")


class Pace:
    """Pass progress on: headlines always, the lines in between every few seconds."""

    def __init__(self, progress: Progress) -> None:
        """Send lines to `progress`."""
        self._progress = progress
        self._last = time.monotonic()

    def headline(self, text: str) -> None:
        """Say `text` now."""
        self._last = time.monotonic()
        self._progress(text)

    def tick(self, text: str) -> None:
        """Say `text` unless something was said a moment ago."""
        if time.monotonic() - self._last >= _PROGRESS_EVERY_S:
            self.headline(text)


def tool_of(program: str) -> Tool:
    """Return the tool that `program` belongs to."""
    for tool in TOOLS:
        if program in tool.packages:
            return tool
    raise BadInputError(
        f"{program!r} is not a program of a mesh (mesh_binaries, programs): choose from {', '.join(PROGRAMS)}"
    )


def architecture() -> str:
    """Return this machine's architecture as Go and the release archives call it."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}.get(machine, machine)


def reported_version(program: str, path: Path) -> str:
    """Run the program at `path` and return the version that it reports, as `1.102.5`."""
    argument = _VERSION_ARGUMENT[program]
    try:
        done = subprocess.run(  # noqa: S603
            [str(path), argument],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WayFailedError(f"{path} {argument} did not answer within {_VERSION_TIMEOUT_S:.0f} s") from None
    except OSError as exc:
        raise WayFailedError(f"{path} cannot be run ({exc.strerror})") from None
    match = _VERSION.search(done.stdout) or _VERSION.search(done.stderr)
    if done.returncode != 0 or match is None:
        said = " ".join((done.stderr or done.stdout).split())[:160] or "nothing"
        raise WayFailedError(
            f"{path} {argument} reported no version (exit code {done.returncode}, it said: {said}): "
            f"it is not a working {program}"
        )
    return match.group(1)
