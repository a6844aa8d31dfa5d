# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what a module puts into commands without quotes: between backticks of a text, and into a check's command."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

# Our own numbers and constants.
_OWN = {
    "_LEAST_MTU",
    "_NC[protocol]",
    "HOSTS",
    "LARGE_BYTES",
    "SYSCTLS[family]",
    "expect.port",
    "port",
    "total",
    "way.port",
    "_FILTER",
    # `ip` or `ip -6`.
    "program",
    # The aspect of a check, which is no command.
    "family",
}
_QUOTING = ("quoted", "shlex.join", "shlex.quote")
_UNKNOWN = ast.Name("an unknown value")
_OPEN = ast.Name("an open backtick")
# A format that no text has, as in `{seconds:.0f}`.
_NUMBERS = "dfgo"
_PARTS: dict[type[ast.expr], Callable[[Any], list[ast.expr]]] = {
    ast.Constant: lambda _value: [],
    ast.JoinedStr: lambda value: value.values,
    ast.FormattedValue: lambda value: [] if _is_number(value) else [value.value],
    ast.BoolOp: lambda value: value.values,
    ast.IfExp: lambda value: [value.body, value.orelse],
    ast.NamedExpr: lambda value: [value.value],
}


class Module:
    """The texts of a module, and what is known of the values in them."""

    def __init__(self, source: str) -> None:
        """Read the source of the module."""
        self._tree = ast.parse(source)
        self._functions = {node.name: node for node in ast.walk(self._tree) if isinstance(node, ast.FunctionDef)}

    def unquoted(self) -> list[str]:
        """Return what is put into commands as it is."""
        classes = [node for node in self._tree.body if isinstance(node, ast.ClassDef)]
        scopes = [node for body in (self._tree, *classes) for node in body.body if node not in classes]
        found = [
            value for scope in scopes for value in _commands(scope) if not self._is_safe(value, scope, frozenset())
        ]
        return [ast.unparse(value.value if isinstance(value, ast.FormattedValue) else value) for value in found]

    def _is_safe(self, value: ast.expr, scope: ast.AST, seen: frozenset[str]) -> bool:
        if ast.unparse(value) in _OWN:
            return True
        if isinstance(value, ast.Name):
            given = _values(scope, value.id) or _values(self._tree, value.id, deep=False)
            known = seen | {value.id}
            return value.id in seen or (bool(given) and all(self._is_safe(one, scope, known) for one in given))
        if isinstance(value, ast.Call):
            return self._is_safe_call(value, scope, seen)
        parts = _PARTS.get(type(value), lambda _value: [_UNKNOWN])(value)
        return all(self._is_safe(part, scope, seen) for part in parts)

    def _is_safe_call(self, call: ast.Call, scope: ast.AST, seen: frozenset[str]) -> bool:
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[ast.GeneratorExp() as joined]):
                return self._is_safe(joined.elt, scope, seen)
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                function = self._functions[name]
                returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
                return name in seen or all(self._is_safe(one, function, seen | {name}) for one in returned)
        return ast.unparse(call.func) in _QUOTING


def _commands(scope: ast.AST) -> Iterator[ast.expr]:
    """Yield what is put between backticks, or into a check's command."""
    for node in ast.walk(scope):
        if isinstance(node, ast.JoinedStr):
            yield from _between_backticks(node)
        elif isinstance(node, ast.BinOp):
            # In one of the two texts, a backtick is open.
            yield from (node for part in (node.left, node.right) if _text(part).count("`") % 2)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            yield from [node] if "`" in _text(node.func.value) else []
        elif isinstance(node, ast.keyword) and node.arg == "command":
            texts = [text for text in ast.walk(node.value) if isinstance(text, ast.JoinedStr)]
            yield from (part for text in texts for part in text.values)


def _between_backticks(text: ast.JoinedStr) -> Iterator[ast.expr]:
    within = False
    for part in text.values:
        if isinstance(part, ast.Constant):
            within ^= _text(part).count("`") % 2 == 1
        elif within:
            yield part
    if within:
        yield _OPEN


def _text(value: ast.expr) -> str:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _is_number(value: ast.FormattedValue) -> bool:
    return value.format_spec is not None and ast.unparse(value.format_spec)[-2] in _NUMBERS


def _values(scope: ast.AST, name: str, *, deep: bool = True) -> list[ast.expr]:
    """Return what a name may stand for in a function, or in a module."""
    found: list[ast.expr] = []
    known = set()
    for node in ast.walk(scope) if deep else ast.iter_child_nodes(scope):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for one, value in _pairs(target, node.value):
                    found += [value] if isinstance(one, ast.Name) and one.id == name else []
                    known.add(one)
        elif isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) and node not in known:
            # Such as the variable of a loop.
            found.append(_UNKNOWN)
    return found


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=False))
    return [(target, value)]
