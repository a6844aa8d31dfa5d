# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries by JMESPath: what passes, what does not, and what cannot be asked."""

from __future__ import annotations

from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.query import (
    Query,
    compile_query,
    judge_query,
)
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = {"state": "Running", "peers": [{"name": "a", "n": 1}, {"name": "b", "n": 2}], "on": True, "none": None}


def verdict(expression: str, document: Any = DOCUMENT, **compare: Any) -> str:
    return judge_query(document, mesh.context("query"), Query(expression=expression, compare=compare)).verdict


@pytest.mark.parametrize(
    ("expression", "compare"),
    [
        ("state", {"equals": "Running"}),
        ("state", {}),
        ("peers[].name", {"equals": ["a", "b"]}),
        ("peers[].name", {"contains": "a", "length": 2}),
        ("state", {"contains": "unn", "matches": "^Run"}),
        ("length(peers)", {"at_least": 2, "at_most": 2}),
        ("none", {"exists": False}),
        ("nothing", {"exists": False}),
        ("on", {"equals": True}),
        ("state", {"not_equals": "Stopped"}),
        ("peers[?n > `1`] | [0]", {"equals": {"n": 2, "name": "b"}}),
        ("peers[0].n", {"equals": 1.0}),
    ],
)
def test_a_query_that_holds(expression: str, compare: dict[str, Any]) -> None:
    assert verdict(expression, **compare) == "passed"


@pytest.mark.parametrize(
    ("expression", "compare"),
    [
        ("state", {"equals": "running"}),
        ("stat", {}),
        ("stat", {"not_equals": "Running"}),
        ("on", {"equals": 1}),
        ("peers[0].n", {"equals": True}),
        ("peers[0].n", {"contains": 1}),
        ("on", {"at_least": 0}),
        ("none", {"exists": True}),
        ("state", {"matches": "^run", "equals": "Running"}),
        ("peers[?n > `5`]", {}),
        ("peers", {"length": True}),
    ],
)
def test_a_query_that_does_not_hold(expression: str, compare: dict[str, Any]) -> None:
    assert verdict(expression, **compare) == "failed"


@pytest.mark.parametrize("expression", ["a[", "", "sum(", "a.b c", "\x00"])
def test_a_query_that_is_none_is_one_clear_sentence(expression: str) -> None:
    with pytest.raises(BadInput, match="is not valid JMESPath") as raised:
        compile_query(expression)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("expression", "compare"),
    [
        ("sum(state)", {}),
        ("nope(@)", {}),
        ("state", {"matches": "("}),
        ("contains(state, none)", {}),
        ("peers[::0]", {}),
        ("ceil(`1e400`)", {}),
        ("&state", {}),
        ("&state", {"exists": True}),
        ("[&state]", {}),
        ("to_array(&state)", {"length": 1}),
    ],
)
def test_a_query_that_cannot_be_applied_is_an_error(expression: str, compare: dict[str, Any]) -> None:
    check = judge_query(DOCUMENT, mesh.context("query"), Query(expression=expression, compare=compare))
    assert check.verdict == "error"
    assert "cannot be applied" in check.hint


def test_no_document_is_an_error_with_its_reason() -> None:
    absent = Query(expression="a", compare={"exists": False})
    check = judge_query(None, mesh.context("query"), absent, why="tailscaled is gone")
    assert (check.verdict, check.hint) == ("error", "tailscaled is gone")


class Tagged(str):
    """A text as ansible-core hands it out: one that jmespath takes for no text."""


def test_tagged_text_is_text() -> None:
    assert verdict("starts_with(name, 'cl')", {"name": Tagged("client")}) == "passed"


@given(
    document=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists),
    wanted=st.none() | st.integers() | st.text() | st.lists(st.integers()),
)
def test_no_document_makes_a_comparison_raise(document: Any, wanted: Any) -> None:
    for name in ("equals", "not_equals", "contains", "length", "at_least", "at_most"):
        number = wanted if name not in ("at_least", "at_most") else 1.5
        assert verdict("@", document, **{name: number}) in ("passed", "failed")
