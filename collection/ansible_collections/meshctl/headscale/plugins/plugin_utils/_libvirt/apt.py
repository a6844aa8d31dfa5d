# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read where this machine gets Debian packages from, to build the guests' image.

A machine behind a proxy or with a local mirror has that in its apt configuration, which mmdebstrap does not read.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

# Options about how packages are fetched: proxies, certificates, dates. The image does not inherit other options.
_FETCHING: Final = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::ftp",
    "Acquire::Proxy",
    "Acquire::Retries",
    "Acquire::Force",
    "Acquire::Check-",
    "Acquire::Max-",
    "Acquire::Min-",
    "Acquire::By-Hash",
)


def debian_sources(suite: str, *, root: Path = Path("/")) -> dict[str, str]:
    """Return this machine's sources of Debian packages for `suite`, as file names and contents.

    None when it is no Debian: mmdebstrap then takes its own mirror.
    """
    release = _pairs(_read(root / "etc/os-release"))
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return {}
    suites = {
        f"{name}{part}": f"{suite}{part}" for name in (codename, "stable") for part in ("", "-updates", "-security")
    }
    apt = root / "etc/apt"
    parts = sorted(apt.glob("sources.list.d/*"))
    lists = [apt / "sources.list", *(path for path in parts if path.suffix == ".list")]
    lines = [line for path in lists for line in _lines(_read(path), suites)]
    stanzas = [stanza for path in parts if path.suffix == ".sources" for stanza in _stanzas(_read(path), suites)]
    found = {"meshctl.list": "".join(lines), "meshctl.sources": "\n".join(stanzas)}
    return {name: text for name, text in found.items() if text}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _pairs(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip("\"'") for name, _equals, value in pairs}


def _lines(text: str, suites: dict[str, str]) -> Iterator[str]:
    """Return the lines for Debian's suites, without third-party repositories."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        # Options are in brackets, with or without spaces.
        end = next((at for at, word in enumerate(words) if word.endswith("]")), 0) if "[" in line else 0
        if len(words) > end + 3 and words[end + 2] in suites and "main" in words[end + 3 :]:
            words[end + 2] = suites[words[end + 2]]
            yield " ".join(words) + "\n"


def _stanzas(text: str, suites: dict[str, str]) -> Iterator[str]:
    """Return the same for a file in the deb822 format."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in "\n".join(lines).split("\n\n"):
        fields = _fields(stanza)
        mine = [suites[name] for name in fields.get("suites", "").split() if name in suites]
        wanted = "deb" in fields.get("types", "").split() and "main" in fields.get("components", "").split()
        if mine and wanted and fields.get("enabled", "yes").lower() not in ("no", "false", "without", "off", "disable"):
            own = {**fields, "types": "deb", "suites": " ".join(mine)}
            yield "".join(f"{name.title()}: {value}\n" for name, value in own.items())


def _fields(stanza: str) -> dict[str, str]:
    """Return a stanza's fields by lower-case name; lines that begin with a space continue a value."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            if name:
                fields[name] += f"\n{line.rstrip()}"
        elif ":" in line:
            name, _colon, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def options() -> str:
    """Return this machine's apt options for fetching packages, as a configuration file."""
    try:
        done = subprocess.run(
            ["apt-config", "dump"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "".join(fetching(done.stdout.splitlines()))


def fetching(dump: Iterable[str]) -> Iterator[str]:
    """Return the lines of apt's configuration for fetching packages, and its credentials."""
    yield from (f"{line}\n" for line in dump if line.startswith(_FETCHING))
    for setting, path in (("netrc", "/etc/apt/auth.conf"), ("netrcparts", "/etc/apt/auth.conf.d")):
        if Path(path).exists():
            yield f'Dir::Etc::{setting} "{path}";\n'
