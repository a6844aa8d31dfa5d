# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn what a host answered into files, without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import _scrub as scrub
from .._judge.answer import Answer, mapping, text
from .._private import new_file
from .._report import visible

_MOST_CHARACTERS = 4 << 20
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def files(answer: dict[str, Any], asked: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file that was asked for; a last one says what could not be read."""
    missing: dict[str, str] = {}
    seen = Answer(answer)
    for name in sorted(asked):
        data = seen.data(name)
        if data is None:
            missing[name] = seen.why(name)
        else:
            yield _file(name, data)
    if seen.failed:
        missing["host"] = text(mapping(answer.get("failure")).get("message"))
    yield "missing.json", _json(missing)


def _file(name: str, data: Any) -> tuple[str, str]:  # noqa: ANN401 - JSON
    if isinstance(data, dict) and isinstance(data.get("text"), str):
        note = "\n[cut here: the output is longer]\n" if data.get("cut") else ""
        return f"{name}.txt", _clean(data["text"]) + note
    return f"{name}.json", _json(data)


def _json(data: Any) -> str:  # noqa: ANN401 - JSON
    # Not as text afterwards: a line of JSON may look like one of YAML.
    return visible.text(json.dumps(scrub.data(data), indent=1, ensure_ascii=False))[:_MOST_CHARACTERS]


def _clean(said: str) -> str:
    return visible.text(scrub.text(said[:_MOST_CHARACTERS]))


def write(answer: dict[str, Any], asked: Iterable[str], directory: Path) -> list[str]:
    """Write the files of a host below `directory`, no matter what else it sent; return their names."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for name, content in files(answer, asked):
        path = directory / host_name(name)
        path.unlink(missing_ok=True)
        with open(new_file(path), "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            file.write(content)
        written.append(path.name)
    return written


def host_name(name: str) -> str:
    """Return a name of the inventory as the name of a file."""
    return _NAME.sub("-", name).lstrip(".")[:100] or "host"
