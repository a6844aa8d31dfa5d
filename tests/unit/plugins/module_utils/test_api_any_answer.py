# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a server answers: a record in the collection's form, or one error that says what was wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _answers, _hujson
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import HeadscaleError
from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import SHAPES, shaped, snake
from hypothesis import given
from hypothesis import strategies as st
from sample import examples

FIELDS = sorted({name for shape in SHAPES.values() for name in shape})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(
    ["0001-01-01T00:00:00Z", "2026-11-22T22:03:42.806268124Z", "2026-13-41T99:99:99Z", "9" * 400, "REGISTER_METHOD_CLI"]
)  # fmt: skip
ANY = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=25,
)


@pytest.mark.parametrize("kind", sorted(SHAPES))
@given(value=ANY | st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=12))
@examples(300)
def test_any_record(kind: str, value: Any) -> None:
    try:
        found = shaped(kind, value)
    except HeadscaleError as exc:
        assert str(exc).startswith("Headscale answered")
    else:
        assert set(found) == {snake(name) for name in SHAPES[kind]}
        json.dumps(found)


@given(value=ANY)
@examples(300)
def test_any_refusal_has_a_reason_or_none(value: Any) -> None:
    reason = _answers.reason(value)
    assert reason is None or isinstance(reason, str)


@given(text=st.text(max_size=60) | st.text(alphabet='{}[]",:/*\\ \n0a', max_size=40))
@examples(500)
def test_any_policy_text_is_read_or_refused(text: str) -> None:
    try:
        _hujson.parse(text)
    except ValueError as exc:
        assert str(exc)


@given(value=ANY)
@examples(200)
def test_json_is_hujson(value: Any) -> None:
    text = json.dumps(value, allow_nan=False) if _finite(value) else "{}"
    assert _hujson.same(text, text)


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
