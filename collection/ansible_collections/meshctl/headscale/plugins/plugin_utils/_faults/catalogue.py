# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of faults: read from YAML, checked against its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

DIRECTORY: Final = Path(__file__).parent / "faults"
_SCHEMA: Final = Path(__file__).with_name("fault.schema.json")

Verdict = Literal["red", "green", "refused"]


class CatalogueError(ValueError):
    """A catalogue that cannot be used; the message names the file, the fault and what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action of a fault: a shell script somewhere in the lab, or one of the few that a script cannot do."""

    at: str = ""
    run: str = ""
    until: str = ""
    """A script that is repeated until it succeeds."""
    rejoin: bool = False
    """Register the client again, with a fresh key."""
    certificate: str = ""
    """Serve a certificate of this kind; `own` is the right one."""
    up: bool = False
    """Bring lab and mesh up again."""
    seconds: float = 30.0

    def as_dict(self) -> dict[str, Any]:
        """Return what differs from an empty step."""
        return {key: value for key, value in vars(self).items() if value != getattr(Step, key)}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is broken, how, and what a story must make of it."""

    id: str
    family: str
    title: str
    story: str
    verdict: Verdict
    why: str = ""
    red: tuple[str, ...] = ()
    """Checks that must not pass; each selector is `assertion[.aspect][: SOURCE[ -> TARGET]]`, with `*`."""
    tolerated: tuple[str, ...] = ()
    """Checks that may be red as well, as a consequence. All others must stay green."""
    green: tuple[str, ...] = ()
    """Checks that must have been made, and pass."""
    cause: str = ""
    """A regular expression that a hint of a red check must satisfy."""
    disruptive: bool = False
    """Whether the story must be allowed to disturb nodes."""
    deadline: float | None = None
    """Seconds that an assertion has, where the drill's are not enough."""
    vars: Mapping[str, Any] = field(default_factory=dict)
    declare_nat: Mapping[str, str] = field(default_factory=dict)
    """NAT kinds, by role of a client in the subnet, that the inventory is made to promise."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment of the run, for faults of the machine that meshctl runs on."""
    inject: tuple[Step, ...] = ()
    undo: tuple[Step, ...] = ()

    @property
    def assertions(self) -> frozenset[str]:
        """Return the public assertions that this fault must turn red."""
        return frozenset(f"assert_{selector.partition(':')[0].partition('.')[0]}" for selector in self.red)


def load(directory: Path = DIRECTORY) -> dict[str, Fault]:
    """Return every fault by id, family by family; raise `CatalogueError`."""
    faults: dict[str, Fault] = {}
    for path in sorted(directory.glob("*.yml")):
        for fault in _family(path):
            if fault.id in faults:
                raise CatalogueError(f"{path.name}: the fault {fault.id} is there twice; rename one")
            faults[fault.id] = fault
    if not faults:
        raise CatalogueError(f"there is no fault in {directory}; the installation is incomplete")
    return faults


def families(directory: Path = DIRECTORY) -> dict[str, str]:
    """Return the title of each family."""
    return {document["family"]: document["title"] for document in map(_document, sorted(directory.glob("*.yml")))}


def _document(path: Path) -> dict[str, Any]:
    # Here, because ansible-test imports every file without what is not Ansible's own.
    import jsonschema

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise CatalogueError(f"{path.name} is no YAML: {' '.join(str(exc).split())}") from None
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    found = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if found is not None:
        raise CatalogueError(f"{path.name}: {_where(document, list(found.absolute_path))}{found.message}")
    checked: dict[str, Any] = document
    return checked


def _where(document: Any, path: list[Any]) -> str:  # noqa: ANN401 (what was read may be anything)
    if len(path) > 1 and path[0] == "faults":
        return f"{document['faults'][path[1]].get('id', path[1])}: {'.'.join(map(str, path[2:])) or 'fault'}: "
    return f"{'.'.join(map(str, path))}: " if path else ""


def _family(path: Path) -> list[Fault]:
    document = _document(path)
    return [_fault(path, document["family"], entry) for entry in document["faults"]]


def _fault(path: Path, family: str, entry: Mapping[str, Any]) -> Fault:
    given: dict[str, Any] = {"family": family, **entry}
    try:
        re.compile(given.get("cause", ""))
    except re.error as exc:
        raise CatalogueError(f"{path.name}: {given['id']}: cause is no regular expression: {exc}") from None
    for name in ("red", "tolerated", "green"):
        given[name] = tuple(given.get(name, ()))
    for name in ("inject", "undo"):
        given[name] = tuple(Step(**step) for step in given.get(name, ()))
    return Fault(**given)
