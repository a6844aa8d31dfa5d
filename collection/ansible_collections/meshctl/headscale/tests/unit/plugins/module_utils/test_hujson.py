# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies with comments, on every Python that a module may meet on a host."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._hujson import parse, same


def test_comments_and_trailing_commas_are_read() -> None:
    text = '{\n  // everybody\n  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"],},], /* end */\n}'
    assert parse(text) == {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}


def test_a_comment_in_a_string_is_none() -> None:
    assert parse('{"url": "https://headscale.example.com"}') == {"url": "https://headscale.example.com"}


@pytest.mark.parametrize("text", ["", "{,}", "[,]", '{"a": 1 "b": 2}', '{"a": 1, "a": 2}', '{"a": NaN}'])
def test_what_is_no_hujson_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_texts_are_compared_as_data() -> None:
    assert same('{"a": 1, "b": [true]}', '{"b": [true,], "a": 1} // turned round')
    assert not same('{"a": 1}', '{"a": true}')
