# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the line of a rule in a policy."""

from __future__ import annotations

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.lines import line_of
from hypothesis import given
from hypothesis import strategies as st

POLICY = """// "acls": [{
{
  "groups": {"group:acls": ["a@"], "acls": []},
  "hosts": {"acls": "10.0.0.1"},
  "Acls": [
    // { not a rule
    {"action": "accept", "src": ["acls"], "dst": ["{:*"]},
    {
      "action": "accept", "src": ["*"], "dst": ["*:22"],
    },
  ],
  "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "app": {"x": [{"a": [{}]}]}}, {"src": ["*"]}],
}
"""


@pytest.mark.parametrize(
    ("label", "line"),
    [("acl 1: acls -> x", 7), ("acl 2: * -> *:22", 8), ("grant 1: * -> *", 12), ("grant 2: *", 12), ("acl 3: no", None),
     ("no policy restricts anything", None)],
)  # fmt: skip
def test_rules_are_found_by_their_number(label: str, line: int | None) -> None:
    assert line_of(label, POLICY) == line


@given(st.text(alphabet='{}[]":,acls/*\\ \n', max_size=60))
def test_any_text_is_read(policy: str) -> None:
    line_of("acl 1: x", policy)
