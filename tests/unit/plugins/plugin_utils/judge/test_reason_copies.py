# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reason in the result of a task leaves its process as plain text."""

from __future__ import annotations

import copy
import json
import pickle

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reason import late


def test_a_reason_is_plain_text_once_it_is_copied() -> None:
    reason = late("it did not answer")
    for copied in (pickle.loads(pickle.dumps(reason)), copy.deepcopy({"error": reason})["error"], copy.copy(reason)):  # noqa: S301 - own data
        assert type(copied) is str
        assert copied == "it did not answer"
    assert json.dumps(reason) == '"it did not answer"'
