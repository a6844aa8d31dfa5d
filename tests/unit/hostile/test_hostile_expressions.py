# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every regular expression of the sources takes time in proportion to the text, whatever it is made of.

The expressions are found in the sources, so that a new one is tried without a change here.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import meshctl_headscale
import pytest
from ansible_site import COLLECTIONS

_ROOTS = {
    COLLECTIONS: COLLECTIONS / "ansible_collections/meshctl/headscale/plugins",
    Path(meshctl_headscale.__file__).parents[1]: Path(meshctl_headscale.__file__).parent,
}
_METHODS = ("search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn")
_LENGTH = 20_000
# A linear one takes some milliseconds. One that is quadratic takes seconds for this length.
_MOST_S = 0.4
_MOST_UNITS = 14


class Found(NamedTuple):
    """An expression, what is done with it, and where it is."""

    place: str
    pattern: str
    flags: int
    methods: frozenset[str]


def _sources() -> Iterator[tuple[str, Path]]:
    for root, top in _ROOTS.items():
        for path in sorted(top.rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            yield name, path


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in (*_METHODS, "compile")
        ):
            yield node, node.func.attr


def _methods_of(tree: ast.Module, name: str) -> frozenset[str]:
    """Return the methods that a module calls on its expression of this name, or on one that a function is given."""
    called = [
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _METHODS
    ]
    own = frozenset(method for known, method in called if known == name)
    # Texts have a method of the name split as well.
    return own or frozenset(method for known, method in called if known.islower() and known != "re") - {"split"}


def _evaluated(node: ast.expr, module: str) -> Any:
    """Return the value of an expression of the source, as its module has it; None if a function decides it."""
    if isinstance(node, ast.Constant):
        return node.value
    try:
        return eval(compile(ast.Expression(node), module, "eval"), vars(importlib.import_module(module)))  # noqa: S307
    except NameError:
        return None


def _found() -> Iterator[Found | str]:
    for module, path in _sources():
        text = path.read_text(encoding="utf-8")
        if "re." not in text:
            continue
        tree = ast.parse(text)
        names = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        } | {
            id(node.value): node.target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for call, method in _calls(tree):
            place = f"{path.name}:{call.lineno}"
            pattern = _evaluated(call.args[0], module)
            if not isinstance(pattern, str):
                # A compiled one is found where it is compiled.
                if not isinstance(pattern, re.Pattern):
                    yield f"{path.name}: {ast.unparse(call.args[0])}"
                continue
            given = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "flags")]
            flags = _evaluated(given[0], module) if method == "compile" and given else 0
            used = {method} if method != "compile" else _methods_of(tree, names.get(id(call), "")) or {"search"}
            yield Found(place, pattern, int(flags or 0), frozenset(used))


def _compiled(value: Any) -> Iterator[re.Pattern[str]]:
    """Yield the expressions in a value, such as a table of them."""
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in (*value.values(), *value) if isinstance(value, dict) else value:
            yield from _compiled(item)


def _in_tables() -> Iterator[Found]:
    """Yield the expressions that modules compile in a loop."""
    for module, path in _sources():
        if "re.compile(" in path.read_text(encoding="utf-8"):
            for name, value in vars(importlib.import_module(module)).items():
                if isinstance(value, tuple | list | dict) and name != "__builtins__":
                    for pattern in _compiled(value):
                        yield Found(f"{path.name}:{name}", pattern.pattern, pattern.flags, frozenset({"search"}))


_ALL = [*_found(), *_in_tables()]
_EXPRESSIONS = [found for found in _ALL if isinstance(found, Found)]


def _inner(name: str, value: Any) -> list[Any]:
    """Return the parts of a part of an expression."""
    if name == "BRANCH":
        return list(value[1])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT", "SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return [value[-1]]
    return [value] if name in ("IN", "ATOMIC_GROUP") else []


def _characters(parsed: Any) -> Iterator[str]:
    """Yield characters that the parts of an expression match, and its words."""
    word = ""
    for code, value in parsed:
        name = str(code)
        if name == "LITERAL":
            word += chr(value)
            yield chr(value)
            continue
        if len(word) > 1:
            yield word
        word = ""
        if name == "RANGE":
            yield chr(value[0])
        elif name == "CATEGORY":
            yield {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}.get(str(value), "-")
        elif name in ("NOT_LITERAL", "ANY"):
            yield "a"
        else:
            for inner in _inner(name, value):
                yield from _characters(inner)
    if len(word) > 1:
        yield word


def _units(pattern: re.Pattern[str]) -> list[str]:
    parser = getattr(re, "_parser", None) or importlib.import_module("sre_parse")
    single = list(dict.fromkeys((*_characters(parser.parse(pattern.pattern, pattern.flags)), "a", " ", "\n")))
    pairs = ["".join(pair) for pair in itertools.permutations(single[:4], 2)]
    return [*single[:_MOST_UNITS], *pairs]


def _run(pattern: re.Pattern[str], method: str, text: str) -> None:
    if method in ("sub", "subn"):
        getattr(pattern, method)("", text)
    elif method == "finditer":
        for _match in pattern.finditer(text):
            pass
    else:
        getattr(pattern, method)(text)


def _slow(found: Found) -> str:
    """Return the text that takes long, empty if none does."""
    pattern = re.compile(found.pattern, found.flags)
    units = _units(pattern)
    for unit in units:
        for first, last in (("", ""), (units[0], "\x00")):
            text = first + unit * (_LENGTH // len(unit)) + last
            for method in found.methods:
                began = time.process_time()
                try:
                    _run(pattern, method, text)
                except TimeoutError:
                    return f"{method} of {first!r} + {unit!r} * n + {last!r}"
                if time.process_time() - began > _MOST_S:
                    return f"{method} of {first!r} + {unit!r} * n + {last!r}"
    return ""


@pytest.fixture
def _patience() -> Iterator[None]:
    """End an expression that takes exponential time."""

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_patience")
@pytest.mark.parametrize("found", _EXPRESSIONS, ids=[found.place for found in _EXPRESSIONS])
def test_an_expression_is_linear(found: Found) -> None:
    assert _slow(found) == "", found.pattern


def test_the_search_finds_them() -> None:
    assert len(_EXPRESSIONS) > 100
    # Made while the program runs, of constants or of what a playbook says. Whoever adds one makes sure that it is linear.
    made = ["_pinned.py", "catalogue.py", "names.py", "query.py", "start.py", "verdict.py", "verdict.py"]
    assert sorted(found.partition(":")[0] for found in _ALL if isinstance(found, str)) == made


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(?:x|y|xy)*z", r"(\d+)+x"])
def test_a_slow_one_is_found(pattern: str) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError))
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        assert _slow(Found("", pattern, 0, frozenset({"search"})))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
