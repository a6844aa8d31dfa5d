# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the file of a report that may come from anyone: what it is, how large and deep it is, and the form of its checks."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from ansible_collections.meshctl.headscale.plugins.module_utils._hujson import unique
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import number
from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

# The report of 1,000 nodes and their sampled pairs takes less than a tenth.
LARGEST: Final = 128 << 20
_DEEPEST: Final = 100
_LARGEST_NUMBER: Final = 2**63 - 1
_LONGEST_MS: Final = 1e12
_TEXTS: Final = ("id", "story", "assertion", "aspect", "source", "hint", "reproduce", "at")
_TIME: Final = re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}(?:\.[0-9]+)?Z")


def content(file: Path, *, most: int = LARGEST) -> str:
    """Return the text of a file; raise OSError if it cannot be read or is no plain file, ValueError if it is no text."""
    # A pipe in its place would be waited for.
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(file))
        found = opened.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB", str(file))
    return found.decode("utf-8")


def document(file: Path) -> Json:
    """Return the data of a JSON file; raise OSError if it cannot be read, ValueError if it is no JSON within limits."""
    text = content(file)
    try:
        data = json.loads(
            text, object_pairs_hook=unique, parse_constant=_constant, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        _too_deep()
    _check_depth(data)
    return data


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    if abs(value := int(text)) > _LARGEST_NUMBER:
        raise ValueError(f"the number {text[:20]}… is too large")
    return value


def _too_deep() -> NoReturn:
    raise ValueError(f"it is nested more than {_DEEPEST} levels deep") from None


def _check_depth(data: Json) -> None:
    """Refuse data that functions which call themselves for each level could not process."""
    layer = [data] if isinstance(data, dict | list) else []
    for _level in range(_DEEPEST):
        layer = [
            inner
            for value in layer
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return
    _too_deep()


def wrong_field(check: Mapping[str, Any]) -> str:
    """Return the first field of a check that is missing or of another type than the schema has, empty if there is none."""
    for name in _TEXTS:
        if not isinstance(check.get(name), str):
            return name
    duration = number(check.get("duration_ms"))
    sound = {
        "id": bool(check["id"]),
        "target": check.get("target", 0) is None or isinstance(check.get("target"), str),
        "family": check.get("family") in (None, "ipv4", "ipv6"),
        "verdict": check.get("verdict") in ("passed", "failed", "skipped", "error"),
        "duration_ms": duration is not None and 0 <= duration <= _LONGEST_MS,
        "evidence": isinstance(check.get("evidence"), dict),
        "expected": "expected" in check,
        "observed": "observed" in check,
        "at": not check["at"] or _TIME.fullmatch(check["at"]) is not None,
    }
    return next((name for name, is_sound in sound.items() if not is_sound), "")
