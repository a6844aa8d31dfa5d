# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the settings of a configuration as Headscale reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ... import _scrub as scrub
from .finding import Finding
from .keys import KEYS

if TYPE_CHECKING:
    from .document import Document
    from .finding import Severity

_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_USER = re.compile(r"//[^/@\s]+@")
# Numbers from their first digit on: others would take quadratic time.
_DURATION = re.compile(rf"(?<!\d)(\d+(?:\.\d+)?)({'|'.join(sorted(_UNITS, key=len, reverse=True))})")


class Settings:
    """The settings of a configuration, by their dotted names."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @cached_property
    def values(self) -> dict[str, tuple[Any, tuple[str, ...]]]:
        """Return every setting with its path; an empty one counts as not set."""
        return {name: (value, path) for name, value, path in _flat(self.document.data, ()) if value is not None}

    def __contains__(self, name: str) -> bool:
        """Whether the file has a setting."""
        return name in self.values

    def get(self, name: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - any YAML
        """Return a setting as it is in the file."""
        return self.values[name][0] if name in self.values else otherwise

    def text(self, name: str, otherwise: str = "") -> str:
        """Return a setting as a text."""
        value = self.get(name)
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, str | int | float) else otherwise

    def flag(self, name: str, *, otherwise: bool) -> bool:
        """Return a setting that is true or false; Headscale takes what is neither for false."""
        if name not in self:
            return otherwise
        value = self.get(name)
        return value.lower() in _TRUE if isinstance(value, str) else bool(value)

    def texts(self, name: str) -> list[str]:
        """Return a setting that is a list; a text is split at blanks."""
        value = self.get(name)
        if isinstance(value, str):
            return value.split()
        return [str(entry) for entry in value if not isinstance(entry, dict | list)] if isinstance(value, list) else []

    def seconds(self, name: str, otherwise: float) -> float:
        """Return a duration; Headscale takes what it cannot read for zero."""
        return duration(self.get(name)) or 0.0 if name in self else otherwise

    def line(self, name: str, *more: str) -> int | None:
        """Return the line of a setting, or of an entry of it."""
        path = self.values[name][1] if name in self.values else tuple(name.split("."))
        return self.document.line(*path, *more)

    def finding(  # noqa: PLR0913 - the parts of a finding
        self, kind: str, severity: Severity, name: str, problem: str, remedy: str, *, entry: int | str = "", stops: bool = False
    ) -> Finding:  # fmt: skip
        """Return a finding about a setting; its value is the evidence, unless it may be secret."""
        return Finding(
            id=f"config.{kind}", severity=severity, file=self.document.name,
            line=self.line(name, *([str(entry)] if entry != "" else [])), problem=_hidden(problem),
            evidence=self._shown(name), remedy=_hidden(remedy), stops=stops,
        )  # fmt: skip

    def _shown(self, name: str) -> str:
        if name not in self:
            return f"{name} is not set"
        # A name that Headscale does not know may be that of a secret, misspelt or in another section.
        if name not in KEYS or re.search(r"pass|secret|api_key", name):
            return f"{name} is set"
        return _hidden(f"{name}: {scrub.data(self.get(name))}")[:200]


def _hidden(said: str) -> str:
    """Return a text without the secrets and the users of URLs that a setting brought into it."""
    return _USER.sub("//***@", scrub.text(said))


def duration(value: object) -> float | None:
    """Return the seconds of a duration as Go reads it, None if it cannot; a bare number means nanoseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value * 1e-9
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) * 1e-9
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def is_flag(value: object) -> bool:
    """Whether Go reads a value as true or false."""
    return isinstance(value, bool | int) or (isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE))


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any, tuple[str, ...]]]:  # noqa: ANN401
    name = ".".join(path)
    if isinstance(value, dict) and KEYS.get(name) != "map":
        for key, entry in value.items():
            yield from _flat(entry, (*path, key))
    elif path:
        yield name, value, path
