# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of a hostile server: each parser takes time in proportion to the text."""

from __future__ import annotations

import contextlib
import time

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson
from hypothesis import given
from hypothesis import strategies as st

_UNITS = (
    '"',
    '\\"',
    "/* ",
    "/*/",
    "// ",
    "*/",
    ",",
    "[",
    "{",
    '"a":',
    " ",
    "\n",
    "\\",
    "0",
    "-",
    "e",
    "\ud800",
    "true,",
)


@pytest.mark.parametrize("unit", _UNITS)
@pytest.mark.parametrize("first", ["", '"', "/*", "[", '{"a":'])
def test_a_policy_is_read_in_linear_time(first: str, unit: str) -> None:
    text = first + unit * (200_000 // len(unit))
    began = time.process_time()
    with contextlib.suppress(ValueError):
        _hujson.parse(text)
    assert time.process_time() - began < 4


def test_an_object_with_many_names_is_read_in_linear_time() -> None:
    names = "".join(f'"{number}":0,' for number in range(50_000))
    began = time.process_time()
    with pytest.raises(ValueError, match="'7' occurs twice"):
        _hujson.parse("{" + names + '"7":1}')
    assert time.process_time() - began < 4


@given(st.lists(st.sampled_from(_UNITS), max_size=60).map("".join))
def test_any_text_is_data_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        _hujson.parse(text)
