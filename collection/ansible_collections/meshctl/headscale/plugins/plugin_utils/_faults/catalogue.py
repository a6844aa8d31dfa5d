# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the catalogue of faults from YAML, and check it against its schema."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from ...module_utils._errors import BadInput

DIRECTORY: Final = Path(__file__).parent / "faults"
_SCHEMA: Final = Path(__file__).with_name("fault.schema.json")

# Keys that were renamed, and their names now.
_RENAMED: Final = {"may": "tolerated", "promise": "declare_nat"}

# Checks of one assertion that another action makes.
_MADE_BY: Final = {
    "reachable.tcp": "exchange", "reachable.udp": "exchange", "reachable.bulk": "exchange",
    "reachable.tcp.rejoined": "exchange", "reachable.udp.rejoined": "exchange",
    "reachable.steady": "steady", "reachable.stream": "steady", "reachable.flow": "steady",
}  # fmt: skip

Verdict = Literal["red", "green", "refused"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a fault: a shell script somewhere in the lab, or an action that a script cannot perform."""

    at: str = ""
    run: str = ""
    until: str = ""
    """A script that is repeated until it succeeds."""
    rejoin: bool = False
    """Register the client again, with a new key."""
    certificate: str = ""
    """Serve a certificate of this kind; `own` is the valid one."""
    up: bool = False
    """Bring lab and mesh up again."""
    seconds: float = 30.0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that differ from an empty step."""
        return {key: value for key, value in vars(self).items() if value != getattr(Step, key)}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault: how to inject and undo it, and what its story must report."""

    id: str
    family: str
    title: str
    story: str
    verdict: Verdict
    why: str = ""
    red: tuple[str, ...] = ()
    """Checks that must not pass; each selector is `assertion[.aspect][/family][: SOURCE[ -> TARGET]]`, with `*`."""
    tolerated: tuple[str, ...] = ()
    """Checks that the fault may turn red as a consequence. All others must stay green."""
    green: tuple[str, ...] = ()
    """Checks that must have run and passed."""
    cause: str = ""
    """A regular expression that the hint of a red check must match."""
    disruptive: bool = False
    """Whether the fault only shows in the disruptive part of the story."""
    deadline: float | None = None
    """Seconds that an assertion has, when the drill's deadline is too short."""
    vars: Mapping[str, Any] = field(default_factory=dict)
    declare_nat: Mapping[str, str] = field(default_factory=dict)
    """NAT kinds that the inventory wrongly declares, by an actor in the subnet."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment of the run, for faults of the controller."""
    inject: tuple[Step, ...] = ()
    undo: tuple[Step, ...] = ()

    @property
    def assertions(self) -> frozenset[str]:
        """Return the assertions that this fault must turn red."""
        return frozenset(f"assert_{_assertion(selector)}" for selector in self.red)


def _assertion(selector: str) -> str:
    name = re.split("[:/]", selector, maxsplit=1)[0]
    return _MADE_BY.get(name) or name.partition(".")[0]


def load(directory: Path = DIRECTORY) -> dict[str, Fault]:
    """Return every fault by id, family by family; raise `BadInput`."""
    faults: dict[str, Fault] = {}
    for path in sorted(directory.glob("*.yml")):
        for fault in _family(path):
            if fault.id in faults:
                raise BadInput(f"{path.name}: two faults have the id {fault.id}; rename one")
            faults[fault.id] = fault
    if not faults:
        raise BadInput(f"there is no fault in {directory}: the installation is incomplete; install meshctl again")
    return faults


def choose(
    ids: Sequence[str] = (), families: Collection[str] = (), stories: Collection[str] = (), directory: Path = DIRECTORY
) -> list[Fault]:
    """Return the faults that satisfy every filter, in the catalogue's order; raise `BadInput`."""
    known = load(directory)
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise BadInput(f"there is no fault {name!r}.{guess} `meshctl faults list` shows all of them")
    _require("family", "families", families, {fault.family for fault in known.values()})
    _require("story with faults", "stories", stories, {fault.story for fault in known.values()})
    return [
        fault for fault in known.values()
        if (not ids or fault.id in ids)
        and (not families or fault.family in families)
        and (not stories or fault.story in stories)
    ]  # fmt: skip


def _require(one: str, many: str, given: Collection[str], known: Collection[str]) -> None:
    if unknown := [name for name in given if name not in known]:
        raise BadInput(f"there is no {one} {unknown[0]!r}; the {many} are {', '.join(sorted(known))}")


def described(faults: Sequence[Fault], active: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the faults as plain data; `active` has the time at which each fault in the lab was injected."""
    names = ("id", "family", "title", "why", "story", "verdict", "red", "tolerated", "green", "cause", "disruptive")
    return [
        {
            **{name: list(value) if isinstance(value := getattr(fault, name), tuple) else value for name in names},
            "active": fault.id in active,
            "since": active.get(fault.id),
        }
        for fault in faults
    ]


def families(directory: Path = DIRECTORY) -> dict[str, str]:
    """Return the title of each family."""
    return {document["family"]: document["title"] for document in map(_document, sorted(directory.glob("*.yml")))}


def _document(path: Path) -> dict[str, Any]:
    # ansible-test imports every file without the packages that Ansible does not need.
    import jsonschema

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise BadInput(f"{path.name} is not YAML: {' '.join(str(exc).split())}") from None
    _refuse_old_keys(path, document)
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    found = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if found is not None:
        raise BadInput(f"{path.name}: {_where(document, list(found.absolute_path))}{found.message}")
    checked: dict[str, Any] = document
    return checked


def _refuse_old_keys(path: Path, document: object) -> None:
    faults = document.get("faults") if isinstance(document, dict) else None
    for fault in faults if isinstance(faults, list) else ():
        if isinstance(fault, dict) and (old := sorted(fault.keys() & _RENAMED.keys())):
            raise BadInput(f"{path.name}: {fault.get('id')}: {old[0]} is now called {_RENAMED[old[0]]}; rename the key")


def _where(document: Any, path: list[Any]) -> str:  # noqa: ANN401 - what was read may be anything
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
        raise BadInput(f"{path.name}: {given['id']}: cause is not a regular expression: {exc}") from None
    for name in ("red", "tolerated", "green"):
        given[name] = tuple(given.get(name, ()))
    for name in ("inject", "undo"):
        given[name] = tuple(Step(**step) for step in given.get(name, ()))
    return Fault(**given)
