# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the declarations of the inventory's variables (`variables.yml`), and compare values with them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from ...module_utils import _hujson
from ...module_utils._durations import parse_duration
from ...module_utils._errors import BadInput
from .pairs import is_pairs

PREFIX: Final = "mesh_"
FILE: Final = Path(__file__).with_name("variables.yml")

_SCHEMA: Final = ("type", "enum", "pattern", "format", "minimum", "exclusiveMinimum", "maximum", "items")
# Ansible's words for a boolean; on the command line, a value is a string.
_TRUE: Final = ("true", "yes", "on", "1", "t", "y")
_FALSE: Final = ("false", "no", "off", "0", "f", "n")
_NOUNS: Final = {"url": "a URL", "dns-name": "a DNS name"}
LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LONGEST_NAME: Final = 253
_LAST_PORT: Final = 65535


@dataclass(frozen=True, kw_only=True)
class Variable:
    """The declaration of one variable; `variables.yml` describes the fields."""

    name: str
    section: str
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    form: str = ""
    scope: str = "all"
    unit: str = ""
    default: Any = None
    otherwise: str = ""
    example: Any = None
    write: str = ""
    empty: bool = False
    private: bool = False
    secret: bool = False
    existing: bool = False
    survey: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """Return the name in the fact `mesh`."""
        return self.name.removeprefix(PREFIX)

    @property
    def remedy(self) -> str:
        """Return what an error message tells the user to write."""
        return (
            self.write
            or _words(self.schema, self.unit)
            or f"{_NOUNS.get(self.schema['format'])} such as {self.example}"
        )

    def read(self, value: Any) -> Any:  # noqa: ANN401 - an inventory's data
        """Return a value in its own type; raise `BadInput` if it is not valid."""
        if self.empty and not value:
            return self.default
        found = typed(self.schema.get("type"), value)
        if self.schema and not (found is not None and self._is_valid(found)) and not self._allows_null(value):
            safe = _hidden(value) if self.private else value
            raise BadInput(f"{self.name} is {shown(safe)}: write {self.remedy}")
        return found

    def _allows_null(self, value: Any) -> bool:  # noqa: ANN401
        return value is None and "null" in self.schema.get("type", ())

    def _is_valid(self, value: Any) -> bool:  # noqa: ANN401
        return bool(_validator(self.name).is_valid(value))


def read(text: str) -> dict[str, Variable]:
    """Return the variables of a file of declarations by name."""
    import yaml

    known = {entry.name for entry in fields(Variable)}
    found = {}
    for section, variables in yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)).items():  # noqa: S506
        for name, raw in variables.items():
            if unknown := set(raw) - known - set(_SCHEMA):
                raise ValueError(f"{name}: unknown key {min(unknown)!r}")
            schema = {key: value for key, value in raw.items() if key in _SCHEMA}
            rest = {key: value for key, value in raw.items() if key not in _SCHEMA}
            found[name] = Variable(name=name, section=section, schema=schema, **rest)
    return found


@functools.cache
def declared() -> dict[str, Variable]:
    """Return every declared variable by name."""
    return read(FILE.read_text(encoding="utf-8"))


def known_names() -> frozenset[str]:
    """Return the names of all variables that have the prefix."""
    return frozenset(name for name in declared() if name.startswith(PREFIX))


def preload() -> None:
    """Prepare every comparison, so that forks inherit it."""
    for name, variable in declared().items():
        if variable.schema:
            _validator(name)


@functools.cache
def _validator(name: str) -> Any:  # noqa: ANN401 - jsonschema's
    try:
        import jsonschema  # 60 ms, which the command line does not need
    except ModuleNotFoundError:
        raise BadInput("the Python package jsonschema is missing on the controller: install it there") from None
    checker = jsonschema.FormatChecker(formats=())
    for form, accepts in _FORMATS.items():
        checker.checks(form)(accepts)
    return jsonschema.Draft202012Validator(declared()[name].schema, format_checker=checker)


def _hidden(value: Any) -> Any:  # noqa: ANN401
    """Return a value without what may be a secret."""
    if isinstance(value, Mapping):
        return {key: "***" if "pass" in str(key) and key != "password_file" else entry for key, entry in value.items()}
    return "***" if isinstance(value, str) and value else value


def typed(kind: Any, value: Any) -> Any:  # noqa: ANN401
    """Return a string as the boolean or number that it means; None if it means none, any other value as it is."""
    if kind == "boolean":
        word = str(value).lower()
        return True if word in _TRUE else False if word in _FALSE else None
    if kind in ("number", "integer"):
        return _number(value)
    return value


def _number(value: Any) -> float | None:  # noqa: ANN401
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(found):
        return None
    return int(found) if found == int(found) else found


def shown(value: object) -> str:
    """Return a value as YAML writes it: a user has written `null` or `true`, and never `None` or `True`."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{shown(key)}: {shown(entry)}' for key, entry in value.items())}}}"
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def _words(schema: Mapping[str, Any], unit: str) -> str:
    """Return in words what a schema accepts."""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if schema.get("type") == "boolean":
        return "true or false"
    if schema.get("type") in ("number", "integer"):
        return _range(schema, unit)
    return ""


def _range(schema: Mapping[str, Any], unit: str) -> str:
    if "exclusiveMinimum" in schema:
        return "a number above zero"
    if "maximum" in schema:
        return f"a number from {schema['minimum']} to {schema['maximum']}"
    return f"a number of {unit}"


def url_parts(value: Any) -> SplitResult | None:  # noqa: ANN401
    """Return a URL's parts if it can be the URL of a server."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if good and not re.search(r"\s", str(value)) else None


def is_dns_name(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a DNS name."""
    labels = str(value).removesuffix(".").split(".")
    return len(str(value)) <= _LONGEST_NAME and all(LABEL.fullmatch(label) for label in labels)


def _is_duration(value: Any) -> bool:  # noqa: ANN401
    try:
        return parse_duration(str(value), option="").total_seconds() > 0
    except BadInput:
        return False


def _is_policy(value: Any) -> bool:  # noqa: ANN401
    try:
        return isinstance(_hujson.parse(value) if isinstance(value, str) else value, dict)
    except ValueError:
        return False


def _is_database(value: Any) -> bool:  # noqa: ANN401
    texts = ("host", "name", "user", "password_file")
    port, ssl = value.get("port", 1), value.get("ssl", True)
    return (
        set(value) <= {"type", "port", "ssl", *texts}
        and (value.get("type") == "postgres" or value == {"type": "sqlite"})
        and all(isinstance(value.get(name, "-"), str) and value.get(name, "-").strip() for name in texts)
        and value.get("password_file", "/").startswith("/")
        and isinstance(port, int)
        and 1 <= port <= _LAST_PORT
        and isinstance(ssl, bool)
    )


_FORMATS: Final[dict[str, Callable[[Any], bool]]] = {
    "url": lambda value: url_parts(value) is not None,
    "dns-name": is_dns_name,
    "duration": _is_duration,
    "pairs": is_pairs,
    "policy": _is_policy,
    "database": lambda value: isinstance(value, dict) and _is_database(value),
}
