# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Store passed checks in columns, and read them back: the only place that knows this form.

Checks with the same id and the same fields share a table. What all of them have in common is in its `check`, whose
other fields are null. Each other field is a column with the values of all rows, in one of four forms:

    {"of": ["observed", "rtt_ms"], "each": [[0.8], [1.2]]}                one value for each row
    {"of": ["source"], "values": ["one", "two"], "which": [0, 0, 1]}      few values, and which of them each row has
    {"of": ["at"], "by": "source", "values": [...]}                       a value for each of the sources (or targets)
    {"of": ["reproduce"], "texts": [["ping ", ["expected", "address"]]]}  texts that quote values of the same row

A column of texts says by `by` or `which` which text each row has, unless there is only one.

`places` tells where the rows belong among all checks: runs of `[first, step, count]`.
"""

# The exact type decides: 1 and True are equal, and subclasses of str are not what JSON reads back.
# pylint: disable=unidiomatic-typecheck

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

Check: TypeAlias = dict[str, Any]
Table: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]

PASSED = "passed"
# Whatever a file says: a table of constants could claim any number of rows, and a text any number of quotations. 1,000,000
# checks take half of it.
_MOST_VALUES = 50_000_000
_MOST_TEXT = 1_000_000_000
# Fields whose members get separate columns, unless their names are those of hosts or addresses.
_OPENED = ("expected", "observed", "evidence")
_WORD = re.compile("[A-Za-z_]+")
_DEEPEST = 4
_ENDS: tuple[Path, ...] = (("source",), ("target",))
_QUOTED = ("source", "target", "expected", "evidence")
_MOST_QUOTED = 10
_SHORTEST_PART = 2
_FEW = 3
_SAMPLE = 100
_MARK = "\0"


def pack(document: Mapping[str, Json]) -> dict[str, Json]:
    """Return a report's document with its passed checks in columns."""
    others, tables = encode(document["checks"])
    return {**{key: value for key, value in document.items() if key != "checks"}, "checks": others, PASSED: tables}


def unpack(document: Mapping[str, Json]) -> dict[str, Json]:
    """Return a report's document with every check as an object; raise `ValueError` if a table is damaged."""
    found = {key: value for key, value in document.items() if key != PASSED}
    if tables := document.get(PASSED):
        found["checks"] = decode(document["checks"], tables)
    return found


def encode(checks: Sequence[Check]) -> tuple[list[Check], list[Table]]:
    """Return the checks that did not pass, and tables of those that did."""
    others: list[Check] = []
    groups: dict[tuple[Json, ...], list[int]] = {}
    for place, check in enumerate(checks):
        if check["verdict"] == PASSED:
            groups.setdefault((check["id"], *check, *[_shape(check.get(name)) for name in _OPENED]), []).append(place)
        else:
            others.append(check)
    return others, [_table([checks[place] for place in places], places) for places in groups.values()]


def decode(others: Sequence[Check], tables: Iterable[Table]) -> list[Check]:
    """Return all checks in their order; raise `ValueError` if a table is damaged."""
    placed: dict[int, Check] = {}
    left = _Left()
    counted = [(table, _count(table, left)) for table in tables]
    for table, count in counted:
        placed.update(_rows(table, count, left))
    made = sum(count for _table, count in counted)
    rest = iter(others)
    try:
        found = [placed[place] if place in placed else next(rest) for place in range(len(others) + made)]
    except StopIteration:
        raise ValueError("passed checks have the same place, or one beyond the last") from None
    return found


class _Left:
    """How much the tables of a file may still become; they can say with little what takes much memory."""

    def __init__(self) -> None:
        self.values, self.text = _MOST_VALUES, _MOST_TEXT

    def spend(self, *, values: int = 0, text: int = 0) -> None:
        """Count what is about to be made; raise `ValueError` if it is too much."""
        self.values -= values
        self.text -= text
        if self.values < 0 or self.text < 0:
            raise ValueError(f"more than {_MOST_VALUES} values, or {_MOST_TEXT} characters, of passed checks")


# -- from checks to tables --


def _shape(value: Json) -> Json:
    """Return the names of all members, however deep."""
    if type(value) is not dict:
        return None
    return tuple([(name, _shape(inner)) if type(inner) is dict else name for name, inner in value.items()])


def _paths(check: Check) -> Iterator[Path]:
    """Yield the fields of a check, and the members of those that are opened."""
    for name, value in check.items():
        if name in _OPENED:
            yield from _members((name,), value)
        else:
            yield (name,)


def _members(path: Path, value: Json) -> Iterator[Path]:
    if isinstance(value, dict) and value and len(path) < _DEEPEST and all(map(_WORD.fullmatch, value)):
        for member, inner in value.items():
            yield from _members((*path, member), inner)
    else:
        yield path


def _get(rows: Sequence[Check], path: Path) -> list[Json]:
    values: list[Json] = [row[path[0]] for row in rows]
    for name in path[1:]:
        values = [value[name] for value in values]
    return values


def _put(check: Check, path: Path, value: Json) -> None:
    for name in path[:-1]:
        check = check.setdefault(name, {})
    check[path[-1]] = value


def _keys(values: list[Json]) -> list[Json]:
    """Return what tells values apart, also 1 from 1.0 and true."""
    types = set(map(type, values))
    if len(types) == 1 and (types <= {str, int} or (types == {float} and 0.0 not in values)):
        return values
    if str in types:
        return [value if type(value) is str else (repr(value),) for value in values]
    return list(map(repr, values))


def _table(rows: list[Check], places: list[int]) -> Table:
    paths = tuple(_paths(rows[0]))
    common: Check = {}
    columns: list[dict[str, Json]] = []
    texts: dict[Path, list[str]] = {}
    ends: dict[Path, _Column] = {}
    varying = set()
    # The texts that others quote come first.
    for path in (*(end for end in _ENDS if end in paths), *(path for path in paths if path not in _ENDS)):
        column = _Column(_get(rows, path))
        if len(column.distinct) == 1:
            continue
        varying.add(path)
        form = None
        if all(type(value) is str for value in column.distinct.values()):
            form = _quoting(column, texts, ends) if path not in _ENDS else None
            if form is None and path[0] in _QUOTED and len(texts) < _MOST_QUOTED:
                texts[path] = column.values
        form = form or column.form(ends)
        if path in _ENDS and "which" in form:
            ends[path] = column
        columns.append({"of": list(path), **form})
    for path in paths:
        _put(common, path, None if path in varying else _get(rows[:1], path)[0])
    return {"places": _runs(places), "check": common, "columns": columns}


class _Column:
    """The values of one field."""

    def __init__(self, values: list[Json]) -> None:
        self.values = values
        self.keys = _keys(values)
        self.distinct: dict[Json, Json] = dict(zip(reversed(self.keys), reversed(values), strict=True))
        self.distinct = {key: self.distinct[key] for key in dict.fromkeys(self.keys)}

    @property
    def which(self) -> list[int]:
        """The number of each row's value among the distinct ones."""
        numbers = {key: number for number, key in enumerate(self.distinct)}
        return [numbers[key] for key in self.keys]

    def form(self, ends: Mapping[Path, _Column]) -> dict[str, Json]:
        """Return the shortest form of the values."""
        for end, known in ends.items():
            if len(known.distinct) < len(self.values) and (values := self._by(known)) is not None:
                return {"by": end[0], "values": values}
        if 2 * len(self.distinct) <= len(self.values):
            return {"values": list(self.distinct.values()), "which": self.which}
        return {"each": self.values}

    def _by(self, end: _Column) -> list[Json] | None:
        """Return a value for each value of `end`, if there is only one for each."""
        found: dict[Json, Json] = {}
        for there, here in zip(end.keys, self.keys, strict=True):
            if found.setdefault(there, here) != here:
                return None
        return [self.distinct[found[key]] for key in end.distinct]


def _quoting(column: _Column, texts: Mapping[Path, list[str]], ends: Mapping[Path, _Column]) -> dict[str, Json] | None:
    """Return the form of texts that quote others of their row; None if that makes no fewer of them."""
    if not texts or len(column.distinct) < _FEW or any(_MARK in value for value in column.distinct):
        return None
    sources = [(f"{_MARK}{number}{_MARK}", values) for number, values in enumerate(texts.values())]
    # A look at some rows tells whether it is worthwhile.
    sample = _Column([_marked(value, row, sources) for row, value in enumerate(column.values[:_SAMPLE])])
    if 2 * len(sample.distinct) > len(set(column.values[:_SAMPLE])):
        return None
    quoting = _Column([_marked(value, row, sources) for row, value in enumerate(column.values)])
    if 2 * len(quoting.distinct) > len(column.distinct):
        return None
    form = {"values": list(quoting.distinct)} if len(quoting.distinct) == 1 else quoting.form(ends)
    paths = [list(path) for path in texts]
    split = [_parts(text, paths) for text in form.pop("values")]
    return {"texts": split, **form}


def _marked(value: str, row: int, sources: Iterable[tuple[str, list[str]]]) -> str:
    """Return a text with marks in place of the row's other texts, the longest first."""
    for known, mark in sorted([(values[row], mark) for mark, values in sources], key=_length):
        # A mark has one digit, so nothing that is longer is found in it.
        if len(known) >= _SHORTEST_PART and _MARK not in known:
            value = value.replace(known, mark)
    return value


def _length(known: tuple[str, str]) -> int:
    return -len(known[0])


def _parts(text: str, paths: Sequence[Json]) -> list[Json]:
    """Return a text with marks as its strings, and the paths of what it quotes."""
    parts = text.split(_MARK)
    return [paths[int(part)] if number % 2 else part for number, part in enumerate(parts) if number % 2 or part]


def _runs(places: list[int]) -> list[list[int]]:
    """Return ascending numbers as runs of first, step and count."""
    runs: list[list[int]] = [[places[0], 1, 1]]
    for before, place in pairwise(places):
        run = runs[-1]
        if run[2] == 1:
            run[1:] = [place - before, 2]
        elif place - before == run[1]:
            run[2] += 1
        else:
            runs.append([place, 1, 1])
    return [run if run[2] > 1 else [run[0], 1, 1] for run in runs]


# -- from tables to checks --


def _rows(table: Table, count: int, left: _Left) -> Iterator[tuple[int, Check]]:
    """Yield each row's place and check."""
    known: dict[Path, list[Json]] = {}
    which: dict[str, list[int]] = {}
    later: list[dict[str, Json]] = []
    for column in table["columns"]:
        path = _path(column["of"])
        if "texts" in column:
            later.append(column)
            continue
        if "which" in column:
            which[path[0]] = column["which"]
        known[path] = _values(column, which, count)
    for column in later:
        known[_path(column["of"])] = _texts(column, which, known, count, left)
    for number, place in enumerate(_places(table["places"])):
        yield place, _row(table["check"], known, number)


def _row(common: Check, known: Mapping[Path, list[Json]], number: int) -> Check:
    check = {name: _copy(value) if type(value) is dict else value for name, value in common.items()}
    for path, values in known.items():
        _put(check, path, values[number])
    return check


def _copy(value: dict[str, Json]) -> dict[str, Json]:
    """Copy a mapping with its mappings; what is in lists is shared by all rows."""
    return {name: _copy(inner) if type(inner) is dict else inner for name, inner in value.items()}


def _size(value: Json) -> int:
    """Return how many values a row gets with this one: mappings are copied for each row."""
    return 1 + sum(map(_size, value.values())) if type(value) is dict else 1


def _count(table: Table, left: _Left) -> int:
    """Return the number of rows, bounded before anything of that size is made."""
    runs = table["places"]
    if not all(len(run) == 3 and all(type(n) is int for n in run) and run[0] >= 0 and run[1] >= 1 for run in runs):  # noqa: PLR2004
        raise ValueError("the places of passed checks are no runs of first, step and count")
    count: int = sum(max(run[2], 0) for run in runs)
    left.spend(values=count * (_size(table["check"]) + len(table["columns"])))
    return count


def _places(runs: Iterable[Sequence[int]]) -> Iterator[int]:
    for first, step, count in runs:
        yield from range(first, first + step * count, step)


def _path(said: Sequence[str]) -> Path:
    path = tuple(said)
    if not 0 < len(path) <= _DEEPEST or not all(type(name) is str for name in path):
        raise ValueError(f"a column is of {said}, which is not a field of a check")
    return path


def _values(column: Mapping[str, Json], which: Mapping[str, list[int]], count: int) -> list[Json]:
    values: list[Json] = column["each"] if "each" in column else _chosen(column, column["values"], which)
    if len(values) != count:
        raise ValueError(f"the column {'.'.join(column['of'])} has {len(values)} values for {count} rows")
    return values


def _chosen(column: Mapping[str, Json], distinct: Sequence[Json], which: Mapping[str, list[int]]) -> list[Json]:
    numbers = column["which"] if "which" in column else which[column["by"]]
    if any(number < 0 for number in numbers):
        raise ValueError("a column counts from below 0")
    return [distinct[number] for number in numbers]


def _texts(
    column: Mapping[str, Json],
    which: Mapping[str, list[int]],
    known: Mapping[Path, list[Json]],
    count: int,
    left: _Left,
) -> list[str]:
    texts = [[part if type(part) is str else known[_path(part)] for part in parts] for parts in column["texts"]]
    chosen = _chosen(column, texts, which) if {"which", "by"} & set(column) else [texts[0]] * count
    if len(chosen) != count:
        raise ValueError(f"the column {'.'.join(column['of'])} has {len(chosen)} texts for {count} rows")
    made = []
    for row, parts in enumerate(chosen):
        said = [part if type(part) is str else part[row] for part in parts]
        left.spend(text=sum(map(len, said)))
        made.append("".join(said))
    return made


# -- looking for something in all texts --


def texts(packed: Mapping[str, Json]) -> Iterator[str]:
    """Yield JSON that has every different text of a packed document with its name; far less than with all checks."""
    yield _dumped({key: value for key, value in packed.items() if key not in ("checks", PASSED)})
    yield from map(_dumped, packed["checks"])
    for table in packed[PASSED]:
        yield _dumped(table["check"])
        first = {tuple(column["of"]): _first(column) for column in table["columns"] if "texts" not in column}
        for column in table["columns"]:
            name = column["of"][-1]
            for parts in column.get("texts", ()):
                yield _dumped({name: "".join([part if type(part) is str else first[tuple(part)] for part in parts])})
            for value in column.get("each") or column.get("values") or ():
                if type(value) in (str, dict, list):
                    yield _dumped({name: value})


def _first(column: Mapping[str, Json]) -> Json:
    return (column.get("each") or column["values"])[0]


def _dumped(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
