#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the settings that Headscale reads, and those that it removed, from the source that tools/headscale pins.

Run it after `tools/headscale/go.mod` has another version: `python tools/headscale_keys.py`. It needs Go and the module, which
`go mod download` in tools/headscale fetches. A unit test compares the versions.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = (
    ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale" / "plugins"
    / "plugin_utils" / "_doctor" / "files"
    / "headscale_keys.json"
)  # fmt: skip
MODULE = "github.com/juanfont/headscale"
_KINDS = {
    "GetBool": "bool", "GetDuration": "duration", "GetFileMode": "mode", "GetInt": "int", "GetInt64": "int", "GetString": "string",
    "GetStringMapString": "map", "GetStringMapStringSlice": "map", "GetStringSlice": "list", "UnmarshalKey": "list",
}  # fmt: skip
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
_READ = re.compile(rf'\b(?:viper|util)\.({"|".join(_KINDS)})\(\s*"([\w.]+)"')
_DEFAULT = re.compile(r'\bviper\.SetDefault\(\s*"([\w.]+)"')
_REMOVED = re.compile(r'\bdepr\.(\w+)\(\s*"([\w.]+)"(?:,\s*"([\w.]+)")?')


def source() -> tuple[Path, str]:
    """Return the directory and the version of the pinned module."""
    done = subprocess.run(  # noqa: S603
        ["go", "list", "-m", "-json", MODULE],  # noqa: S607
        cwd=ROOT / "tools" / "headscale", capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return Path(found["Dir"]), found["Version"].removeprefix("v")


def table(directory: Path, version: str) -> dict[str, object]:
    """Return what the source says about settings."""
    files = [path for folder in ("cmd", "hscontrol") for path in sorted((directory / folder).rglob("*.go"))]
    parts = (path.read_text(encoding="utf-8") for path in files if not path.stem.endswith("_test"))
    text = _COMMENT.sub("", "\n".join(parts))
    defaults = set(_DEFAULT.findall(text))
    removed = dict(_removed(text, defaults))
    keys = {name: _KINDS[how] for how, name in sorted(_READ.findall(text), key=lambda row: row[1])}
    keys |= dict.fromkeys(sorted(defaults - set(keys)), "any")
    return {
        "version": version,
        "keys": {name: kind for name, kind in sorted(keys.items()) if name not in removed},
        "removed": dict(sorted(removed.items())),
    }


def _removed(text: str, defaults: set[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """Return each removed setting, what replaces it, and whether Headscale refuses to start with it."""
    for how, first, second in _REMOVED.findall(text):
        old, new = {
            "fatal": (first, ""), "fatalWithHint": (first, ""), "fatalIfSet": (first, second), "warn": (first, ""),
        }.get(how, (second, first))  # fmt: skip
        # A setting with a default always counts as used.
        fatal = how in ("fatal", "fatalWithHint", "fatalIfSet") or (
            how == "fatalIfNewKeyIsNotUsed" and new not in defaults
        )
        read = how in ("warnNoAlias", "warnWithAlias")
        yield old, {"instead": new, "refused": fatal, "still_read": read}


if __name__ == "__main__":
    TARGET.write_text(json.dumps(table(*source()), indent=2) + "\n", encoding="utf-8")
