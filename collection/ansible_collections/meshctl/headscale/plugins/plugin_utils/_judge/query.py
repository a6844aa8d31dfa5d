# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a JMESPath expression over any document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from ...module_utils._plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .answer import Json
    from .check import Check
    from .context import CheckContext


@dataclass(frozen=True, kw_only=True)
class Query:
    """An expression and its expected result; without a comparison the result must be true in JMESPath's sense."""

    expression: str
    compare: Mapping[str, Any]


def compile_query(expression: str) -> Json:
    """Return the compiled expression; raise `BadInput`."""
    try:
        import jmespath  # other assertions do without it
    except ModuleNotFoundError as exc:
        raise BadInput("queries require the Python package jmespath on the controller: install it there") from exc
    try:
        return jmespath.compile(expression)
    # The errors of jmespath are ValueErrors.
    except (ValueError, RecursionError) as exc:
        where = str(exc).splitlines()[0].rstrip(":")
        raise BadInput(f"the query {expression!r} is not valid JMESPath: {where}") from exc


def judge_query(document: Json, context: CheckContext, query: Query, *, why: str = "") -> Check:
    """Return the check of a query; `why` is the reason if there is no document."""
    expected = dict(query.compare) or {"true": True}
    if why:
        return context.check(None, expected=expected, observed=None, hint=why, evidence={"query": query.expression})
    try:
        found = compile_query(query.expression).search(plain(document))
        # A reference to an expression, such as `&name`, is no value that a report can hold.
        json.dumps(found)
        failed = [name for name, wanted in query.compare.items() if not _COMPARE[name](found, plain(wanted))]
    # The others come from values that an expression does not expect, such as null.
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        said = str(exc).splitlines()[0]
        hint = f"the query {query.expression!r} cannot be applied to this document: {said}"
        return context.check(None, expected=expected, observed=None, hint=hint, evidence={"query": query.expression})
    ok = not failed if query.compare else _true(found)
    return context.check(
        ok,
        expected=expected,
        observed=found,
        evidence={"query": query.expression},
        hint=_hint(found, query, failed),
    )


def _hint(found: Json, query: Query, failed: list[str]) -> str:
    wanted = plain(query.compare.get("equals"))
    if "equals" in failed and str(found) == str(wanted):
        return (
            f"{json.dumps(found)} and {json.dumps(wanted)} are of different types: give equals the type of the document"
        )
    why = "; an unknown name gives null in JMESPath" if found is None else ""
    return f"the result does not satisfy {', '.join(failed) or 'the query'}{why}"


def _true(value: Json) -> bool:
    return value is not None and value is not False and value not in ("", [], {})


def _same(found: Json, wanted: Json) -> bool:
    # In Python 1 == True; in a document they differ.
    return json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True) or (
        _is_number(found) and _is_number(wanted) and found == wanted
    )


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contains(found: Json, wanted: Json) -> bool:
    if isinstance(found, str):
        return isinstance(wanted, str) and wanted in found
    if isinstance(found, dict):
        return wanted in found if isinstance(wanted, str) else False
    return isinstance(found, list) and any(_same(entry, wanted) for entry in found)


def _matches(found: Json, wanted: Json) -> bool:
    try:
        return isinstance(found, str) and re.search(str(wanted), found) is not None
    except re.error as exc:
        raise BadInput(f"{wanted!r} is not a regular expression: {exc}") from exc


def _length(found: Json, wanted: Json) -> bool:
    return isinstance(found, str | list | dict) and _same(len(found), wanted)


_COMPARE: dict[str, Callable[[Json, Json], bool]] = {
    "equals": _same,
    "not_equals": lambda found, wanted: found is not None and not _same(found, wanted),
    "contains": _contains,
    "matches": _matches,
    "length": _length,
    "exists": lambda found, wanted: (found is not None) is wanted,
    "at_least": lambda found, wanted: _is_number(found) and found >= wanted,
    "at_most": lambda found, wanted: _is_number(found) and found <= wanted,
}
